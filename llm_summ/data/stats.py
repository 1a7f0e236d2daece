"""Statistics of a data file: how long its dialogues and summaries are, who speaks, what they are about.

Two files are alike when these figures are: a development file of other lengths than the test file's says little
about the score there, and output limits are chosen by the lengths of the summaries.
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
"""What is measured, by the name it has in `FileStatistics.measures`; the order is that of the tables."""

MANY_SPEAKERS = 8
"""Tables and pictures have one line for this number of speakers and more."""

_TAG = re.compile(r"#\w+#")  # taken whole, so that the end of a #PersonN# never begins a mask
_LONG_LINE = 5_000  # characters
_WHITE_SPACE = re.compile(r"\s")
_TOP_TOPICS_SHOWN, _TOP_TOPICS_IN_JSON = 5, 15


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a measure is distributed.

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
        """The distribution of values, shape ``[at least 1]``."""
        import numpy as np

        if not values:
            raise ValueError("no values: expected at least one")
        p5, p25, median, p75, p95, p99 = np.percentile(values, [5, 25, 50, 75, 95, 99]).tolist()
        mean = fsum(values) / len(values)
        return cls(len(values), mean, median, p5, p25, p75, p95, p99, min(values), max(values))


@dataclass(frozen=True, slots=True)
class MaskCount:
    """How often one kind of mask occurs: in how many dialogues, and how many times in dialogues and summaries."""

    rows: int
    in_dialogues: int
    in_summaries: int


@dataclass(frozen=True)
class FileStatistics(JsonRecord):
    """Statistics of one data file.

    Attributes:
        name: of the file, as tables and pictures show it.
        rows: number of dialogues.
        measures: by the names in `MEASURES`; a measure that the file does not have is left out.
        masks: by kind (``#PhoneNumber#``): everything between two ``#`` that is one word and no ``#PersonN#``;
            the most frequent first.
        topics: how many rows have each topic, the most frequent first.
        values: what each measure's distribution is of. A value a dialogue, in the file's order; for the summaries
            and their ratio, a value a reference: those of the first dialogue, of the second …
    """

    name: str
    rows: int
    measures: dict[str, Distribution]
    masks: dict[str, MaskCount]
    topics: dict[str, int]
    values: dict[str, tuple[float, ...]] = field(repr=False)

    def speaker_shares(self, most: int | None = None) -> dict[int, float]:
        """The share of the rows, from 0 to 1, that have 1, 2, 3 … speakers; 0 where none could be told.

        Args:
            most: rows with as many or more are taken together; None keeps all apart.
        """
        found = map(int, self.values["speakers"])
        counts = Counter(found if most is None else (min(speakers, most) for speakers in found))
        return {speakers: count / self.rows for speakers, count in sorted(counts.items())}

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
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

    Turns are lines that are not blank; characters are code points of the text as it stands, line breaks included;
    words are what white space separates; morphemes are those that the score counts, turn by turn in a dialogue:
    mecab-ko's time grows with the square of a text's length, and a meeting may have a hundred thousand characters.
    For the same reason a line or a summary is cut at the first white space after every 5,000 characters.

    Args:
        name: the file's, for tables, pictures and the progress bar.
        dialogues: its rows.
        count_tokens: how many tokens a text has for a model; None leaves tokens out.

    Raises:
        ValueError: there are no dialogues, or one is empty.
        InputError: mecab-ko cannot be loaded.
    """
    if not dialogues:
        raise ValueError(f"{name}: no dialogues: expected at least one")
    tokenize = mecab_tokenizer()

    def lengths(text: str, parts: Sequence[str]) -> dict[str, int]:
        morphemes = sum(len(tokenize(piece)) for part in parts for piece in _pieces(part))
        found = {"characters": len(text), "words": len(text.split()), "morphemes": morphemes}
        return found if count_tokens is None else found | {"tokens": count_tokens(text)}

    values: defaultdict[str, list[float]] = defaultdict(list)
    masked_rows: Counter[str] = Counter()
    in_dialogues: Counter[str] = Counter()
    in_summaries: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    with Progress(f"{name}: dialogues measured", len(dialogues)) as progress:
        for dialogue in dialogues:
            if not dialogue.text:
                raise ValueError(f"{name}: dialogue {dialogue.id} is empty")
            values["turns"].append(sum(1 for turn in dialogue.turns if turn.strip()))
            values["speakers"].append(len(dialogue.speakers))
            for measure, length in lengths(dialogue.text, dialogue.turns).items():
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


def compare_lengths(files: Sequence[FileStatistics]) -> TextTable:
    """The measures of files under one another: a line for each measure and file, the files of a measure together.

    The last column says how far each mean is from the first file's. With one file, it and the column of names are
    left out. Speakers and references, of which nearly every row has the same number, are in `compare_counts`.
    """
    several = len(files) > 1
    rows: list[list[str]] = []
    for measure, label in MEASURES.items():
        having = [file for file in files if measure in file.measures and measure not in ("speakers", "references")]
        for place, file in enumerate(having):
            row = [label if place == 0 else "", *([file.name] if several else []), *_figures(file, measure)]
            rows.append([*row, _against(files[0], file, measure)] if several else row)
    headers = ["measure", *(["file"] if several else []), "mean", "median", "5–95 %", "max"]
    return TextTable([*headers, "vs first"] if several else headers, rows)


def compare_counts(files: Sequence[FileStatistics]) -> TextTable:
    """What is counted rather than measured, a column a file: rows, references, speakers, masks and topics."""
    rows = [
        ["rows", *(f"{file.rows:,}" for file in files)],
        ["references a row", *(_span(file.measures["references"]) for file in files)],
    ]
    found = [file.speaker_shares(MANY_SPEAKERS) for file in files]
    for speakers in sorted({speakers for shares in found for speakers in shares}):
        label = f"{speakers} or more speakers" if speakers == MANY_SPEAKERS else f"{speakers} speakers"
        label = "1 speaker" if speakers == 1 else label
        rows.append([label, *(f"{shares[speakers]:.1%}" if speakers in shares else "–" for shares in found)])
    masks: Counter[str] = Counter()
    for file in files:
        masks.update({mask: count.rows for mask, count in file.masks.items() if count.rows})
    for mask, _ in masks.most_common():
        rows.append([f"with {mask}", *(_with_share(file, mask) for file in files)])
    if any(file.topics for file in files):
        rows.append(["distinct topics", *(f"{len(file.topics):,}" if file.topics else "–" for file in files)])
        tops = [list(file.topics.items())[:_TOP_TOPICS_SHOWN] for file in files]
        for place in range(max(map(len, tops))):
            cells = [f"{top[place][0]} ({top[place][1]:,})" if place < len(top) else "–" for top in tops]
            rows.append([f"topic {place + 1}", *cells])
    return TextTable(["", *(file.name for file in files)], rows)


def _pieces(text: str) -> Iterator[str]:
    """A text, cut at white space where it is very long."""
    start = 0
    while cut := _WHITE_SPACE.search(text, start + _LONG_LINE):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def _masks(text: str) -> list[str]:
    return [tag for tag in _TAG.findall(text) if not SPEAKER_TAG.fullmatch(tag)]


def _figures(file: FileStatistics, measure: str) -> list[str]:
    """Mean, median, percentiles 5 to 95 and the largest value."""
    found = file.measures[measure]
    if measure == "ratio":
        return [f"{found.mean:.3f}", f"{found.median:.3f}", f"{found.p5:.2f}–{found.p95:.2f}", f"{found.max:.2f}"]
    # A median of whole numbers is a whole number or a half.
    median = f"{found.median:,.0f}" if found.median.is_integer() else f"{found.median:,.1f}"
    return [f"{found.mean:,.1f}", median, f"{found.p5:,.0f}–{found.p95:,.0f}", f"{found.max:,.0f}"]


def _against(first: FileStatistics, file: FileStatistics, measure: str) -> str:
    """How far a mean is from the first file's, in percent of that; nothing where it has none."""
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
