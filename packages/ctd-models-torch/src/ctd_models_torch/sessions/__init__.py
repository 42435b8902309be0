"""Several recordings in one fit, say one of each day: other neurons each, one model of the dynamics."""
