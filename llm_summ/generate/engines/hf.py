"""The default engine: transformers' `generate`, batched and sorted by length.

A batch shrinks while it is decoded. When a quarter of its rows are finished, the library's loop is stopped, the
keys and values of these rows are dropped, and the loop continues with the other rows.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from llm_summ.check.memory import device_memory
from llm_summ.core.errors import GenerationError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request
from llm_summ.generate.engines.hf_loop import LibraryLoop
from llm_summ.generate.engines.hf_rows import Row, RowBatch
from llm_summ.generate.live import LiveEngine
from llm_summ.generate.local_model import LocalLoader, LocalModel, TokenIds
from llm_summ.generate.prompt_states import PromptStates
from llm_summ.generate.proof import likeliest_tokens
from llm_summ.models.adapter import attach_adapter
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.cpu_decoding import quick_decoding
from llm_summ.models.dequantized import keep_dequantized
from llm_summ.models.load import load_base, quantization_config
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe

__all__ = ["HfEngine", "HfLoader"]


class HfEngine:
    """Generation with transformers: greedy, sampled, or by beam search.

    Args:
        model: on its device.
        pad_id: fills shorter prompts of a batch; it is masked out.
        batch_size: candidates at a time.
        logprobs: whether outputs have log-probabilities, which need a softmax over the scores at every token.
        may_shrink: whether batches shrink. They must not if the model is divided among several processes, because
            each process would call the library's loop as often as its own rows end.
        frame: of the renderer, for an encoder-decoder.
        with_states: called with the keys and values of every batch of prompts, before the first token is
            generated. Other work can continue from there instead of computing the prompts again. It needs a model
            that continues prompts and whose cache `can_be_split`, and has no effect on a beam search.
    """

    name = "hf"

    def __init__(
        self,
        model: Any,
        *,
        pad_id: int,
        batch_size: int,
        logprobs: bool = True,
        may_shrink: bool = True,
        frame: Frame | None = None,
        with_states: Callable[[PromptStates], None] | None = None,
    ) -> None:
        self._model, self.batch_size, self._with_states = model.eval(), batch_size, with_states
        self.loop = LibraryLoop(model, pad_id=pad_id, frame=frame, logprobs=logprobs, may_shrink=may_shrink)

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        """Return the log-probabilities of the likeliest tokens after a prompt.

        Args:
            prompt_ids: shape (p,).
            adapter: whether the attached adapter is used, if there is one.
        """
        from peft import PeftModel

        without = not adapter and isinstance(self._model, PeftModel)
        with self._model.disable_adapter() if without else contextlib.nullcontext(), quick_decoding(self._model):
            return likeliest_tokens(self._model, prompt_ids)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield candidates batch by batch, longest prompts first, so that out-of-memory errors come early.

        Batches are formed as if no candidate were done, and a batch that lacks a candidate is generated as a
        whole. So the outputs are the same to the last bit, no matter how often the work was interrupted.

        Raises:
            GenerationError: the device has too little memory.
        """
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        # Beam search returns all candidates of a prompt at once; each sample is a row of its own.
        samples = 1 if decoding.beams > 1 else decoding.n
        rows = [(index, sample) for index in order for sample in range(samples)]
        size = max(1, self.batch_size // decoding.beams)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            each = range(decoding.n if decoding.beams > 1 else 1)
            if any((index, sample + more) not in done for index, sample in batch for more in each):
                asked = [Row(requests[index], index, sample) for index, sample in batch]
                with self.computing(asked, decoding):
                    outputs = (self._beam_search if decoding.beams > 1 else self._complete)(
                        asked, stop_id, decoding
                    )
                yield from outputs

    @contextlib.contextmanager
    def computing(self, rows: Sequence[Row], decoding: Decoding) -> Iterator[None]:
        """Compute without gradients and with the fast layers while the block runs.

        Args:
            rows: of the batch, for the message.
            decoding: how the next token is chosen.

        Raises:
            GenerationError: the device has too little memory.
        """
        import torch

        try:
            with torch.inference_mode(), quick_decoding(self._model):
                yield
        except torch.OutOfMemoryError as error:
            longest = max(len(row.request.prompt_ids) for row in rows)
            at_once = len(rows) * decoding.beams
            if len(rows) > 1:
                hint = f"halve the batch: --set generate.batch_size={at_once // 2}"
            elif decoding.beams > 1:
                hint = f"use fewer than {decoding.beams} beams, or --set generate.base_quantization=nf4"
            else:
                hint = "use --set generate.base_quantization=nf4"
            raise GenerationError(
                f"hf: out of memory with {at_once} candidates of prompts of up to {longest} tokens; {hint}"
            ) from error

    def _beam_search(self, rows: Sequence[Row], stop_id: int, decoding: Decoding) -> list[Output]:
        """Return `decoding.n` candidates for each row, best first."""
        loop = self.loop
        prompts = loop.prompts([row.request.prompt_ids for row in rows])
        state = loop.family.begin(self._model, *prompts, loop.frame)
        prompt = state.ids.shape[1]
        cache = None
        if loop.can_shrink:
            cache = loop.family.beam_cache(self._model, state.arguments(), decoding.beams)
        found = loop.run(
            state,
            max(row.request.max_new_tokens for row in rows),
            stop_id,
            loop.processors(decoding, [prompt] * (len(rows) * decoding.beams), state.text_start - prompt, stop_id),
            num_beams=decoding.beams,
            num_return_sequences=decoding.n,
            length_penalty=decoding.length_penalty,
            past_key_values=cache,
            # The search stops when there are as many finished texts as beams.
            early_stopping=True,
        )
        texts = found.sequences[:, prompt:].tolist()
        return [
            Row(row.request, row.index, sample).output(texts[number * decoding.n + sample], stop_id, None)
            for number, row in enumerate(rows)
            for sample in range(decoding.n)
        ]

    def _complete(self, rows: Sequence[Row], stop_id: int, decoding: Decoding) -> list[Output]:
        """Return a candidate for each row, in their order, which does not depend on when a text ends."""
        batch = RowBatch(self.loop, rows, stop_id=stop_id, decoding=decoding, with_states=self._with_states)
        outputs: list[Output] = []
        while batch.rows:
            outputs += batch.advance()
        places = {(row.index, row.sample): place for place, row in enumerate(rows)}
        return sorted(outputs, key=lambda output: places[output.index, output.sample])

    def close(self) -> None:
        """Free the model."""
        import torch

        del self._model, self.loop
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU


class HfLoader(LocalLoader):
    """Loads a run's model with transformers and PEFT."""

    def attaches(self, recipe: Recipe, adapter: Mapping[str, Any], facts: BaseFacts) -> bool:
        """Return whether the adapter is kept separate: it cannot be merged into a quantized base."""
        fields = recipe.generate
        return fields.adapter == "attach" or fields.base_quantization != "none" or facts.quantized is not None

    def reference(self, model: LocalModel) -> Callable[[], Any] | None:
        """Return a function that loads the model to compare with; None if it would be the engine's own."""
        return None if model.attach else super().reference(model)

    @contextlib.contextmanager
    def starting_live(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[[], LiveEngine]]:
        """Yield a function that loads the model and starts its live form."""
        from llm_summ.generate.engines.hf_live import HfLive

        with self.starting(model, ids) as start:
            yield lambda: HfLive(start(logprobs=False))  # a service shows none

    @contextlib.contextmanager
    def starting(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[..., HfEngine]]:
        """Yield a function that loads the model in a worker."""
        say(f"Loading {model.recipe.model.base} ({self.spec.name}, {model.device.name})")
        yield partial(_start, model, ids)


def _start(model: LocalModel, ids: TokenIds, *, logprobs: bool = True) -> HfEngine:
    quiet_libraries()  # a worker's process starts without this setting
    import torch

    fields, dtype = model.recipe.generate, getattr(torch, model.dtype)
    # A base that is already quantized is loaded without change.
    kind = "none" if model.is_quantized else fields.base_quantization
    quantization = quantization_config(kind, double=True, compute_dtype=dtype)
    loaded = load_base(model.recipe.model, model.location, model.device, dtype, quantization)
    if quantization is not None and model.device.kind == "cpu":
        keep_dequantized(loaded, device_memory(model.device) // 4 // fields.data_parallel)
    if model.rank:
        loaded = attach_adapter(loaded, model.run, merge=not model.attach)
    return HfEngine(loaded, pad_id=ids.pad_id, batch_size=fields.batch_size, logprobs=logprobs, frame=ids.frame)
