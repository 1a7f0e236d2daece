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
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.local_model import LocalLoader, LocalModel, TokenIds
from llm_summ.generate.prompt_states import PromptStates, padded_prompts
from llm_summ.generate.proof import likeliest_tokens
from llm_summ.models.adapter import attach_adapter
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.cpu_decoding import quick_decoding
from llm_summ.models.dequantized import keep_dequantized
from llm_summ.models.families import GenerationState, family_of_config
from llm_summ.models.load import load_base, quantization_config
from llm_summ.models.without_adapter import without_adapter
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe

__all__ = ["HfEngine", "HfLoader"]

_FINISHED_SHARE = 0.25
"""Share of a batch's rows; dropping fewer is not worth a copy of the other rows' keys and values."""

_Text = tuple[list[int], list[float] | None]
"""Generated ids, with padding after a stop id, and their log-probabilities if requested."""


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
        self._model, self._pad_id, self._batch_size = model.eval(), pad_id, batch_size
        self._logprobs, self._with_states = logprobs, with_states
        from llm_summ.generate.growing_cache import can_be_split

        self._can_shrink = may_shrink and can_be_split(model)
        self._family, self._frame = family_of_config(model.config), frame

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
        size = max(1, self._batch_size // decoding.beams)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            each = range(decoding.n if decoding.beams > 1 else 1)
            if any((index, sample + more) not in done for index, sample in batch for more in each):
                yield from self._batch(requests, batch, stop_id, decoding)

    def _batch(
        self, requests: Sequence[Request], rows: Sequence[tuple[int, int]], stop_id: int, decoding: Decoding
    ) -> Iterator[Output]:
        """Generate for (index, sample) pairs in one batch."""
        import torch

        longest = max(len(requests[index].prompt_ids) for index, _ in rows)
        complete = self._beam_search if decoding.beams > 1 else self._complete
        try:
            with torch.inference_mode(), quick_decoding(self._model):
                texts = complete(requests, rows, stop_id, decoding)
        except torch.OutOfMemoryError as error:
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
        each = decoding.n if decoding.beams > 1 else 1
        for row, (ids, logprobs) in enumerate(texts):
            index, sample = rows[row // each]
            kept = ids[: requests[index].max_new_tokens]
            stopped = stop_id in kept
            tokens = tuple(kept[: kept.index(stop_id) + 1] if stopped else kept)
            logprob = None if logprobs is None else sum(logprobs[: len(tokens)])
            yield Output(index, tokens, "stop" if stopped else "length", sample + row % each, logprob)

    def _beam_search(
        self, requests: Sequence[Request], rows: Sequence[tuple[int, int]], stop_id: int, decoding: Decoding
    ) -> list[_Text]:
        """Return `decoding.n` texts for each row, best first."""
        state = self._family.begin(self._model, *self._prompts(requests, rows), self._frame)
        prompt = state.ids.shape[1]
        cache = None
        if self._can_shrink:
            cache = self._family.beam_cache(self._model, state.arguments(), decoding.beams)
        found = self._generate(
            state,
            max(requests[index].max_new_tokens for index, _ in rows),
            stop_id,
            self._processors(decoding, state, stop_id, []),
            num_beams=decoding.beams,
            num_return_sequences=decoding.n,
            length_penalty=decoding.length_penalty,
            past_key_values=cache,
            # The search stops when there are as many finished texts as beams.
            early_stopping=True,
        )
        return [(text, None) for text in found.sequences[:, prompt:].tolist()]

    def _complete(
        self, requests: Sequence[Request], rows: Sequence[tuple[int, int]], stop_id: int, decoding: Decoding
    ) -> list[_Text]:
        """Return a text for each row, with padding after its stop id."""
        import torch
        from transformers import StoppingCriteriaList

        from llm_summ.generate.engines.sampling import EnoughFinished, LogProbs
        from llm_summ.generate.growing_cache import growing_cache, keep_rows

        ids, mask = self._prompts(requests, rows)
        state = self._family.begin(self._model, ids, mask, self._frame)
        prompt = state.ids.shape[1]
        cache = growing_cache(self._model) if self._can_shrink else None
        if self._with_states is not None:
            self._with_states(PromptStates.compute(self._model, cache, ids, mask, [index for index, _ in rows]))
        limits = [requests[index].max_new_tokens for index, _ in rows]
        seeds = [requests[index].seed + sample for index, sample in rows]
        draws = self._processors(decoding, state, stop_id, seeds)
        texts: list[list[int]] = [[] for _ in rows]
        logprobs: list[list[float]] = [[] for _ in rows]
        left = list(range(len(rows)))
        while left:
            before = state.ids.shape[1]
            looked_at = [LogProbs()] if self._logprobs else []
            enough = EnoughFinished(
                stop_id, prompt, [limits[row] for row in left], _FINISHED_SHARE if self._can_shrink else 1.0
            )
            found = self._generate(
                state,
                prompt + max(limits[row] for row in left) - before,
                stop_id,
                [*looked_at, *draws],
                past_key_values=cache,
                stopping_criteria=StoppingCriteriaList([enough]),
            )
            ids, cache = found.sequences, found.past_key_values
            chosen = looked_at[0].finish(ids[:, -1]) if looked_at else [[]] * len(left)
            for row, text, values in zip(left, ids[:, prompt:].tolist(), chosen, strict=True):
                texts[row] = text
                logprobs[row] += values
            places = enough.unfinished()
            left = [left[place] for place in places]
            if left:
                kept = torch.tensor(places, device=ids.device)
                keep_rows(cache, kept)
                state.keep(ids, kept)
                for draw in draws:
                    draw.keep(places)
        return [(text, values if self._logprobs else None) for text, values in zip(texts, logprobs, strict=True)]

    def _prompts(self, requests: Sequence[Request], rows: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
        """Return ids and mask of the rows' prompts, both of shape (b, s), on the model's device."""
        prompts = [requests[index].prompt_ids for index, _ in rows]
        ids, mask = padded_prompts(prompts, self._pad_id, self._family.padding_side)
        return ids.to(self._model.device), mask.to(self._model.device)

    def _processors(
        self, decoding: Decoding, state: GenerationState, stop_id: int, seeds: Sequence[int]
    ) -> list[Any]:
        """Return the processors of the next token's scores, for a generation that begins with `state`."""
        from llm_summ.generate.engines.sampling import MinTokens, NoRepeat, SeededDraw

        found: list[Any] = []
        if decoding.no_repeat_ngram:
            found.append(NoRepeat(decoding.no_repeat_ngram, state.text_start))
        if decoding.min_new_tokens:
            found.append(MinTokens(stop_id, state.ids.shape[1], decoding.min_new_tokens))
        if decoding.temperature:
            found.append(SeededDraw(seeds, decoding, self._model.device))
        return found

    def _generate(
        self, state: GenerationState, max_new_tokens: int, stop_id: int, processors: Sequence[Any], **options: Any
    ) -> Any:
        """Call the library's loop.

        Args:
            state: prompts with the tokens generated so far.
            max_new_tokens: maximum number of further tokens.
            stop_id: ends a text.
            processors: change the scores of the next token, in this order.
            options: fields of the library's generation configuration, a cache and stopping criteria.
        """
        from transformers import GenerationConfig, LogitsProcessorList

        arguments = {
            name: options.pop(name) for name in ("past_key_values", "stopping_criteria") if name in options
        }
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # SeededDraw samples instead
            eos_token_id=stop_id,
            pad_token_id=self._pad_id,
            return_dict_in_generate=True,
            **self._family.generation_fields(self._frame),
            **options,
        )
        # Otherwise the library would take missing fields (temperature, other stop ids) from the model's own file.
        # (PEFT's wrapper calls the base's own `generate`.)
        inner = without_adapter(self._model)
        own = [(model, model.generation_config) for model in (self._model, inner)]
        self._model.generation_config = inner.generation_config = config
        try:
            return self._model.generate(
                **state.arguments(),
                generation_config=config,
                logits_processor=LogitsProcessorList(processors),
                **arguments,
            )
        finally:
            for model, before in own:
                model.generation_config = before

    def close(self) -> None:
        """Free the model."""
        import torch

        del self._model
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
    def starting(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[[], Engine]]:
        """Yield a function that loads the model in a worker."""
        say(f"Loading {model.recipe.model.base} ({self.spec.name}, {model.device.name})")
        yield partial(_start, model, ids)


def _start(model: LocalModel, ids: TokenIds) -> Engine:
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
    return HfEngine(loaded, pad_id=ids.pad_id, batch_size=fields.batch_size, frame=ids.frame)
