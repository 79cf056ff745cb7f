"""What is known of a cluster: its driver, the engine's limits, and pods that are tried."""
