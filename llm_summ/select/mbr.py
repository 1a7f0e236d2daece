"""Choose one of a dialogue's candidates by its agreement with the others, or by length.

Minimum Bayes risk, after Eikema and Aziz 2022, "Sampling-Based Approximations to Minimum Bayes Risk Decoding for
Neural Machine Translation" (https://arxiv.org/abs/2108.04718): of N sampled texts, choose the one with the highest
expected utility, mu(h) = 1/N sum_j u(y_j, h); each text is a hypothesis h and a pseudo-reference y_j. Here

    score(i) = sum_{j != i} v_j u(i, j) / sum_{j != i} v_j - length * (ln c_i - ln target)^2

- u is the competition's F1 of text i with text j as its reference, from 0 to 1: the mean of ROUGE-1, -2 and -L by
  their weights.
- v_j is the weight of text j as a reference: its file's weight, 1 by default, times its share by probability,
  n softmax_j(l_j / temperature) over the n texts of its file for this dialogue, where l is the mean
  log-probability of a token; without a temperature the share is 1. A file of weight 0 is not in the pool.
- c_i is the length in characters; ln target is the logarithm of the given target, or the median of the candidates'
  ln c.

A text is not its own reference: where all v are equal that changes no choice, since each would add 1 to its own
sum; where they differ, a text with a large weight would win by itself. Equal texts at different indexes are
different candidates: each is the other's reference, with a utility of 1, so a duplicate counts twice.

The **medoid** is the same with the mean of u(i, j) and u(j, i) in place of u(i, j): they differ in ROUGE-L only,
where a text has several sentences. **Vote** is the most frequent text (by v), white space aside; if all texts
differ, the medoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from llm_summ.core.errors import InputError
from llm_summ.core.records import JsonRecord
from llm_summ.data.empty_texts import is_empty
from llm_summ.score.candidates import candidate_scores
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.significance import TIE
from llm_summ.select.pool import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Candidates", "Choices", "Method", "Settings", "choose", "compare_candidates"]

Method = Literal["mbr", "medoid", "vote", "longest", "shortest"]


@dataclass(frozen=True, slots=True)
class Settings(JsonRecord):
    """How to choose.

    Attributes:
        weights: of the files of the pool, in their order; 0 leaves a file out. If empty, `select` gives all files
            equal weights.
        method: how to score the candidates.
        rouge: weights of ROUGE-1, -2 and -L in the utility; only their ratio counts.
        length: weight of the length prior; 0: none. At 0.1 a text twice as long as the target loses 4.8 points.
        target: the prior's best number of characters; None: the median of the candidates.
        temperature: of the shares by probability; None: all texts count equally.

    Raises:
        InputError: a value is out of range.
    """

    weights: tuple[float, ...] = ()
    method: Method = "mbr"
    rouge: tuple[float, float, float] = (1.0, 1.0, 1.0)
    length: float = 0.0
    target: int | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        for option, values in (("--weights", self.weights), ("--rouge", self.rouge)):
            if values and (not all(0 <= value < float("inf") for value in values) or not any(values)):
                shown = ",".join(f"{value:g}" for value in values)
                raise InputError(f"{option} {shown}: expected numbers from 0 on, and one above it")
        for option, value, least in (
            ("--length", self.length, "from 0 on"),
            ("--length-target", self.target, "above 0"),
            ("--temperature", self.temperature, "above 0"),
        ):
            if value is not None and not (0 < value < float("inf") or (value == 0 and least == "from 0 on")):
                raise InputError(f"{option} {value:g}: expected a number {least}")

    @classmethod
    def equal(cls, members: int, method: Method = "mbr") -> Self:
        """Return settings with equal weights for all files."""
        return cls((1.0,) * members, method)


@dataclass(frozen=True)
class Candidates:
    """The texts of a pool, compared with one another; R dialogues with N texts each.

    Attributes:
        f1: of text i as the hypothesis of text j: ROUGE-1, -2, -L from 0 to 1, shape ``[R, N, N, 3]``.
        member: which file each text is of, shape ``[N]``.
        text: a number for each text; equal texts of a dialogue, white space aside, share it; shape ``[R, N]``.
        characters: length of each text without white space around it, at least 1, shape ``[R, N]``.
        empty: whether a text has neither a letter nor a digit, or is a null word (nan), shape ``[R, N]``.
        confidence: mean log-probability of a token; not a number where it is not known, shape ``[R, N]``.
    """

    f1: Floats
    member: NDArray[np.int64]
    text: NDArray[np.int64]
    characters: Floats
    empty: Flags
    confidence: Floats


@dataclass(frozen=True)
class Choices:
    """The texts that were chosen for R dialogues.

    Attributes:
        index: of the text among the candidates, shape ``[R]``.
        score: by which it was chosen: expected utility minus the prior, votes, or characters; shape ``[R]``.
        tied: whether another text had the same score, and the first was taken; shape ``[R]``.
        undecided: whether a vote was undecided, since all texts differ; shape ``[R]``.
    """

    index: NDArray[np.int64]
    score: Floats
    tied: Flags
    undecided: Flags


def compare_candidates(pool: Pool, metric: Metric = COMPETITION, workers: int = 1) -> Candidates:
    """Compare the texts of every dialogue with one another; the memory is 24 bytes a pair.

    Args:
        pool: the texts.
        metric: the utility uses its variant and tokens.
        workers: processes that share the dialogues.
    """
    import numpy as np

    rows = pool.candidates()
    n = len(rows[0])
    f1 = np.empty((len(rows), n, n, 3))
    found = candidate_scores(rows, variant=metric.variant, tokenizer=metric.tokenizer, workers=workers)
    for row, matrix in enumerate(found):
        f1[row] = matrix
    confidence = np.full((len(rows), n), np.nan)
    start = 0
    for member in pool.members:
        if member.confidence is not None:
            confidence[:, start : start + member.each] = member.confidence
        start += member.each
    return Candidates(
        f1,
        np.repeat(np.arange(len(pool.members)), [member.each for member in pool.members]),
        np.array([_numbered(texts) for texts in rows]),
        np.array([[max(1, len(text.strip())) for text in texts] for texts in rows], np.float64),
        np.array([[is_empty(text) for text in texts] for texts in rows]),
        confidence,
    )


def choose(candidates: Candidates, settings: Settings) -> Choices:
    """Choose a text for every dialogue.

    A text without a letter or a digit, or of a null word, is neither chosen nor used as a reference, unless all
    are such texts. Where scores are equal (to 1e-9) the first is taken: by the order of the files, then of the
    samples.
    """
    import numpy as np

    weights = np.array(settings.weights)[candidates.member]
    eligible = (weights > 0) & ~candidates.empty
    eligible |= (weights > 0) & ~eligible.any(axis=1, keepdims=True)
    voices = np.where(eligible, weights * _shares(candidates, settings.temperature), 0.0)
    undecided = np.zeros(len(voices), np.bool_)
    if settings.method in ("longest", "shortest"):
        score = candidates.characters * (1 if settings.method == "longest" else -1)
    else:
        score = _agreement(candidates, settings, voices) - _prior(candidates, settings, eligible)
    if settings.method == "vote":
        same = candidates.text[:, :, None] == candidates.text[:, None, :]
        heard = (same & eligible[:, None, :]).sum(axis=2)
        undecided = (np.where(eligible, heard, 0).max(axis=1) < 2) & (eligible.sum(axis=1) > 1)
        score = np.where(undecided[:, None], score, (same * voices[:, None, :]).sum(axis=2))
    score = np.where(eligible, score, -np.inf)
    first = score >= score.max(axis=1, keepdims=True) - TIE
    index = first.argmax(axis=1)
    rows = np.arange(len(index))
    tied = (first & (candidates.text != candidates.text[rows, index][:, None])).any(axis=1)
    return Choices(index, score[rows, index], tied, undecided)


def _agreement(candidates: Candidates, settings: Settings, voices: Floats) -> Floats:
    """Return the mean utility of each text with the others as references, shape ``[R, N]``; 0 without others."""
    import numpy as np

    rouge = np.array(settings.rouge)
    utility = candidates.f1 @ (rouge / rouge.sum())
    if settings.method != "mbr":
        utility = (utility + utility.transpose(0, 2, 1)) / 2
    diagonal = np.arange(utility.shape[1])
    utility[:, diagonal, diagonal] = 0
    total = np.einsum("rij,rj->ri", utility, voices)
    others = voices @ (1 - np.eye(len(diagonal)))  # not the sum minus the text's own: rounding could make it 0
    return np.divide(total, others, out=np.zeros_like(total), where=others > 0)


def _prior(candidates: Candidates, settings: Settings, eligible: Flags) -> Floats | float:
    """Return the points that each text loses by its length, shape ``[R, N]``."""
    import numpy as np

    if not settings.length:
        return 0.0
    logarithm = np.log(candidates.characters)
    target = (
        np.nanmedian(np.where(eligible, logarithm, np.nan), axis=1, keepdims=True)
        if settings.target is None
        else np.log(settings.target)
    )
    return settings.length * (logarithm - target) ** 2


def _shares(candidates: Candidates, temperature: float | None) -> Floats:
    """Return the weight of each text among those of its file, 1 on average; shape ``[R, N]``."""
    import numpy as np

    shares = np.ones_like(candidates.confidence)
    if temperature is None:
        return shares
    for member in range(1 + int(candidates.member.max())):
        own = candidates.member == member
        found = candidates.confidence[:, own]
        if not np.isnan(found).any():
            exponent = np.exp((found - found.max(axis=1, keepdims=True)) / temperature)
            shares[:, own] = own.sum() * exponent / exponent.sum(axis=1, keepdims=True)
    return shares


def _numbered(texts: Sequence[str]) -> list[int]:
    """Return, for each text, the index of the first text that is equal to it."""
    first: dict[str, int] = {}
    return [first.setdefault(" ".join(text.split()), index) for index, text in enumerate(texts)]
