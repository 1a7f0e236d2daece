"""Evaluation: which summaries belong to a data file, their score, what is behind it, and how systems compare."""
