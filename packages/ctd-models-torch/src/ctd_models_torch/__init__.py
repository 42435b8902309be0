"""Latent-dynamics models of neural recordings in PyTorch: sequential autoencoders."""
