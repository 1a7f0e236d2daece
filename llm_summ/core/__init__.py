"""Shared by every room: errors, files, locks, progress, optional packages, word tokenizers."""
