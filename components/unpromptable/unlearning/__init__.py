"""Algorithm 1: the loop over targets and updates, the gradients, and batches that do not fit."""
