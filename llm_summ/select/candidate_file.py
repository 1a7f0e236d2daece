"""Read a file of a pool: any number of texts for every id, with optional fields for each text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, PredictionError, listed
from llm_summ.core.progress import say
from llm_summ.data.formats import place, read_table
from llm_summ.data.read import text_of
from llm_summ.data.table import Record, Table
from llm_summ.predictions.prediction import is_hash

__all__ = ["Line", "read_lines"]


@dataclass(frozen=True, slots=True)
class Line:
    """A text of the file; fields that the file lacks are None.

    Attributes:
        line: its line in the file, from 1.
        text: the summary, before any post-processing.
        dialogue: the hash of its dialogue.
        cut_off: whether its generation ended by length.
        sample: its number among those of the dialogue, from 0.
        confidence: the mean log-probability of a token.
    """

    line: int
    text: str
    dialogue: str | None
    cut_off: bool | None
    sample: int | None
    confidence: float | None


def read_lines(path: Path) -> dict[str, list[Line]]:
    """Return the lines of each id, in the order of their samples.

    Raises:
        PredictionError: the file cannot be used.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise PredictionError(f"{path}: {what}; expected predictions as CSV or JSONL with fname and summary")
    found: dict[str, list[Line]] = {}
    try:
        table = read_table(path, ("fname", "summary"))
        for record in table.records:
            found.setdefault(text_of(table, record, "fname").strip(), []).append(_line(table, record))
    except DataError as error:
        raise PredictionError(str(error)) from error
    if not found:
        raise PredictionError(f"{path}: no rows; expected a summary for every dialogue")
    for identity, lines in found.items():
        samples = [line.sample for line in lines]
        if len(set(samples)) < len(samples) and any(sample is not None for sample in samples):
            raise PredictionError(
                f"{place(path, lines[-1].line)}: {identity}: found the samples {listed(list(map(str, samples)))}; "
                "expected a different number for each text of a dialogue"
            )
        lines.sort(key=lambda line: -1 if line.sample is None else line.sample)
    # The median count is taken as the correct one: if any ids are correct, most are.
    sizes = sorted(map(len, found.values()))
    usual = sizes[len(sizes) // 2]
    for identity, lines in found.items():
        if len(lines) != usual:
            raise PredictionError(
                f"{place(path, lines[-1].line)}: found {len(lines)} texts for {identity}, and {usual} for others; "
                "expected the same number for every id"
            )
    lines_of_all = [line for lines in found.values() for line in lines]
    bare = [line for line in lines_of_all if line.confidence is None]
    if 0 < len(bare) < len(lines_of_all):
        say(f"{place(path, bare[0].line)}: no logprob (lines without: {len(bare)}); all of the file's are ignored")
        found = {identity: [replace(line, confidence=None) for line in lines] for identity, lines in found.items()}
    return found


def _line(table: Table, record: Record) -> Line:
    where, values = table.place(record), record.values
    logprob, tokens = _number(where, values, "logprob"), _number(where, values, "tokens")
    if logprob is not None and tokens is None:
        raise PredictionError(f"{where}: logprob without tokens; expected the number of tokens that it sums over")
    sample = _number(where, values, "sample")
    if sample is not None and (sample < 0 or sample != int(sample)):
        raise PredictionError(f"{where}: sample: found {sample:g}; expected a whole number from 0 on")
    finish = text_of(table, record, "finish_reason")
    dialogue = text_of(table, record, "dialogue") if finish else ""
    return Line(
        record.line,
        text_of(table, record, "summary"),
        dialogue if is_hash(dialogue) else None,
        finish == "length" if finish else None,
        None if sample is None else int(sample),
        None if logprob is None or not tokens or tokens < 0 else logprob / tokens,
    )


def _number(where: str, values: dict[str, Any], key: str) -> float | None:
    found = values.get(key)
    if found is None or found == "":
        return None
    try:
        number = math.nan if isinstance(found, bool) else float(found)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise PredictionError(f"{where}: {key}: found {str(found)[:40]!r}; expected a number")
    return number
