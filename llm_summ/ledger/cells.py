"""How the ledger writes what a run has: figures, times, data editions, signatures."""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.ledger.compare import parts_that_differ
from llm_summ.ledger.entry import Entry, Score, pick

__all__ = [
    "Table",
    "adapter_cell",
    "data_cell",
    "figure_cell",
    "letter",
    "model_cell",
    "score_cell",
    "signature_lines",
    "time_cell",
    "value_cell",
]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; nothing is shown of one without rows."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def signature_lines(signatures: Sequence[str]) -> list[str]:
    """The signatures; where there are several, what sets each apart from the first."""
    if len(signatures) < 2:
        return [f"signature  {signature or 'not known'}" for signature in signatures]
    first = signatures[0]
    lines = [f"signature {letter(signatures, first)}  {first or 'not known'}"]
    for signature in signatures[1:]:
        apart = ", ".join(f"{theirs} (not {ours})" for _, ours, theirs in parts_that_differ(first, signature))
        what = f"as {letter(signatures, first)}, but {apart}" if first and signature else signature or "not known"
        lines.append(f"signature {letter(signatures, signature)}  {what}")
    return [*lines, "scores with different signatures are not comparable as they stand"]


def data_cell(entry: Entry, part: str) -> str:
    """A data edition: names with a part of their hashes, and the rows."""
    hashes = pick(entry.manifest, dict, "data", part, "sha256")
    if hashes is None:  # as earlier versions wrote it
        name = pick(entry.manifest, str, "data", part, "source")
        hashes = {name: pick(entry.manifest, str, "data", part, "sha256")} if name else {}
    rows = pick(entry.manifest, int, "data", part, "rows")
    names = " + ".join(f"{name} {str(sha256 or '')[:8]}".strip() for name, sha256 in hashes.items())
    if not names:
        return str(entry.fields.get(f"data.{part}") or "")
    return names + (f", {rows:,} rows" if rows is not None else "")


def model_cell(entry: Entry) -> str:
    """The base model and how it was quantized."""
    return ", ".join(entry.fields[f"model.{name}"] for name in ("base", "quantization")) if entry.fields else ""


def adapter_cell(entry: Entry) -> str:
    """The size of the adapter's weights, and its rank."""
    size = "" if entry.adapter_bytes is None else f"{entry.adapter_bytes / 1e6:,.1f} MB"
    rank = f"r {entry.fields['lora.r']}" if entry.fields else ""
    return ", ".join(filter(None, (size, rank)))


def value_cell(value: Any) -> str:
    """A field as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def letter(signatures: Sequence[str], signature: str) -> str:
    """A mark for a signature: A, B … Z, then numbers."""
    if signature not in signatures:
        return "?"
    place = signatures.index(signature)
    return string.ascii_uppercase[place] if place < 26 else str(place + 1)


def score_cell(score: Score, digits: int = 2) -> str:
    """A score with its interval, the latter with so many digits."""
    interval = "" if score.interval is None else " [{1:.{0}f}, {2:.{0}f}]".format(digits, *score.interval)
    return f"{score.final:.2f}{interval}"


def figure_cell(value: float | None) -> str:
    """A figure from 0 to 100."""
    return "" if value is None else f"{value:.2f}"


def time_cell(seconds: float | None) -> str:
    """A time to the minute, UTC, from seconds since 1970."""
    return "" if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
