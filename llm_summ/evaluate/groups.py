"""Score parts of a file: by dialogue length, number of turns, topic and number of speakers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.data.stats import MANY_SPEAKERS
from llm_summ.evaluate.rows import ScoredRow

__all__ = ["Group", "Grouping", "by_length", "group_rows", "length_ratio"]

_QUANTILES = 5
_TURNS = (4, 6, 8, 10, 12, 16)  # the most turns of a bin; DialogSum's dialogues have 2 to 60, most of them 4 to 14
_TOPICS = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that have something in common.

    Attributes:
        name: what they have in common, for instance ``132–280``.
        rows: how many they are.
        final: the mean of their scores, from 0 to 100.
        length_ratio: the mean over the rows of the summary's length divided by the mean reference's.
    """

    name: str
    rows: int
    final: float
    length_ratio: float


@dataclass(frozen=True, slots=True)
class Grouping(JsonRecord):
    """The rows of a file in groups.

    Attributes:
        by: the property that they are grouped by.
        groups: every row is in one of them; each has a row at least.
    """

    by: str
    groups: tuple[Group, ...]

    def table(self) -> TextTable:
        """Return, for people, a line a group."""
        return TextTable(
            [self.by, "rows", "final", "length"],
            [
                [group.name, f"{group.rows:,}", f"{group.final:.2f}", f"{group.length_ratio:.2f}x"]
                for group in self.groups
            ],
        )


def group_rows(rows: Sequence[ScoredRow]) -> tuple[Grouping, ...]:
    """Group a file's rows by dialogue length, turns, topic and number of speakers.

    - Dialogue length in characters: fifths of this file; dialogues of equal length are in the same group.
    - Turns: lines that are not blank.
    - Topic: the ten most frequent that more than one row has, then the others; left out if only one group results.
    - Speakers: the number of `Dialogue.speakers`.

    Args:
        rows: of the file; if empty, an empty tuple is returned.
    """
    if not rows:
        return ()
    groupings = [
        Grouping("dialogue characters", by_length(rows)),
        Grouping("turns", _by_number(rows, _turns, _turns_name)),
        Grouping("speakers", _by_number(rows, lambda row: len(row.dialogue.speakers), _speakers_name)),
    ]
    by_topic = _by_topic(rows)
    if len(by_topic) > 1:
        groupings.insert(2, Grouping("topic", by_topic))
    return tuple(groupings)


def length_ratio(row: ScoredRow) -> float:
    """Return the summary's length divided by the mean length of its references, in characters."""
    return len(row.summary) / fmean(map(len, row.dialogue.references))


def _group(name: str, rows: Sequence[ScoredRow]) -> Group:
    return Group(name, len(rows), fmean(row.score.final for row in rows), fmean(map(length_ratio, rows)))


def _groups(rows: Iterable[ScoredRow], key: Callable[[ScoredRow], int]) -> list[list[ScoredRow]]:
    found: defaultdict[int, list[ScoredRow]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return [group for _, group in sorted(found.items())]


def by_length(rows: Sequence[ScoredRow]) -> tuple[Group, ...]:
    """Group the rows in fifths of the file by their dialogues' characters; equal lengths are in the same group."""
    lengths = sorted(len(row.dialogue.text) for row in rows)
    longest = [lengths[ceil(len(rows) * part / _QUANTILES) - 1] for part in range(1, _QUANTILES + 1)]
    groups = _groups(rows, lambda row: bisect_left(longest, len(row.dialogue.text)))
    return tuple(_group(_span([len(row.dialogue.text) for row in group]), group) for group in groups)


def _span(values: Sequence[int]) -> str:
    fewest, most = f"{min(values):,}", f"{max(values):,}"
    return fewest if fewest == most else f"{fewest}–{most}"


def _turns(row: ScoredRow) -> int:
    """Return the bin of a row: how many of `_TURNS` are below its turns."""
    return bisect_left(_TURNS, sum(1 for turn in row.dialogue.turn_texts if turn.strip()))


def _turns_name(place: int) -> str:
    first = _TURNS[place - 1] + 1 if place else 1
    return f"{first} or more" if place == len(_TURNS) else f"{first}–{_TURNS[place]}"


def _speakers_name(speakers: int) -> str:
    if speakers >= MANY_SPEAKERS:
        return f"{MANY_SPEAKERS} or more"
    return str(speakers) if speakers else "unknown"


def _by_number(
    rows: Sequence[ScoredRow], number: Callable[[ScoredRow], int], name: Callable[[int], str]
) -> tuple[Group, ...]:
    by_name: dict[str, list[ScoredRow]] = {}
    for group in _groups(rows, number):
        by_name.setdefault(name(number(group[0])), []).extend(group)
    return tuple(_group(label, group) for label, group in by_name.items())


def _topic(row: ScoredRow) -> str:
    return (row.dialogue.topic or "").strip()


def _by_topic(rows: Sequence[ScoredRow]) -> tuple[Group, ...]:
    counts = Counter(topic for row in rows if (topic := _topic(row)))
    # A topic of a single row does not make a group: most of DialogSum's topics have one row.
    top = [topic for topic, count in counts.most_common(_TOPICS) if count > 1]
    parts = [(topic, [row for row in rows if _topic(row) == topic]) for topic in top]
    rest = len(counts) - len(top)
    others = counted(rest, "other topic")
    parts.append((others, [row for row in rows if _topic(row) and _topic(row) not in top]))
    parts.append(("no topic", [row for row in rows if not _topic(row)]))
    return tuple(_group(name, part) for name, part in parts if part)
