"""Transformations of functions, and of how they are differentiated."""
