"""Are the dynamics that a model found the true ones: metrics, fixed points, figures and reports."""
