"""TediGAN's networks and the search through them: a generator, its encoder, VGG16 and CLIP."""
