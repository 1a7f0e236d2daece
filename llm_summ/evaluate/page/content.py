"""The data of an evaluation's page for its script: every row with its words, its matches and its flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from typing import Any

from llm_summ.data.empty_texts import is_empty
from llm_summ.evaluate.evaluation import Evaluation
from llm_summ.evaluate.groups import length_ratio
from llm_summ.evaluate.page.matches import Matches, Word, common, find_words
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score.batch import TextBatch
from llm_summ.score.corpus import FIGURES
from llm_summ.score.metric import Metric

__all__ = ["FLAGS", "row_flags", "script_data"]

FLAGS = {
    "empty": "빈 요약",
    "cut off": "길이 제한에 걸림",
    "short": "너무 짧음",
    "long": "너무 긺",
    "invented speakers": "지어낸 화자",
    "lost speakers": "빠진 화자",
    "broken tags": "깨진 태그",
    "invented masks": "지어낸 마스크",
    "lost masks": "빠진 마스크",
}
"""The flags of a row, and their names on the page; the findings of `fidelity.py` are among them."""

_DIGITS = "0123456789abcdefghijklmnopq"


def script_data(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the rows of an evaluation, in the order of the data.

    Lengths and positions are in UTF-16 units, as JavaScript counts. A text is ``{"text", "words"}``: `words` has
    two numbers for each word, the units between it and the word before, and its own length. A reference also has
    `own` and `marks`, its matches in the summary and in itself: a base-27 digit for each word. The digit's lowest
    base-3 digit is for ROUGE-1, the next for ROUGE-2, the highest for ROUGE-L (see `Matches`). The reference's
    `scores` are precision, recall and F1 of each of the three, from 0 to 100.
    """
    metric = evaluation.metric
    flags = row_flags(evaluation)
    texts = [text for row in evaluation.rows for text in (row.summary, *row.dialogue.references)]
    batch = TextBatch([metric.tokenizer(text) for text in texts], metric.variant)
    own: list[int] = []
    other: list[int] = []
    indexes = count()
    for row in evaluation.rows:
        own += [next(indexes)] * len(row.dialogue.references)
        other += islice(indexes, len(row.dialogue.references))
    found = batch.compare(own, other)
    # [pairs, metrics, precision and recall and F1]
    scores = iter(zip(*(part.tolist() for part in (found.precision, found.recall, found.f1)), strict=True))
    return [
        {**_row(row, metric, flags.get(row.dialogue.id, {})), "references": _references(row, metric, scores)}
        for row in evaluation.rows
    ]


def row_flags(evaluation: Evaluation) -> dict[str, dict[str, list[str]]]:
    """Return the flags by the id of the row: names of `FLAGS`, with the tags concerned."""
    found: dict[str, dict[str, list[str]]] = {}
    plain = {
        "empty": [row.dialogue.id for row in evaluation.rows if is_empty(row.summary) and not row.score.final],
        "cut off": evaluation.by_length or [],
        "short": evaluation.lengths.short,
        "long": evaluation.lengths.long,
    }
    for name, ids in plain.items():
        for identity in ids:
            found.setdefault(identity, {})[name] = []
    for finding in evaluation.fidelity.findings:
        for identity, tags in finding.found.items():
            found.setdefault(identity, {})[finding.name] = list(tags)
    return found


def _row(row: ScoredRow, metric: Metric, flags: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "id": row.dialogue.id,
        "turns": [[turn.prefix, turn.text] for turn in row.dialogue.turns],
        "topic": " ".join((row.dialogue.topic or "").split()),
        "speakers": len(row.dialogue.speakers),
        "summary": _text(row.summary, find_words(row.summary, metric)),
        "scores": [round(getattr(row.score, name), 2) for name in FIGURES],
        "ratio": round(length_ratio(row), 2),
        "flags": flags,
    }


def _references(row: ScoredRow, metric: Metric, scores: Iterator[Sequence[Any]]) -> list[dict[str, Any]]:
    own = find_words(row.summary, metric)
    pairs = []
    for text in row.dialogue.references:
        words = find_words(text, metric)
        in_summary, in_reference = common(own, words, metric.variant)
        figures = [[round(100 * figure, 2) for figure in one] for one in zip(*next(scores), strict=True)]
        marks = {"own": _digits(in_summary), "marks": _digits(in_reference), "scores": figures}
        pairs.append({**_text(text, words), **marks})
    return pairs


def _text(text: str, sentences: list[list[Word]]) -> dict[str, Any]:
    """Return a text with the lengths of the gaps between its words, and of its words."""
    lengths, end = [], 0
    for word in chain.from_iterable(sentences):
        lengths += [_units(text[end : word.start]), _units(text[word.start : word.end])]
        end = word.end
    return {"text": text, "words": lengths}


def _units(text: str) -> int:
    return len(text) + sum(letter > "\uffff" for letter in text)


def _digits(matches: Matches) -> str:
    states = zip(matches.unigrams, matches.bigrams, matches.longest, strict=True)
    return "".join(_DIGITS[one + 3 * two + 9 * longest] for one, two, longest in states)
