"""One file per report, named as in the YAML. A report writes files beside the rows."""
