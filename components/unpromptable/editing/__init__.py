"""The surrogate of every forget image: the engine that has it made, and painting by hand."""
