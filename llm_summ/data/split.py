"""Parts of a data file: alike in the length of their dialogues, and no dialogue on two sides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_summ.data.read import DIALOGUE_COLUMNS, dialogue_text
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Table, read_table, write_table
from llm_summ.errors import DataError

__all__ = ["Part", "split_file", "split_table"]

_STRATA = 10  # of dialogue length: tenths of the rows


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file.

    Attributes:
        name: "train", "dev" or "test".
        table: its rows, in the file's order.
        wanted: how many rows it was to have.
        median_length: of its dialogues, in characters.
    """

    name: str
    table: Table
    wanted: int
    median_length: int


def split_file(source: str, folder: Path, sizes: dict[str, float], seed: int) -> list[str]:
    """Divide a file, and write each part into `folder`, as a file of the same kind.

    Returns:
        a line for each part.

    Raises:
        DataError: the file cannot be read or divided, or a part's file is there already.
    """
    path = resolve_source(source)
    for name, size in sizes.items():
        if not 0 < size < 1 and (size < 1 or size != int(size)):
            raise DataError(f"--{name} {size:g}: expected a share between 0 and 1, or a number of rows")
    targets = {name: folder / f"{name}{path.suffix.lower()}" for name in ("train", *sizes)}
    for target in targets.values():
        if target.exists():
            raise DataError(f"{target}: is there already; choose an empty folder")
    parts, together = split_table(read_table(path, DIALOGUE_COLUMNS), sizes, seed)
    for part in parts:
        write_table(part.table, targets[part.name])
    lines = [
        f"{targets[part.name]}: {len(part.table.records)} rows, {part.median_length} characters (median)"
        + (f"; {part.wanted} were asked for" if part.wanted != len(part.table.records) else "")
        for part in parts
    ]
    return [*lines, f"{together} groups of near-duplicate dialogues were kept together"] if together else lines


def split_table(table: Table, sizes: dict[str, float], seed: int) -> tuple[list[Part], int]:
    """Divide the rows of a file among parts.

    Rows whose dialogues are near-duplicates of each other go to one side as a whole: a model that has seen the one
    has seen the other. The rows are ordered by the length of their dialogues and cut into tenths, and every tenth
    gives every part its share, as far as whole groups allow.

    Args:
        table: the file.
        sizes: by part: a share of the rows (below 1), or their number. The part "train" gets the rest.
        seed: decides which rows go where.

    Returns:
        the parts, train first; and the number of groups of near-duplicates that were kept together.

    Raises:
        DataError: the parts need more rows than there are.
    """
    rows = len(table.records)
    wanted = {name: round(size * rows) if size < 1 else int(size) for name, size in sizes.items()}
    if sum(wanted.values()) >= rows or min(wanted.values()) < 1:
        parts = ", ".join(f"{name} {count}" for name, count in wanted.items())
        raise DataError(f"{table.path}: {rows} rows cannot give {parts} and leave some for train")
    texts = [dialogue_text(table, record) for record in table.records]
    groups, together = _groups(texts)
    groups.sort(key=lambda group: (sum(len(texts[row]) for row in group) / len(group), group))
    side = _assign(groups, wanted, seed)
    found = []
    for name in ("train", *wanted):
        kept = [record for row, record in enumerate(table.records) if side.get(row, "train") == name]
        lengths = sorted(len(texts[row]) for row in range(rows) if side.get(row, "train") == name)
        count = wanted.get(name, rows - sum(wanted.values()))
        median = lengths[len(lengths) // 2] if lengths else 0
        found.append(Part(name, replace(table, records=kept), count, median))
    return found, together


def _groups(texts: Sequence[str]) -> tuple[list[list[int]], int]:
    """Every row in one group: near-duplicates together, the others alone; and how many are together."""
    from llm_summ.data.near import duplicate_groups

    together = [sorted(group) for group in duplicate_groups(texts)]
    taken = {row for group in together for row in group}
    return [*together, *([row] for row in range(len(texts)) if row not in taken)], len(together)


def _assign(groups: Sequence[list[int]], wanted: dict[str, int], seed: int) -> dict[int, str]:
    """The part of every row that leaves "train"; `groups` are in the order of their length."""
    chance = random.Random(seed)
    rows = sum(map(len, groups))
    strata: list[list[list[int]]] = [[] for _ in range(_STRATA)]
    before = 0
    for group in groups:
        strata[min(before * _STRATA // rows, _STRATA - 1)].append(group)
        before += len(group)
    side: dict[int, str] = {}
    given = dict.fromkeys(wanted, 0)
    seen = 0
    for stratum in strata:
        seen += sum(map(len, stratum))
        chance.shuffle(stratum)
        # What a stratum could not give, because its groups were too large, the next one gives.
        due = {name: round(count * seen / rows) - given[name] for name, count in wanted.items()}
        for group in stratum:
            name = max(due, key=lambda name: due[name])
            if len(group) <= due[name]:
                side.update(dict.fromkeys(group, name))
                due[name] -= len(group)
                given[name] += len(group)
    return side
