"""Learning rates: how far a step goes along the direction that a method found."""
