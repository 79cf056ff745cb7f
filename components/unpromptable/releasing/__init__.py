"""A request to forget, and what comes of it: attempts, gates, and a folder that says how it was judged."""
