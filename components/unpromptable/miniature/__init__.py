"""The world that ships: how its images are drawn, and the networks trained on them."""
