"""A repaired copy of data files, and a list of every change.

Only errors with exactly one sensible repair are repaired: in tags, markup, white space around lines, line ends,
invisible characters and decomposed Hangul, in summaries too. No row is dropped and no id is invented. Other errors
stay, and so do those whose repair would make a row unusable: a duplicate id, an empty text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.core.files import all_or_none
from llm_summ.data.formats import say_encoding, write_table, writer_for
from llm_summ.data.labels import Tagging, split_turns, tagging_of
from llm_summ.data.read import dialogue_column, dialogue_text, reference_columns, topic_columns
from llm_summ.data.report import shown_id
from llm_summ.data.row_rules import (
    ENTITY,
    INVISIBLE,
    LINE_BREAK_TAG,
    LINE_END,
    LINE_SPACE,
    LITERAL_LINE_FEED,
    is_repairable,
    stripped_id,
    visible,
)
from llm_summ.data.source import check_folder
from llm_summ.data.table import Record, Table
from llm_summ.data.tags import proper_tags
from llm_summ.data.turn_list import turn_keys

__all__ = ["Fixed", "Repair", "fix_files", "fix_table"]

_MOST_ROUNDS = 100  # two or three are needed; a repair may make another one possible
_FILLERS = re.compile("[\u3164\uffa0]")  # invisible letters that people write as spaces


@dataclass(frozen=True, slots=True)
class Repair:
    """One kind of repair in one field.

    Attributes:
        place: the row in the file that was read, as an error names it.
        id: the id of the row before the repair, with invisible characters escaped.
        column: the field.
        kind: a name in `rules.RULES`.
        before: the old text around the first change.
        after: the new text there.
    """

    place: str
    id: str
    column: str
    kind: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """A repaired copy.

    Attributes:
        path: the copy.
        list_path: the list of changes, a JSON object a line.
        changes: the changes.
    """

    path: Path
    list_path: Path
    changes: tuple[Repair, ...]


def fix_files(tables: Sequence[Table], out: Path) -> list[Fixed]:
    """Write a repaired copy of each file, and next to it ``<copy>.changes.jsonl``.

    Args:
        tables: from `report.read_tables`.
        out: the name of the copy of a single table, or the folder for the copies of several, which keep their
            names. The folder is made if needed.

    Raises:
        DataError: a copy or its list would replace a file, or cannot be written. No file is left behind.
    """
    targets = [out] if len(tables) == 1 else [out / table.path.name for table in tables]
    if len(tables) > 1:
        check_folder(out, f"a folder for {len(tables)} repaired files")
    for index, (table, target) in enumerate(zip(tables, targets, strict=True)):
        _check_target(table, target)
        if target in targets[:index]:
            raise DataError(f"{table.path}: another file is also called {target.name}; repair them one by one")
    done = []
    with all_or_none() as written:
        for table, target in zip(tables, targets, strict=True):
            fixed, changes = fix_table(table)
            write_table(fixed, target)
            written.append(target)
            listed = _list_path(target)
            write_table(Table(listed, (), [Record(0, asdict(change)) for change in changes]), listed)
            written.append(listed)
            done.append(Fixed(target, listed, tuple(changes)))
    for table in tables:
        say_encoding(table)
    return done


def fix_table(table: Table) -> tuple[Table, list[Repair]]:
    """Repair a table; every value without a repair stays the same.

    Returns:
        the repaired table, and an entry for each kind of repair in each field.
    """
    changes: list[Repair] = []
    records = []
    ids = Counter(
        stripped_id(value) for record in table.records if isinstance(value := record.values.get("fname"), str)
    )
    for record in table.records:
        values = dict(record.values)
        for column, kind, before, after in _fix_row(table, record, values, ids):
            pairs = enumerate(zip(before, after, strict=False))
            start = next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))
            shown = visible(before, start), visible(after, start)
            changes.append(Repair(table.place(record), shown_id(record), column, kind, *shown))
        records.append(Record(record.line, values))
    return replace(table, records=records), changes


_Step = tuple[str, str, str]  # kind, before, after


def _fix_row(
    table: Table, record: Record, values: dict[str, Any], ids: Counter[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Repair the values of a row and yield column and step; `ids` counts the rows that would have each id."""
    identity = values.get("fname")
    if isinstance(identity, str) and (inner := _proper_id(identity, ids)) != identity:
        values["fname"] = inner
        yield "fname", "id-outer-space", identity, inner
    source = dialogue_column(record)
    try:
        dialogue = dialogue_text(table, record)
    except DataError:  # reported as not-text
        dialogue = ""
    else:
        steps = _useful(_repairs(dialogue, spoken=True))
        dialogue = steps[-1][2] if steps else dialogue
        if source == "turns" and dialogue.strip():
            turns, steps = _fix_turns(values[source] or [], tagging_of(dialogue))
            more = steps
            steps = steps if turns else []
            while turns and more:  # repaired turns can have other tags, and tags decide what is repaired
                values[source] = turns
                repaired = dialogue_text(table, Record(record.line, values))
                dialogue = proper[-1][2] if (proper := _useful(_repairs(repaired, spoken=True))) else repaired
                again, more = _fix_turns(turns, tagging_of(dialogue))
                if again:
                    turns, steps = again, steps + more
                else:
                    break
        elif steps:
            values[source] = dialogue
        yield from ((source, *step) for step in steps)
    # The dialogue decides whether Person1 is a tag without its signs.
    tagging = tagging_of(dialogue)
    for column in (*reference_columns(table.columns), *topic_columns(table.columns)):
        value = values.get(column)
        if isinstance(value, str) and (steps := _useful(_repairs(value, tagging))):
            values[column] = steps[-1][2]
            yield from ((column, *step) for step in steps)


def _proper_id(identity: str, ids: Counter[str]) -> str:
    inner = stripped_id(identity)
    # Every reader ignores outer white space: removing it cannot make two ids equal.
    harmless = identity.strip() == inner or ids[inner] == 1
    return inner if inner and harmless else identity


def _fix_turns(turns: list[Any], tagging: Tagging) -> tuple[list[Any], list[_Step]]:
    """Return a list of turns with repaired texts and without blank turns, and the steps."""
    fixed: list[Any] = []
    steps: list[_Step] = []
    for turn in turns:
        texts = {"": turn} if isinstance(turn, str) else {key: turn[key] for key in turn_keys(turn) if key}
        now = dict(texts)
        for key, text in texts.items():
            repairs = _repairs(text, tagging, spoken=True)
            now[key] = repairs[-1][2] if repairs else text
            steps += repairs
        if any(text.strip() for text in now.values()):
            fixed.append(now[""] if isinstance(turn, str) else {**turn, **now} if now != texts else turn)
        elif not any(text.strip() for text in texts.values()):
            steps.append(("blank-line", "".join(texts.values()), ""))
    return fixed, steps


def _useful(steps: list[_Step]) -> list[_Step]:
    """Return the steps, or none if they would leave a blank text: it would be refused, or lost as a reference."""
    return steps if steps and steps[-1][2].strip() else []


def _repairs(text: str, tagging: Tagging | None = None, *, spoken: bool = False) -> list[_Step]:
    """Return the repairs of a text, one after the other.

    Args:
        text: the text of any column.
        tagging: the tags of the dialogue in its row; None if the text is the dialogue.
        spoken: whether it consists of turns.
    """
    steps: list[_Step] = []
    if not text.strip():
        return steps
    for _ in range(_MOST_ROUNDS):
        known = tagging_of(text) if tagging is None else tagging
        if not is_repairable(text, known, spoken=spoken):
            break
        for kind, repair in _REPAIRS:
            if kind == "joined-turns" and not spoken:
                continue
            fixed = repair(text, known)
            if fixed != text:
                steps.append((kind, text, fixed))
                text = fixed
    return steps


def _letter(match: re.Match[str]) -> str:
    letter = html.unescape(f"&{match[1]};")
    # A no-break space is useful only in a page; a number without a character means nothing.
    return {"\u00a0": " ", "\ufffd": ""}.get(letter, letter)


# Each repair takes a text and the tags of its dialogue.
_REPAIRS: tuple[tuple[str, Callable[[str, Tagging], str]], ...] = (
    ("html", lambda text, _: LINE_BREAK_TAG.sub("\n", ENTITY.sub(_letter, text))),
    ("literal-line-feed", lambda text, _: LITERAL_LINE_FEED.sub("\n", text)),
    ("line-end", lambda text, _: LINE_END.sub("\n", text)),
    ("invisible-character", lambda text, _: INVISIBLE.sub("", _FILLERS.sub(" ", text))),
    ("not-nfc", lambda text, _: unicodedata.normalize("NFC", text)),
    ("broken-tag", lambda text, tagging: proper_tags(text, *tagging)),
    ("joined-turns", lambda text, _: split_turns(text)),
    ("line-space", lambda text, _: LINE_SPACE.sub("", text)),
    ("blank-line", lambda text, _: "\n".join(line for line in text.split("\n") if line.strip())),
)


def _check_target(table: Table, target: Path) -> None:
    check_folder(target.parent, f"a folder for {target.name}")
    try:
        if target.is_dir():
            raise DataError(f"{target}: is a folder; expected the name of the repaired copy of {table.path}")
        writer_for(target)
        for path in (target, _list_path(target)):
            if path.exists():
                what = "the input itself" if path.samefile(table.path) else "there already"
                raise DataError(f"{path}: is {what}; choose another name, nothing is overwritten")
    except OSError as error:
        raise DataError(f"{str(target)[:80]}: cannot be used ({error.strerror}); choose another name") from error


def _list_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.changes.jsonl")
