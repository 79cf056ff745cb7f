"""What an experiment starts from: its real images, its forget images and its remember set."""
