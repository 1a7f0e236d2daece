"""Statistics of a data file: lengths of dialogues and summaries, speakers, masks, topics.

They show whether two files are alike. A score on a dev file says little about a test file with other lengths, and
output limits are chosen by the lengths of the summaries.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from llm_summ.core.progress import Progress
from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.core.word_tokenizers import mecab_tokenizer
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.tags import SPEAKER_TAG

__all__ = [
    "MANY_SPEAKERS",
    "MEASURES",
    "Distribution",
    "FileStatistics",
    "MaskCount",
    "compare_counts",
    "compare_lengths",
    "describe",
]

MEASURES = {
    "turns": "turns",
    "speakers": "speakers",
    "minutes": "minutes",
    "characters": "characters",
    "words": "words",
    "morphemes": "morphemes",
    "tokens": "tokens",
    "summary_characters": "summary characters",
    "summary_words": "summary words",
    "summary_morphemes": "summary morphemes",
    "summary_tokens": "summary tokens",
    "ratio": "summary / dialogue",
    "references": "references",
}
"""The measures and their labels in tables, in the order of the tables."""

MANY_SPEAKERS = 8
"""Tables and charts have one line for dialogues with this number of speakers or more."""

_TAG = re.compile(r"#\w+#")  # with #PersonN#, so that the end of one never begins a mask
_LONG_LINE = 5_000  # characters
_WHITE_SPACE = re.compile(r"\s")
_TOP_TOPICS_SHOWN, _TOP_TOPICS_IN_JSON = 5, 15


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of a measure.

    A percentile that falls between two values is interpolated linearly: numpy's default, type 7 of Hyndman and Fan
    (1996, https://doi.org/10.2307/2684934), and what ``statistics.quantiles`` calls inclusive.
    """

    count: int
    mean: float
    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    p99: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution:
        """Return the distribution of values, shape ``[at least 1]``."""
        import numpy as np

        if not values:
            raise ValueError("no values: expected at least one")
        p5, p25, median, p75, p95, p99 = np.percentile(values, [5, 25, 50, 75, 95, 99]).tolist()
        mean = fsum(values) / len(values)
        return cls(len(values), mean, median, p5, p25, p75, p95, p99, min(values), max(values))


@dataclass(frozen=True, slots=True)
class MaskCount:
    """The frequency of one mask: the dialogues that have it, and its occurrences in dialogues and in summaries."""

    rows: int
    in_dialogues: int
    in_summaries: int


@dataclass(frozen=True)
class FileStatistics(JsonRecord):
    """Statistics of one data file.

    Attributes:
        name: the file, for tables and charts.
        rows: the number of dialogues.
        measures: by the names in `MEASURES`, without those that the file does not have.
        masks: by kind (``#PhoneNumber#``): everything between two ``#`` that is one word and no ``#PersonN#``;
            the most frequent first.
        topics: the number of rows with each topic, the most frequent first.
        values: the values of each measure: one for each dialogue, in the order of the file. Summaries and their
            ratio have one for each reference: those of the first dialogue, of the second …
    """

    name: str
    rows: int
    measures: dict[str, Distribution]
    masks: dict[str, MaskCount]
    topics: dict[str, int]
    values: dict[str, tuple[float, ...]] = field(repr=False)

    def speaker_shares(self, most: int | None = None) -> dict[int, float]:
        """Return the share of the rows, from 0 to 1, by number of speakers; 0 means that no line has a label.

        Args:
            most: rows with this number of speakers or more are counted together; None keeps all numbers apart.
        """
        numbers = map(int, self.values["speakers"])
        counts = Counter(numbers if most is None else (min(speakers, most) for speakers in numbers))
        return {speakers: count / self.rows for speakers, count in sorted(counts.items())}

    def json_fields(self) -> dict[str, Any]:
        """Return the statistics for JSON, without single values and rare topics."""
        return {
            "name": self.name,
            "rows": self.rows,
            "measures": self.measures,
            "speaker_shares": self.speaker_shares(),
            "masks": self.masks,
            "topics": {
                "rows": sum(self.topics.values()),
                "distinct": len(self.topics),
                "most_frequent": dict(list(self.topics.items())[:_TOP_TOPICS_IN_JSON]),
            },
        }


def describe(
    name: str, dialogues: Sequence[Dialogue], *, count_tokens: Callable[[str], int] | None = None
) -> FileStatistics:
    """Measure every dialogue and every reference of a file.

    Turns are counted without blank ones. Characters are code points of the text, line breaks included. Words are
    separated by white space. Morphemes are those that the score counts; in a dialogue they are counted turn by
    turn, because the time of mecab-ko grows with the square of the length of a text, and a meeting may have a
    hundred thousand characters. For the same reason a turn or a summary is cut at the first white space after
    every 5,000 characters.

    Args:
        name: the file, for tables, charts and the progress bar.
        dialogues: its rows.
        count_tokens: returns the number of tokens of a text for a model; None omits tokens.

    Raises:
        ValueError: the list of dialogues is empty, or a dialogue is.
        InputError: mecab-ko cannot be loaded.
    """
    if not dialogues:
        raise ValueError(f"{name}: no dialogues: expected at least one")
    tokenize = mecab_tokenizer()

    def lengths(text: str, parts: Sequence[str]) -> dict[str, int]:
        morphemes = sum(len(tokenize(piece)) for part in parts for piece in _pieces(part))
        counts = {"characters": len(text), "words": len(text.split()), "morphemes": morphemes}
        return counts if count_tokens is None else counts | {"tokens": count_tokens(text)}

    values: defaultdict[str, list[float]] = defaultdict(list)
    masked_rows: Counter[str] = Counter()
    in_dialogues: Counter[str] = Counter()
    in_summaries: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    with Progress(f"{name}: dialogues measured", len(dialogues)) as progress:
        for dialogue in dialogues:
            if not dialogue.text:
                raise ValueError(f"{name}: dialogue {dialogue.id} is empty")
            values["turns"].append(sum(1 for turn in dialogue.turn_texts if turn.strip()))
            values["speakers"].append(len(dialogue.speakers))
            if (minutes := _minutes(dialogue)) is not None:
                values["minutes"].append(minutes)
            for measure, length in lengths(dialogue.text, dialogue.turn_texts).items():
                values[measure].append(length)
            for reference in dialogue.references:
                for measure, length in lengths(reference, [reference]).items():
                    values[f"summary_{measure}"].append(length)
                values["ratio"].append(len(reference) / len(dialogue.text))
                in_summaries.update(_masks(reference))
            values["references"].append(len(dialogue.references))
            masks = _masks(dialogue.text)
            in_dialogues.update(masks)
            masked_rows.update(set(masks))
            if dialogue.topic and dialogue.topic.strip():
                topics[dialogue.topic.strip()] += 1
            progress.advance()
    kinds = (in_dialogues + in_summaries).most_common()
    return FileStatistics(
        name=name,
        rows=len(dialogues),
        measures={measure: Distribution.of(values[measure]) for measure in MEASURES if measure in values},
        masks={kind: MaskCount(masked_rows[kind], in_dialogues[kind], in_summaries[kind]) for kind, _ in kinds},
        topics=dict(topics.most_common()),
        values={measure: tuple(values[measure]) for measure in MEASURES if measure in values},
    )


def _minutes(dialogue: Dialogue) -> float | None:
    """Return the time between the first and the last time of the turns; None if they have no times."""
    times = [time for turn in dialogue.given_turns for time in (turn.start, turn.end) if time is not None]
    return (max(times) - min(times)) / 60 if len(times) > 1 else None


def compare_lengths(files: Sequence[FileStatistics]) -> TextTable:
    """Return a table of measures: a line for each measure and file, the files of a measure together.

    The last column is the difference of each mean from that of the first file. With one file, it and the column
    of names are omitted. Speakers and references, of which nearly every row has the same number, are in
    `compare_counts`.
    """
    several = len(files) > 1
    rows: list[list[str]] = []
    for measure, label in MEASURES.items():
        having = [file for file in files if measure in file.measures and measure not in ("speakers", "references")]
        for index, file in enumerate(having):
            row = [label if index == 0 else "", *([file.name] if several else []), *_figures(file, measure)]
            rows.append([*row, _against(files[0], file, measure)] if several else row)
    headers = ["measure", *(["file"] if several else []), "mean", "median", "5–95 %", "max"]
    return TextTable([*headers, "vs first"] if several else headers, rows)


def compare_counts(files: Sequence[FileStatistics]) -> TextTable:
    """Return a table of counts, with a column for each file: rows, references, speakers, masks and topics."""
    rows = [
        ["rows", *(f"{file.rows:,}" for file in files)],
        ["references a row", *(_span(file.measures["references"]) for file in files)],
    ]
    all_shares = [file.speaker_shares(MANY_SPEAKERS) for file in files]
    for speakers in sorted({speakers for shares in all_shares for speakers in shares}):
        label = f"{speakers} or more speakers" if speakers == MANY_SPEAKERS else f"{speakers} speakers"
        label = "1 speaker" if speakers == 1 else label
        rows.append([label, *(f"{shares[speakers]:.1%}" if speakers in shares else "–" for shares in all_shares)])
    masks: Counter[str] = Counter()
    for file in files:
        masks.update({mask: count.rows for mask, count in file.masks.items() if count.rows})
    for mask, _ in masks.most_common():
        rows.append([f"with {mask}", *(_with_share(file, mask) for file in files)])
    if any(file.topics for file in files):
        rows.append(["distinct topics", *(f"{len(file.topics):,}" if file.topics else "–" for file in files)])
        tops = [list(file.topics.items())[:_TOP_TOPICS_SHOWN] for file in files]
        for rank in range(max(map(len, tops))):
            cells = [f"{top[rank][0]} ({top[rank][1]:,})" if rank < len(top) else "–" for top in tops]
            rows.append([f"topic {rank + 1}", *cells])
    return TextTable(["", *(file.name for file in files)], rows)


def _pieces(text: str) -> Iterator[str]:
    """Yield the pieces of a text, cut at white space if it is very long."""
    start = 0
    while cut := _WHITE_SPACE.search(text, start + _LONG_LINE):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def _masks(text: str) -> list[str]:
    return [tag for tag in _TAG.findall(text) if not SPEAKER_TAG.fullmatch(tag)]


def _figures(file: FileStatistics, measure: str) -> list[str]:
    """Return mean, median, percentiles 5 to 95 and the largest value, as texts."""
    spread = file.measures[measure]
    if measure == "ratio":
        ends = f"{spread.p5:.2f}–{spread.p95:.2f}"
        return [f"{spread.mean:.3f}", f"{spread.median:.3f}", ends, f"{spread.max:.2f}"]
    # A median of whole numbers is a whole number or a half.
    median = f"{spread.median:,.0f}" if spread.median.is_integer() else f"{spread.median:,.1f}"
    return [f"{spread.mean:,.1f}", median, f"{spread.p5:,.0f}–{spread.p95:,.0f}", f"{spread.max:,.0f}"]


def _against(first: FileStatistics, file: FileStatistics, measure: str) -> str:
    """Return the difference of a mean from that of the first file, in percent of it; empty if that has none."""
    base = first.measures.get(measure)
    if file is first or base is None or not base.mean:
        return ""
    return f"{file.measures[measure].mean / base.mean - 1:+.1%}"


def _span(references: Distribution) -> str:
    fewest, most = f"{references.min:.0f}", f"{references.max:.0f}"
    return fewest if fewest == most else f"{fewest} to {most}"


def _with_share(file: FileStatistics, mask: str) -> str:
    count = file.masks.get(mask)
    return f"{count.rows:,} ({count.rows / file.rows:.1%})" if count is not None and count.rows else "–"
