"""Adjoints: how derivatives pass back through a loop."""
