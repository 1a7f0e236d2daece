"""Evaluation: match summaries to a data file, score them, report the details of the score, and compare systems."""
