"""Splits of a data file: the parts have dialogues of similar length, and near-duplicates stay in one part."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.core.files import all_or_none
from llm_summ.core.formatting import counted
from llm_summ.core.progress import say
from llm_summ.data.formats import find_format, read_table, say_encoding, write_table
from llm_summ.data.near_duplicates import duplicate_groups
from llm_summ.data.read import DIALOGUE_COLUMNS, table_dialogues
from llm_summ.data.source import check_new_files, make_folder, resolve_source
from llm_summ.data.table import Table

__all__ = ["Part", "split_file", "split_table"]

_STRATA = 10  # of dialogue length: tenths of the rows
_KEEPS_ALL = ".jsonl"  # what a table of any format can be written as


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file.

    Attributes:
        name: "train", "dev" or "test".
        table: its rows, in the order of the file.
        wanted: the number of rows that was requested.
        median_length: of its dialogues, in characters.
    """

    name: str
    table: Table
    wanted: int
    median_length: float


def split_file(source: str, folder: Path, sizes: dict[str, float], seed: int) -> list[str]:
    """Divide a file, and write each part into `folder`, in the same format (or as JSONL, if that is only read).

    Returns:
        a line for each part.

    Raises:
        DataError: the file cannot be read or divided, or the file of a part exists. No part is left behind.
    """
    path = resolve_source(source)
    for name, size in sizes.items():
        if not math.isfinite(size) or (not 0 < size < 1 and (size < 1 or size != int(size))):
            raise DataError(f"--{name} {size:g}: expected a share between 0 and 1, or a number of rows")
    known = find_format(path)
    suffix = path.suffix.lower() if known.write is not None else _KEEPS_ALL
    targets = check_new_files(folder, [f"{name}{suffix}" for name in ("train", *sizes)])
    table = read_table(path, DIALOGUE_COLUMNS)
    parts, together = split_table(table, sizes, seed)
    make_folder(folder)
    with all_or_none() as written:
        for part, target in zip(parts, targets, strict=True):
            write_table(part.table, target)
            written.append(target)
    say_encoding(table)
    if known.write is None:
        say(f"{path}: {known.name} files are only read; the parts are {suffix} files")
    lines = [
        f"{target}: {counted(len(part.table.records), 'row')}, {part.median_length:.10g} characters (median)"
        + (f"; {part.wanted} requested" if part.wanted != len(part.table.records) else "")
        for part, target in zip(parts, targets, strict=True)
    ]
    kept = f"kept together: {counted(together, 'group')} of near-duplicate dialogues"
    return [*lines, kept] if together else lines


def split_table(table: Table, sizes: dict[str, float], seed: int) -> tuple[list[Part], int]:
    """Divide the rows of a file among parts.

    Near-duplicate dialogues all go to one part: a model trained on one of them knows the others. The rows are
    ordered by the length of their dialogues and cut into tenths, and every part gets its share of every tenth, as
    far as whole groups allow.

    Args:
        table: the file.
        sizes: by part, a share of the rows (below 1) or their number. The part "train" gets the rest.
        seed: of the random choice of rows.

    Returns:
        the parts, train first; and the number of groups of near-duplicates that were kept together.

    Raises:
        DataError: a row is not usable, the parts need more rows than the file has, or the groups leave a part
            empty.
    """
    rows = len(table.records)
    if not rows:
        raise DataError(f"{table.path}: no rows; expected at least one dialogue")
    try:
        texts = [dialogue.text for dialogue in table_dialogues(table)]
    except DataError as error:
        raise DataError(f"{error} (all such rows: llm-summ data check {table.path})") from error
    wanted = {name: round(size * rows) if size < 1 else int(size) for name, size in sizes.items()}
    for name, count in wanted.items():
        if count < 1:
            raise DataError(
                f"--{name} {sizes[name]:g}: of {counted(rows, 'row')} of {table.path} this is none; "
                "expected a larger share, or a number of rows"
            )
    if sum(wanted.values()) >= rows:
        parts = ", ".join(f"{name} {count}" for name, count in wanted.items())
        raise DataError(
            f"{table.path}: {counted(rows, 'row')} are too few for {parts} and a train part; request fewer"
        )
    together = duplicate_groups(texts)
    grouped = {row for group in together for row in group}
    groups = [*together, *([row] for row in range(rows) if row not in grouped)]
    groups.sort(key=lambda group: (sum(len(texts[row]) for row in group) / len(group), group))
    side = _assign(groups, wanted, seed)
    parts_found = []
    for name in ("train", *wanted):
        kept = [record for row, record in enumerate(table.records) if side.get(row, "train") == name]
        lengths = [len(texts[row]) for row in range(rows) if side.get(row, "train") == name]
        count = wanted.get(name, rows - sum(wanted.values()))
        if not kept:
            raise DataError(
                f"{table.path}: no rows are left for {name}, {count} requested: near-duplicate dialogues stay "
                f"together, up to {max(map(len, groups))} of the {rows} rows; request other sizes, or remove "
                f"duplicates (llm-summ data check {table.path})"
            )
        parts_found.append(Part(name, replace(table, records=kept), count, statistics.median(lengths)))
    return parts_found, len(together)


def _assign(groups: Sequence[list[int]], wanted: dict[str, int], seed: int) -> dict[int, str]:
    """Return the part of every row that is not in "train"; `groups` are ordered by length."""
    chance = random.Random(seed)
    rows = sum(map(len, groups))
    strata: list[list[list[int]]] = [[] for _ in range(_STRATA)]
    before = 0
    for group in groups:
        strata[min(before * _STRATA // rows, _STRATA - 1)].append(group)
        before += len(group)
    side: dict[int, str] = {}
    given = dict.fromkeys(wanted, 0)
    left: list[list[int]] = []
    # Any tenth may be the first, and a part gets a group as soon as it lags behind its share by a random fraction
    # of the group's size: waiting for the whole size would favour the tenths that come last.
    start = chance.randrange(_STRATA)
    phase = {name: chance.random() for name in wanted}
    seen = 0
    for stratum in (*strata[start:], *strata[:start]):
        seen += sum(map(len, stratum))
        chance.shuffle(stratum)
        for group in stratum:
            size = len(group)
            lag = {
                name: count * seen / rows - given[name] - size * (1 - phase[name])
                for name, count in wanted.items()
                if given[name] + size <= count
            }
            name = max(lag, key=lambda name: lag[name], default="")
            if name and lag[name] >= 0:
                side.update(dict.fromkeys(group, name))
                given[name] += size
            else:
                left.append(group)
    chance.shuffle(left)
    for group in left:  # rows that parts still lack after large groups
        name = max(wanted, key=lambda name: wanted[name] - given[name])
        if given[name] + len(group) <= wanted[name]:
            side.update(dict.fromkeys(group, name))
            given[name] += len(group)
    return side
