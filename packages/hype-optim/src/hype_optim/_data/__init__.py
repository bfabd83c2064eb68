"""Examples to learn from, and the files that they come in."""
