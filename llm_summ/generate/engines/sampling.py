"""What the engine hf adds to transformers: draws that do not depend on the batch, and log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria, TopKLogitsWarper, TopPLogitsWarper

from llm_summ.generate.engine import Decoding

__all__ = ["EnoughFinished", "LogProbs", "NoRepeat", "SeededDraw"]


class SeededDraw(LogitsProcessor):  # type: ignore[misc]
    """Draws a token for each row with a generator of the row's own, whatever else is in its batch.

    The library then takes the largest score, which is a draw from the softmax of the scores once a Gumbel variable
    is added to each of them (Gumbel 1954; Maddison et al. 2014, https://arxiv.org/abs/1411.0030).

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
        """Scores of shape (b, v), with noise."""
        scores = scores.float() / self._temperature
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        # -log of an exponential variable is a Gumbel variable.
        noise = torch.stack(
            [torch.empty_like(scores[0]).exponential_(generator=generator) for generator in self._generators]
        )
        return scores - noise.log()

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows of the batch alone."""
        self._generators = [self._generators[row] for row in rows]


class NoRepeat(LogitsProcessor):  # type: ignore[misc]
    """Forbids a run of tokens to come twice in a completion (Paulus et al. 2017, https://arxiv.org/abs/1705.04304).

    The library's own looks at the prompt as well: no two tokens of a dialogue could be written again.

    Args:
        size: tokens of a run.
        prompt: tokens before the completion, padding included.
    """

    def __init__(self, size: int, prompt: int) -> None:
        self._size, self._prompt = size, prompt

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores of shape (b, v), those of forbidden tokens minus infinity."""
        scores = scores.clone()
        for row, ids in enumerate(input_ids[:, self._prompt :].tolist()):
            begin = tuple(ids[len(ids) - self._size + 1 :])
            for at in range(len(ids) - self._size + 1):
                if tuple(ids[at : at + self._size - 1]) == begin:
                    scores[row, ids[at + self._size - 1]] = float("-inf")
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows of the batch alone; nothing is kept of a row here."""


class LogProbs(LogitsProcessor):  # type: ignore[misc]
    """Keeps the log-probability of every token that is chosen. It must see the scores before they are changed."""

    def __init__(self) -> None:
        self._scores: Any = None
        self._steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Look at what was chosen last, and keep what the next is chosen from."""
        self._take(input_ids[:, -1])
        self._scores = scores
        return scores

    def finish(self, last: Any) -> list[list[float]]:
        """The log-probabilities of all tokens, shape (b, g).

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
        share: of the rows, above 0; at 1 all have to be finished.
    """

    def __init__(self, stop_id: int, prompt: int, limits: Sequence[int], share: float) -> None:
        self._stop_id, self._prompt = stop_id, prompt
        self._limits = torch.tensor(limits)
        self._finished = torch.zeros(len(limits), dtype=torch.bool)
        self._enough = math.ceil(share * len(limits))

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Tell for each row whether it ends here; ids of shape (b, s)."""
        stopped = (input_ids[:, -1] == self._stop_id).cpu()
        self._finished |= stopped | (self._limits <= input_ids.shape[1] - self._prompt)
        is_enough = int(self._finished.sum()) >= self._enough
        return torch.full((len(input_ids),), is_enough, device=input_ids.device)

    def unfinished(self) -> list[int]:
        """Return the places of the rows that are not finished."""
        return (~self._finished).nonzero()[:, 0].tolist()
