"""The live form of the engine hf: requests join a batch when there is room, and leave it when they are done."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from llm_summ.core.errors import EngineDownError, GenerationError
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.engines.hf import HfEngine
from llm_summ.generate.engines.hf_rows import Row, RowBatch
from llm_summ.generate.live import Piece
from llm_summ.generate.live_batches import BatchedLive, Call

__all__ = ["HfLive"]

_JOINING_SHARE = 0.25
"""Rows that join at once, as a share of those of the batch: joining copies the keys and values of all rows."""
_STEPS = 8
"""After so many steps even a single row joins."""


class HfLive(BatchedLive):
    """Generation with transformers for many callers: the texts are those of `HfEngine`.

    A candidate is a row of a batch with at most as many rows as `HfEngine.batch_size`. Requests with the same
    settings join the batch while it is decoded, and a row leaves it when it is finished or its caller stops it. Of
    encoder-decoders, of models with states that cannot be split (Mamba), and with beams, a batch is generated as a
    whole: then a request waits for the end of the batch before it.

    Args:
        engine: `close` closes it.
    """

    def __init__(self, engine: HfEngine) -> None:
        self.hf = engine
        super().__init__(engine, engine.batch_size)

    @property
    def rows_at_once(self) -> int:
        """Largest number of rows of a batch."""
        return self._batch_size

    def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        """Yield the pieces of a request.

        Raises:
            GenerationError: the model has no such token. On a GPU this would end the process.
        """
        known = self.hf.loop.model.get_input_embeddings().weight.shape[0]
        if not 0 <= min(request.prompt_ids, default=-1) <= max(request.prompt_ids) < known:
            raise GenerationError(f"hf: a prompt has no tokens, or one that is not among the model's {known}")
        return super().stream(request, stop_id=stop_id, decoding=decoding)

    def _room(self, decoding: Decoding) -> int:
        return max(1, self._batch_size // max(decoding.beams, decoding.n))

    def _generate(self, calls: list[Call], *, alone: bool) -> None:
        import torch

        try:
            if calls[0].decoding.beams > 1:
                super()._generate(calls, alone=alone)
            else:
                _Decoding(self, calls, alone).run()
        except torch.AcceleratorError as error:  # the GPU cannot be used any more by this process
            raise EngineDownError(f"{self.name}: the GPU failed ({type(error).__name__})") from error
        except GenerationError as error:
            if isinstance(error.__cause__, torch.OutOfMemoryError) and self._batch_size > 1:
                self._batch_size //= 2
                say(f"{error}; from now on, {self._batch_size} candidates at a time")
            raise


class _Decoding:
    """One batch, from its first rows until it is empty.

    Args:
        live: has the engine, and the requests that wait.
        calls: the first requests; those that join are added.
        alone: whether no others may join.
    """

    def __init__(self, live: HfLive, calls: list[Call], alone: bool) -> None:
        self._live, self._calls, self._alone = live, calls, alone
        self._settings = self._stop_id, self._decoding = calls[0].settings
        self._by_index: dict[int, Call] = {}
        self._numbers = itertools.count()
        self._queue: deque[Row] = deque()  # rows of these requests that wait for a place
        self._rows: list[Row] = []
        self._ended: set[Row] = set()
        self._steps = 0
        for call in calls:
            self._add(call)

    def run(self) -> None:
        """Generate until no row is left, and none joins."""
        loop, batch = self._live.hf.loop, None
        with self._live.hf.computing(self._rows, self._decoding):
            while self._rows or self._queue:
                new = self._next()
                if batch is None or not self._rows:
                    if not new:
                        return
                    batch = RowBatch(loop, new, stop_id=self._stop_id, decoding=self._decoding)
                elif new:
                    batch.join(new)
                self._rows[:], self._steps = batch.rows, 0
                batch.advance(self._look)
                self._rows[:] = batch.rows
                self._forget()
                self._take()

    def _add(self, call: Call) -> None:
        index = next(self._numbers)
        self._by_index[index] = call
        self._queue.extend(Row(call.request, index, sample) for sample in range(self._decoding.n))

    def _forget(self) -> None:
        """Remove the requests that are over and have no row in the batch; rows that ended have left it."""
        self._ended.clear()
        computed = {row.index for row in self._rows}  # a caller may have stopped since the last step
        self._by_index = {
            index: call for index, call in self._by_index.items() if index in computed or not call.is_over
        }
        self._calls[:] = self._by_index.values()

    def _take(self) -> None:
        """Add requests that wait, if others may join and there is room for more than the rows in the queue."""
        room = self._live.rows_at_once - len(self._rows) - len(self._queue)
        if self._alone or room <= 0 or not self._live.hf.loop.can_join:
            return
        for call in self._live.take(max(1, room // self._decoding.n), self._settings):
            self._calls.append(call)
            self._add(call)

    def _next(self) -> list[Row]:
        """Remove and return the rows of the queue that there is room for."""
        calls = self._by_index
        self._queue = deque(row for row in self._queue if row.index in calls and not calls[row.index].is_over)
        if self._rows and not self._live.hf.loop.can_join:
            return []
        room = self._live.rows_at_once - len(self._rows)
        return [self._queue.popleft() for _ in range(min(room, len(self._queue)))]

    def _look(self, rows: Sequence[Row], tokens: Sequence[int], output: Callable[[Row], Output]) -> bool:
        """Pass on new tokens and finished candidates; return whether enough rows can join."""
        for row, token in zip(rows, tokens, strict=True):
            call = self._by_index[row.index]
            if row in self._ended:
                continue
            if call.is_cancelled:
                row.is_finished = True
            else:
                if token != self._stop_id:
                    call.give_token(row.sample, row.tokens - 1, token)
                if row.is_finished:
                    call.give(Piece(row.sample, output=replace(output(row), index=0)))
            if row.is_finished:
                self._ended.add(row)
        self._steps += 1
        left = sum(not row.is_finished for row in rows)
        room = self._live.rows_at_once - left
        waiting = len(self._queue)
        if not self._alone:
            waiting += self._decoding.n * self._live.could_join(self._settings)
        joining = min(room, waiting) if self._live.hf.loop.can_join else 0
        return joining > 0 and (joining >= _JOINING_SHARE * left or self._steps >= _STEPS)
