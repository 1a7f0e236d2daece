"""A file of summaries: one for every dialogue, as CSV with ``fname`` and ``summary``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_summ.data.formats import write_table
from llm_summ.data.table import Record, Table

__all__ = ["write_summaries"]


def write_summaries(path: Path, ids: Sequence[str], texts: Sequence[str]) -> None:
    """Write a summary for every dialogue.

    Args:
        path: appears whole or not at all.
        ids: of the dialogues.
        texts: their summaries, in the same order.

    Raises:
        DataError: the file cannot be written.
    """
    pairs = enumerate(zip(ids, texts, strict=True), 2)
    records = [Record(line, {"fname": identity, "summary": text}) for line, (identity, text) in pairs]
    write_table(Table(path, ("fname", "summary"), records), path)
