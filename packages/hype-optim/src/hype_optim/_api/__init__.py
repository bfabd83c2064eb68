"""What one calls."""
