"""From images to a cell's row: the evidence, the metric networks, the distances and the verdict."""
