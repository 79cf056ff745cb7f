"""The commands that train the networks of the miniature world, or a model on other images."""
