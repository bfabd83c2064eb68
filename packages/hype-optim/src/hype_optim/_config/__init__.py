"""What one chooses: `Params` and the families that its fields are of."""
