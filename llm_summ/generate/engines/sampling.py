"""Additions of the engine hf to transformers: sampling independent of the batch, and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria, TopKLogitsWarper, TopPLogitsWarper

from llm_summ.generate.engine import Decoding

__all__ = ["EveryStep", "LogProbs", "MinTokens", "NoRepeat", "SeededDraw"]


class SeededDraw(LogitsProcessor):  # type: ignore[misc]
    """Samples a token for each row with the row's own generator, independently of the other rows in the batch.

    A Gumbel variable is added to each score. The library then takes the largest, which is a sample from the
    softmax of the scores (Gumbel 1954; Maddison et al. 2014, https://arxiv.org/abs/1411.0030).

    Args:
        generators: of each row, on the device of the scores, shape (b,).
        decoding: temperature, top_p and top_k.
    """

    def __init__(self, generators: Sequence[torch.Generator], decoding: Decoding) -> None:
        self._generators = generators
        self._temperature = decoding.temperature
        self._warpers: list[Any] = [TopKLogitsWarper(decoding.top_k)] if decoding.top_k else []
        self._warpers += [TopPLogitsWarper(decoding.top_p)] if decoding.top_p < 1 else []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of shape (b, v) with noise."""
        scores = scores.float() / self._temperature
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        # -log of an exponential variable has the Gumbel distribution.
        noise = torch.stack(
            [torch.empty_like(scores[0]).exponential_(generator=generator) for generator in self._generators]
        )
        return scores - noise.log()


class NoRepeat(LogitsProcessor):  # type: ignore[misc]
    """Forbids that a completion repeats a run of tokens (Paulus et al. 2017, https://arxiv.org/abs/1705.04304).

    The library's processor also counts the prompt's tokens, so a summary could not repeat any run of the dialogue.

    Args:
        size: tokens of a run.
        begins: position of each row's completion, shape (b,).
    """

    def __init__(self, size: int, begins: Sequence[int]) -> None:
        self._size, self._begins = size, begins

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of shape (b, v), with minus infinity for forbidden tokens."""
        scores = scores.clone()
        for row, (whole, completion) in enumerate(zip(input_ids.tolist(), self._begins, strict=True)):
            ids = whole[completion:]
            begin = tuple(ids[len(ids) - self._size + 1 :])
            for start in range(len(ids) - self._size + 1):
                if tuple(ids[start : start + self._size - 1]) == begin:
                    scores[row, ids[start + self._size - 1]] = float("-inf")
        return scores


class MinTokens(LogitsProcessor):  # type: ignore[misc]
    """Forbids the stop token before a completion has some tokens.

    Args:
        stop_id: ends a text.
        begins: position of each row's completion, shape (b,).
        minimum: tokens of a completion before its stop token.
    """

    def __init__(self, stop_id: int, begins: Sequence[int], minimum: int) -> None:
        self._stop_id, self._from = stop_id, [begin + minimum for begin in begins]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of shape (b, v), with minus infinity for a stop token that is too early."""
        early = [row for row, begin in enumerate(self._from) if input_ids.shape[1] < begin]
        if early:
            scores = scores.clone()
            scores[early, self._stop_id] = float("-inf")
        return scores


class LogProbs(LogitsProcessor):  # type: ignore[misc]
    """Records the log-probability of every chosen token. It must come before processors that change the scores."""

    def __init__(self) -> None:
        self._scores: Any = None
        self._steps: list[list[float]] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Record the token chosen last, and keep the scores for the next one."""
        self.take(input_ids[:, -1])
        self._scores = scores
        return scores

    def take(self, chosen: Any) -> None:
        """Record the tokens that were chosen by the last scores, shape (b,), unless that was done before."""
        if self._scores is not None:
            scores, self._scores = self._scores.float(), None
            picked = scores.gather(1, chosen[:, None])[:, 0]
            self._steps.append((picked - scores.logsumexp(1)).tolist())

    def of_row(self, row: int) -> list[float]:
        """Return the log-probabilities of a row's tokens, shape (g,)."""
        return [step[row] for step in self._steps]


class EveryStep(StoppingCriteria):  # type: ignore[misc]
    """Calls a function after every step of the library's loop, and ends the loop when it returns True.

    Args:
        look: gets all ids, of shape (b, s).
    """

    def __init__(self, look: Callable[[Any], bool]) -> None:
        self._look = look

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return for each row whether the loop ends here."""
        return torch.full((len(input_ids),), self._look(input_ids), device=input_ids.device)
