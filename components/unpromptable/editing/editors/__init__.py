"""One file per editor, named as in the YAML. An editor makes surrogates of forget images."""
