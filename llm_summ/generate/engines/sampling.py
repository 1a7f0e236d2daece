"""Additions of the engine hf to transformers: sampling independent of the batch, and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria, TopKLogitsWarper, TopPLogitsWarper

from llm_summ.generate.engine import Decoding

__all__ = ["EnoughFinished", "LogProbs", "MinTokens", "NoRepeat", "SeededDraw"]


class SeededDraw(LogitsProcessor):  # type: ignore[misc]
    """Samples a token for each row with the row's own generator, independently of the other rows in the batch.

    A Gumbel variable is added to each score. The library then takes the largest, which is a sample from the
    softmax of the scores (Gumbel 1954; Maddison et al. 2014, https://arxiv.org/abs/1411.0030).

    Args:
        seeds: of each row, shape (b,).
        decoding: temperature, top_p and top_k.
        device: of the scores.
    """

    def __init__(self, seeds: Sequence[int], decoding: Decoding, device: Any) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
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

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with only these rows of the batch."""
        self._generators = [self._generators[row] for row in rows]


class NoRepeat(LogitsProcessor):  # type: ignore[misc]
    """Forbids that a completion repeats a run of tokens (Paulus et al. 2017, https://arxiv.org/abs/1705.04304).

    The library's processor also counts the prompt's tokens, so a summary could not repeat any run of the dialogue.

    Args:
        size: tokens of a run.
        prompt: tokens before the completion, padding included.
    """

    def __init__(self, size: int, prompt: int) -> None:
        self._size, self._prompt = size, prompt

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of shape (b, v), with minus infinity for forbidden tokens."""
        scores = scores.clone()
        for row, ids in enumerate(input_ids[:, self._prompt :].tolist()):
            begin = tuple(ids[len(ids) - self._size + 1 :])
            for start in range(len(ids) - self._size + 1):
                if tuple(ids[start : start + self._size - 1]) == begin:
                    scores[row, ids[start + self._size - 1]] = float("-inf")
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with only these rows of the batch; this processor stores nothing per row."""


class MinTokens(LogitsProcessor):  # type: ignore[misc]
    """Forbids the stop token before a completion has some tokens.

    Args:
        stop_id: ends a text.
        prompt: tokens before the completion, padding included.
        minimum: tokens of a completion before its stop token.
    """

    def __init__(self, stop_id: int, prompt: int, minimum: int) -> None:
        self._stop_id, self._from = stop_id, prompt + minimum

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores of shape (b, v), with minus infinity for a stop token that is too early."""
        if input_ids.shape[1] < self._from:
            scores = scores.clone()
            scores[:, self._stop_id] = float("-inf")
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with only these rows of the batch; this processor stores nothing per row."""


class LogProbs(LogitsProcessor):  # type: ignore[misc]
    """Records the log-probability of every chosen token. It must come before processors that change the scores."""

    def __init__(self) -> None:
        self._scores: Any = None
        self._steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Record the token chosen last, and keep the scores for the next one."""
        self._take(input_ids[:, -1])
        self._scores = scores
        return scores

    def finish(self, last: Any) -> list[list[float]]:
        """Return the log-probabilities of all tokens, shape (b, g).

        Args:
            last: the tokens that were chosen last, shape (b,).
        """
        self._take(last)
        self._scores = None
        return torch.stack(self._steps, 1).tolist() if self._steps else []

    def _take(self, chosen: Any) -> None:
        if self._scores is not None:
            scores = self._scores.float()
            picked = scores.gather(1, chosen[:, None])[:, 0]
            self._steps.append((picked - scores.logsumexp(1)).cpu())


class EnoughFinished(StoppingCriteria):  # type: ignore[misc]
    """Ends the library's loop when a share of a batch's rows are finished.

    Args:
        stop_id: ends a text.
        prompt: tokens before the completion, padding included.
        limits: tokens that each row may generate, shape (b,).
        share: of the rows, above 0; 1 waits for all rows.
    """

    def __init__(self, stop_id: int, prompt: int, limits: Sequence[int], share: float) -> None:
        self._stop_id, self._prompt = stop_id, prompt
        self._limits = torch.tensor(limits)
        self._finished = torch.zeros(len(limits), dtype=torch.bool)
        self._enough = math.ceil(share * len(limits))

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return for each row whether the loop ends here; ids of shape (b, s)."""
        stopped = (input_ids[:, -1] == self._stop_id).cpu()
        self._finished |= stopped | (self._limits <= input_ids.shape[1] - self._prompt)
        is_enough = int(self._finished.sum()) >= self._enough
        return torch.full((len(input_ids),), is_enough, device=input_ids.device)

    def unfinished(self) -> list[int]:
        """Return the indexes of the unfinished rows."""
        return (~self._finished).nonzero()[:, 0].tolist()
