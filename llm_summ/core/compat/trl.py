"""TRL: the tiles of its fused head, which an estimate of a GPU's memory counts."""

from __future__ import annotations

__all__ = ["TILE_TOKENS", "TILE_VOCABULARY"]

TILE_TOKENS = 4096
"""Rows of a tile of logits (TOKEN_CHUNK_SIZE). It is copied because importing TRL takes longer than a whole check.
If it is wrong the memory of logits is estimated wrongly."""

TILE_VOCABULARY = 32768
"""Entries of the vocabulary in a tile (_CHUNKED_LOGPROB_CHUNK_SIZE); copied for the same reason."""
