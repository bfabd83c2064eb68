"""Tuning hyperparameters by their gradients: the policy of the steps, what they are made of, and what comes of them."""
