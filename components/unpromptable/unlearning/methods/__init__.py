"""One file per method, named as in the YAML. A method reads a batch and leaves gradients."""
