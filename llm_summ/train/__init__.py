"""Supervised fine-tuning of an adapter on rendered rows."""
