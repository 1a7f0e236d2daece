"""A run's folder and its manifest."""
