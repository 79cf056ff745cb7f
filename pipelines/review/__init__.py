"""A page for people without a terminal: from a dropped picture to a release that is approved or rejected."""
