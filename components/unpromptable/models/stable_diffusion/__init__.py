"""What a Stable Diffusion 3 is made of: folder, settings, VAE, variations and the stock call."""
