"""Constraints: what the weights are brought back to after a step."""
