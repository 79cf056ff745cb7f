"""Make a trained diffusion model forget images that no prompt can name. Each verb has a room."""
