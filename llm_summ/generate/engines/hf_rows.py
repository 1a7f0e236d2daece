"""Rows of one batch of the engine hf: a candidate each. Finished rows leave the batch, and others can join it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_summ.generate.engine import Decoding, Output, Request
from llm_summ.generate.engines.hf_loop import LibraryLoop
from llm_summ.generate.prompt_states import PromptStates

__all__ = ["Look", "Row", "RowBatch", "no_look", "similar_lengths"]

_FINISHED_SHARE = 0.25
"""Share of a batch's rows; dropping fewer is not worth a copy of the other rows' keys and values."""
_GROUP_TOKENS = 128
"""What a further computation of prompts costs on a CPU, in tokens."""


@dataclass(eq=False, slots=True)
class Row:
    """A candidate that is generated.

    Attributes:
        request: the prompt.
        index: of the request.
        sample: number of the candidate.
        begin: position of its first new token in the batch's ids.
        generator: draws its tokens; None: they are the likeliest.
        logprobs: of its tokens, up to the last time that the library's loop ended.
        tokens: number of its tokens so far.
        is_finished: whether no further token of it is needed.
    """

    request: Request
    index: int
    sample: int
    begin: int = 0
    generator: Any = None
    logprobs: list[float] = field(default_factory=list)
    tokens: int = 0
    is_finished: bool = False

    def output(self, ids: Sequence[int], stop_id: int, logprobs: Sequence[float] | None) -> Output:
        """Return the candidate.

        Args:
            ids: generated ids, with anything after the stop id or the limit.
            stop_id: ends a text.
            logprobs: of these ids; None: there are none.
        """
        kept = list(ids[: self.request.max_new_tokens])
        stopped = stop_id in kept
        tokens = tuple(kept[: kept.index(stop_id) + 1] if stopped else kept)
        logprob = None if logprobs is None else sum(logprobs[: len(tokens)])
        return Output(self.index, tokens, "stop" if stopped else "length", self.sample, logprob)


Look = Callable[[Sequence[Row], Sequence[int], Callable[[Row], Output]], bool]
"""Is called after each step with the rows, their new tokens, and a function that returns the candidate of a
finished row. Returns whether the library's loop ends here, so that rows can leave and join."""


def no_look(rows: Sequence[Row], tokens: Sequence[int], output: Callable[[Row], Output]) -> bool:
    """Let the loop continue."""
    return False


def similar_lengths(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows in groups of prompts with similar lengths, so that all take the least time to compute.

    Args:
        rows: at least one.

    Returns:
        groups, of shorter prompts first. A group costs the tokens of its longest prompt for each row, and as much
        as `_GROUP_TOKENS` tokens for itself.
    """
    ordered = sorted(rows, key=lambda row: len(row.request.prompt_ids))
    lengths = [len(row.request.prompt_ids) for row in ordered]
    best: list[tuple[int, int]] = [(0, 0)]  # of the first rows: their cost, and where their last group begins
    for end, longest in enumerate(lengths, 1):
        best.append(min((best[first][0] + longest * (end - first) + _GROUP_TOKENS, first) for first in range(end)))
    groups: list[list[Row]] = []
    end = len(ordered)
    while end:
        first = best[end][1]
        groups.insert(0, ordered[first:end])
        end = first
    return groups


class RowBatch:
    """Rows that are generated together.

    Args:
        loop: of the model.
        rows: at least one.
        stop_id: ends a text.
        decoding: how the next token is chosen, without beams.
        with_states: called with the keys and values of the prompts, before the first token is generated.
    """

    def __init__(
        self,
        loop: LibraryLoop,
        rows: Sequence[Row],
        *,
        stop_id: int,
        decoding: Decoding,
        with_states: Callable[[PromptStates], None] | None = None,
    ) -> None:
        from llm_summ.generate.growing_cache import growing_cache

        self.rows = list(rows)
        self._loop, self._stop_id, self._decoding = loop, stop_id, decoding
        ids, self._mask = loop.prompts([row.request.prompt_ids for row in rows])
        self._state = loop.family.begin(loop.model, ids, self._mask, loop.frame)
        self._text_start = self._state.text_start - self._state.ids.shape[1]
        self._cache = growing_cache(loop.model) if loop.can_shrink else None
        if with_states is not None:
            indexes = [row.index for row in rows]
            with_states(PromptStates.compute(loop.model, self._cache, ids, self._mask, indexes))
        self._set_up(rows, self._state.ids.shape[1])

    def _set_up(self, rows: Sequence[Row], begin: int) -> None:
        import torch

        for row in rows:
            row.begin = begin
            if self._decoding.temperature:
                seed = row.request.seed + row.sample
                row.generator = torch.Generator(self._loop.model.device).manual_seed(seed)

    def join(self, rows: Sequence[Row]) -> None:
        """Add rows, if `LibraryLoop.can_join` holds; and `advance` has been called.

        The prompts are computed by themselves: on a CPU in groups of similar lengths, since padding costs as much
        as words. Then the narrower parts, new rows or old, get more padding.
        """
        import torch

        from llm_summ.generate.growing_cache import join_rows

        loop = self._loop
        groups = similar_lengths(rows) if loop.model.device.type == "cpu" else [rows]
        parts = [self._states(group) for group in groups]
        before = self._state.ids
        old_mask = self._whole_mask(before)
        unused = int(old_mask.any(0).int().argmax())  # columns that are padding in all rows
        before, old_mask = before[:, unused:], old_mask[:, unused:]
        length = max(before.shape[1], *(part.ids.shape[1] for part in parts))
        join_rows(self._cache, [part.cache for part in parts], length - 1)
        for row in self.rows:
            row.begin += length - before.shape[1] - unused
        self._set_up(rows, length)
        self.rows += [row for group in groups for row in group]
        self._mask = torch.cat([_wider(mask, length, 0) for mask in (old_mask, *(part.mask for part in parts))])
        both = torch.cat([_wider(ids, length, loop.pad_id) for ids in (before, *(part.ids for part in parts))])
        self._state = loop.family.begin(loop.model, both, self._mask, loop.frame)

    def _states(self, rows: Sequence[Row]) -> PromptStates:
        """Compute the prompts of rows."""
        from llm_summ.generate.growing_cache import growing_cache

        loop = self._loop
        ids, mask = loop.prompts([row.request.prompt_ids for row in rows])
        if ids.shape[1] == 1:  # the states are those of all tokens but the last
            ids, mask = _wider(ids, 2, loop.pad_id), _wider(mask, 2, 0)
        return PromptStates.compute(loop.model, growing_cache(loop.model), ids, mask, [row.index for row in rows])

    def advance(self, look: Look = no_look) -> list[Output]:
        """Generate until enough rows are finished, and return the candidates of those, which leave the batch.

        Args:
            look: is called after each step.
        """
        import torch
        from transformers import StoppingCriteriaList

        from llm_summ.generate.engines.sampling import EveryStep, LogProbs, SeededDraw
        from llm_summ.generate.growing_cache import keep_rows

        loop, rows, decoding = self._loop, self.rows, self._decoding
        logprobs = LogProbs() if loop.logprobs else None
        processors: list[Any] = [] if logprobs is None else [logprobs]
        processors += loop.processors(decoding, [row.begin for row in rows], self._text_start, self._stop_id)
        if decoding.temperature:
            processors.append(SeededDraw([row.generator for row in rows], decoding))

        def output(ids: Any, place: int) -> Output:
            row = rows[place]
            values = None if logprobs is None else row.logprobs + logprobs.of_row(place)
            return row.output(ids[place, row.begin :].tolist(), self._stop_id, values)

        def each_step(ids: Any) -> bool:
            tokens = ids[:, -1].tolist()
            if logprobs is not None:
                logprobs.take(ids[:, -1])
            for row, token in zip(rows, tokens, strict=True):
                row.tokens += 1
                is_long = row.tokens >= row.request.max_new_tokens
                row.is_finished = row.is_finished or token == self._stop_id or is_long
            ends = look(rows, tokens, lambda row: output(ids, rows.index(row)))
            finished = sum(row.is_finished for row in rows)
            share = _FINISHED_SHARE if loop.can_shrink else 1.0
            return finished >= share * len(rows) or (ends and loop.can_shrink)

        length = self._state.ids.shape[1]
        found = loop.run(
            self._state,
            max(row.begin + row.request.max_new_tokens for row in rows) - length,
            self._stop_id,
            processors,
            past_key_values=self._cache,
            stopping_criteria=StoppingCriteriaList([EveryStep(each_step)]),
        )
        ids, self._cache = found.sequences, found.past_key_values
        finished = [output(ids, place) for place, row in enumerate(rows) if row.is_finished]
        places = [place for place, row in enumerate(rows) if not row.is_finished]
        if logprobs is not None:
            for place in places:
                rows[place].logprobs += logprobs.of_row(place)
        self.rows = [rows[place] for place in places]
        if places and len(places) < len(rows):
            kept = torch.tensor(places, device=ids.device)
            keep_rows(self._cache, kept)
            self._mask = self._mask[kept]
            self._state.keep(ids, kept)
        elif places:
            self._state.keep(ids, slice(None))
        return finished

    def _whole_mask(self, ids: Any) -> Any:
        """Return the mask of all ids, prompts and new tokens, of shape (b, s)."""
        import torch

        return torch.cat([self._mask, self._mask.new_ones(len(ids), ids.shape[1] - self._mask.shape[1])], 1)


def _wider(tensor: Any, length: int, filler: int) -> Any:
    """Return a tensor of shape (b, length), filled on the left."""
    import torch

    return torch.cat([tensor.new_full((len(tensor), length - tensor.shape[1]), filler), tensor], 1)
