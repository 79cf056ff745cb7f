"""What the paper states: its claims, its theory, and the page that holds them against the runs."""
