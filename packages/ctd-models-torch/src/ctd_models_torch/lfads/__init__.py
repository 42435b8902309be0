"""LFADS: latent factor analysis via dynamical systems (Pandarinath et al. 2018)."""
