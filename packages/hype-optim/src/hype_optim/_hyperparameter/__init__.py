"""Floats that a configuration holds and that something can be differentiated by."""
