"""The rules for one row of a data file: what is odd, and where.

Nothing is an error here: a row without an id is a finding. Comparisons between rows are in `report.py`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.entities import name2codepoint
from itertools import accumulate, chain

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Turn
from llm_summ.data.empty_texts import is_blank
from llm_summ.data.labels import (
    EMPTY_TURN,
    NO_COLON,
    Tagging,
    joined_turns,
    line_labels,
    speakers_of,
    split_turns,
    tagging_of,
)
from llm_summ.data.read import (
    dialogue_column,
    dialogue_text,
    given_turns,
    reference_columns,
    text_of,
    topic_columns,
)
from llm_summ.data.rules import REPAIRED, RULES
from llm_summ.data.summary_faults import PRINTED, is_korean, summary_faults, topic_faults
from llm_summ.data.table import Record, Table
from llm_summ.data.tags import GAP, TAG, odd_tags, proper_tags
from llm_summ.data.turn_rules import listed_turn_oddities

__all__ = [
    "ENTITY",
    "INVISIBLE",
    "LINE_BREAK_TAG",
    "LINE_END",
    "LINE_SPACE",
    "LITERAL_LINE_FEED",
    "Oddity",
    "is_repairable",
    "row_oddities",
    "stripped_id",
    "visible",
]


@dataclass(frozen=True, slots=True)
class Oddity:
    """The first oddity of one kind in a row.

    Attributes:
        kind: a name in `RULES`.
        column: the column; empty if the oddity concerns the row.
        line: its own line in a CSV file, that of the row in JSONL; in parquet the number of the row.
        excerpt: the text around it, with invisible characters escaped.
    """

    kind: str
    column: str
    line: int
    excerpt: str


# A zero-width joiner belongs between the parts of an emoji.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffc\ufffe\uffff]"
    "|(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
LITERAL_LINE_FEED = re.compile(r"(?<![A-Za-z]:)(?<!\\)\\+(?:r\\+)?n(?![a-z])")  # not in C:\new and C:\n
ENTITY = re.compile(r"&(?:amp;|#38;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|apos|" + "|".join(name2codepoint) + ");")
LINE_BREAK_TAG = re.compile(r"</?br(?:\s[^<>\n]*)?/?>", re.IGNORECASE)
LINE_SPACE = re.compile(rf"^{GAP}+(?=\S)|(?<=[^\s:]){GAP}+(?=[\r\n]|\Z)", re.MULTILINE)
_HTML_TAG = re.compile(
    r"</?(?:a|b|big|blockquote|body|center|code|dd|div|dl|dt|em|font|h[1-6]|head|hr|html|i|img|li|meta|ol|p|pre|"
    r"script|small|span|strike|strong|style|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul)"
    r"(?:\s[^<>\n]{0,300})?/?>",
    re.IGNORECASE,
)
_BLANK_LINE = re.compile(rf"(?:\A|\n){GAP}*\r?\n|\n{GAP}*\r?\Z")

# Most texts do not have the letter, and a search for one letter is much faster than a match.
_NEEDLES = (
    ("literal-line-feed", "\\", LITERAL_LINE_FEED),
    ("html", "&", ENTITY),
    ("html", "<", LINE_BREAK_TAG),
    ("html-tag", "<", _HTML_TAG),
    ("lost-character", "\ufffd", re.compile("\ufffd")),
)
_PATTERNS = (
    ("line-end", LINE_END),
    ("invisible-character", INVISIBLE),
    ("blank-line", _BLANK_LINE),
    ("line-space", LINE_SPACE),
)
_UNCOMMON = re.compile("[^\n -~가-힣]")
_Found = Iterator[tuple[str, int, int]]  # the kind, its first index in the text and the index after it


def row_oddities(table: Table, record: Record) -> list[Oddity]:
    """Return the oddities of a row, the first of each kind."""
    if table.is_empty(record):
        return [
            Oddity("empty-row", "", record.line, ",".join(str(value or "") for value in record.values.values()))
        ]
    source = dialogue_column(record)
    references = reference_columns(table.columns)
    topics = topic_columns(table.columns)
    first: dict[str, Oddity] = {}  # of each kind

    def add(kind: str, column: str, text: str, start: int = 0, end: int = 0) -> None:
        if kind not in first:
            line = _line(table, record, column, text[:start])
            first[kind] = Oddity(kind, column, line, visible(text, start, end))

    texts: dict[str, str] = {}
    for column in ("fname", source, *references, *topics):
        try:
            texts[column] = dialogue_text(table, record) if column == source else text_of(table, record, column)
        except DataError:
            add("not-text", column, str(record.values[column]))
    dialogue = texts.get(source, "")
    tagging = tagging_of(dialogue)
    for column, text in texts.items():
        if column == "fname":
            odd = _id_oddities(text)
        elif not text.strip():
            continue
        elif column == source:
            odd = chain(_text_oddities(text, tagging), _turn_oddities(text, tagging, given_turns(table, record)))
        elif column in references:
            odd = chain(_text_oddities(text, tagging), _reference_oddities(text, dialogue, tagging))
        else:
            odd = chain(_text_oddities(text, tagging), topic_faults(text))
        for kind, start, end in odd:
            add(kind, column, text, start, end)
    if not texts.get(source, "-").strip():
        add("empty-dialogue", source, dialogue)
    for kind, column in chain(_missing(texts, references, topics), _equal(texts, references)):
        add(kind, column, texts[column])
    return list(first.values())


def stripped_id(identity: str) -> str:
    """Return an id without white space and invisible characters around it."""
    return identity.strip(_edges())


def is_repairable(text: str, tagging: Tagging, *, spoken: bool) -> bool:
    """Return whether anything in a text can be repaired; `spoken` means that it consists of turns."""
    if spoken and next(joined_turns(text), None):
        return True
    return any(RULES[kind].remedy == REPAIRED for kind, _, _ in _text_oddities(text, tagging))


def visible(text: str, start: int = 0, end: int = 0) -> str:
    """Return the part of a text around two indexes, on one line of at most 50 characters (escapes count as one).

    Invisible characters are escaped.
    """
    first = max(0, start - 12)
    last = max(first + 36, min(end, first + 48))
    cut = ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")
    return "".join(
        "⏎" if letter == "\n" else letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in cut
    )


def _line(table: Table, record: Record, column: str, before: str) -> int:
    """Return the line of a place in a field; only in some formats a field has several lines."""
    if table.format is None or not table.format.multiline_fields or column not in table.columns:
        return record.line
    fields = [record.values.get(name) or "" for name in table.columns[: table.columns.index(column)]]
    # As the csv module counts lines: a lone carriage return ends one, too.
    return record.line + sum(
        text.count("\n") + text.count("\r") - text.count("\r\n") for text in (*fields, before) if text
    )


def _missing(texts: dict[str, str], references: list[str], topics: list[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and column of missing references and topics."""
    for columns, some, none in ((references, "missing-reference", "empty-summary"), (topics, "", "empty-topic")):
        empty = [column for column in columns if is_blank(texts.get(column, "not a text"))]
        kind = none if len(empty) == len(columns) else some
        if empty and kind:
            yield kind, empty[0]


def _equal(texts: dict[str, str], references: list[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and column of each reference that equals an earlier one."""
    seen: set[str] = set()
    for column in references:
        reference = texts.get(column, "").strip()
        if reference in seen:
            yield "equal-references", column
        seen |= {reference} - {""}


@functools.cache
def _edges() -> str:
    letters = map(chr, range(0x10000))
    return "".join(letter for letter in letters if letter.isspace() or INVISIBLE.match(letter))


def _id_oddities(identity: str) -> _Found:
    inner = stripped_id(identity)
    if not identity.strip():
        yield "missing-id", 0, 0
    else:
        if inner and inner != identity:
            yield "id-outer-space", 0, 0
        if len(inner.splitlines()) != 1 or INVISIBLE.search(inner):
            yield "id-odd-character", 0, 0


def _text_oddities(text: str, tagging: Tagging) -> _Found:
    """Yield the oddities of a text in any column."""
    for repaired, start, end in odd_tags(text, *tagging):
        yield "broken-tag" if repaired else "unknown-mask", start, end
    for kind, needle, pattern in _NEEDLES:
        if needle in text and (match := pattern.search(text)):
            yield kind, *match.span()
    if _is_plain(text):
        return
    for kind, pattern in _PATTERNS:
        if match := pattern.search(text):
            yield kind, *match.span()
    if not unicodedata.is_normalized("NFC", text):
        normal = unicodedata.normalize("NFC", text)
        pairs = enumerate(zip(text, normal, strict=False))
        index = next((index for index, (before, after) in pairs if before != after), 0)
        yield "not-nfc", index, index + 1


def _is_plain(text: str) -> bool:
    """Return whether a text has common characters only, and no stray spaces and line feeds, like most texts."""
    odd_space = "\n " in text or " \n" in text or "\n\n" in text or text != text.strip()
    return not odd_space and not _UNCOMMON.search(text)


def _turn_oddities(dialogue: str, tagging: Tagging, given: Sequence[Turn]) -> _Found:
    if match := PRINTED.match(dialogue):
        yield "printed-list", *match.span()
    # As after a repair: a misspelt label is a label.
    proper = proper_tags(dialogue, *tagging)
    whole = split_turns(proper)
    lines = dialogue.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    if given and whole == dialogue:  # the turns and their speakers are known
        yield from listed_turn_oddities(given)
    elif len(whole.strip().split("\n")) == 1:
        yield "one-turn", 0, 0
    elif len(speakers_of(whole)) == 1:
        yield "one-speaker", 0, 0
    if joined := next(joined_turns(proper), None):
        # With correct tags the text may have another length; its lines are the same.
        start = starts[proper.count("\n", 0, joined[0])]
        yield "joined-turns", *(joined if proper == dialogue else (start, start))
    for kind, pattern in (("tag-without-colon", NO_COLON), ("empty-turn", EMPTY_TURN)):
        if match := pattern.search(dialogue):
            yield kind, *match.span()
    if given and whole == dialogue:
        return
    for start, line, spelt, label in zip(starts, lines, proper.split("\n"), line_labels(proper), strict=False):
        if line.strip() and label is None and not NO_COLON.match(spelt):
            yield "no-speaker", start, start + len(line)
            break


def _reference_oddities(reference: str, dialogue: str, tagging: Tagging) -> _Found:
    faults = list(summary_faults(reference))
    yield from faults
    if not faults and not is_korean(reference) and is_korean(dialogue):
        yield "not-korean", 0, 0
    if not dialogue.strip():
        return
    if len(reference.strip()) >= len(dialogue.strip()):
        yield "summary-longer", 0, 0
    tags = set(TAG.findall(reference)) - set(TAG.findall(dialogue))
    tags -= set(TAG.findall(proper_tags(dialogue, *tagging)))  # a misspelt tag is in the dialogue, too
    if tags:
        start, tag = min((reference.index(tag), tag) for tag in tags)
        yield "tag-not-in-dialogue", start, start + len(tag)
