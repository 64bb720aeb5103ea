"""Hand what was committed to the watchers."""
