"""What a run holds of its targets: found, removed, and told, here, in its object store and in MLflow."""
