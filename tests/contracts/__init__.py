"""What the protocols promise, checked on every choice that is found: none is listed by name."""
