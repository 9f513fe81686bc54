"""A run's history to its figures: curves, pinned impressions, variance, comparison, replay."""
