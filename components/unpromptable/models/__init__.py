"""Pretrained models: where they are fetched, how they are checked, and the adapters put on them."""
