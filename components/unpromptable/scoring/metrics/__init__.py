"""One file per metric, named as in the YAML. A metric reads the evidence and gives numbers."""
