"""One file per command of `unpromptable`, and what several of them share."""
