"""Differential operators: each takes a function and gives a function; `hype_ad/__init__.py` lists them."""
