"""Methods: the search direction of a step."""
