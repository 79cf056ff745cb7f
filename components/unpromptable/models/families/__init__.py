"""One file per model family, named as in the YAML. A family hides how its networks are called."""
