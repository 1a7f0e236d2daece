"""The engine that is always there: transformers' `generate`, batched, sorted by length."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_summ.errors import GenerationError
from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request

__all__ = ["HfEngine"]


class HfEngine:
    """Generation with transformers: greedy, sampled, or by beam search.

    Args:
        model: a causal language model, on its device.
        pad_id: fills shorter prompts of a batch, on the left; it is masked out.
        batch_size: candidates at a time.
    """

    name = "hf"

    def __init__(self, model: Any, *, pad_id: int, batch_size: int) -> None:
        self._model, self._pad_id, self._batch_size = model.eval(), pad_id, batch_size

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield candidates batch by batch, longest prompts first: what does not fit fails at once.

        Batches are cut as if nothing were done, and one that lacks a candidate is made as a whole: what comes is
        the same to the last bit, however often the work was broken off.

        Raises:
            GenerationError: the device has too little memory.
        """
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        # Beam search gives all candidates of a prompt at once; samples are rows like any other.
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
        """Generate for (index, sample) pairs, side by side."""
        import torch
        from transformers import LogitsProcessorList

        from llm_summ.generate.sampling import LogProbs, NoRepeat, SeededDraw

        device, logprobs = self._model.device, None if decoding.beams > 1 else LogProbs()
        ids, mask = self._padded([requests[index].prompt_ids for index, _ in rows])
        longest = ids.shape[1]
        processors = LogitsProcessorList([logprobs] if logprobs else [])
        if decoding.no_repeat_ngram:
            processors.append(NoRepeat(decoding.no_repeat_ngram, longest))
        if decoding.temperature:
            seeds = [requests[index].seed + sample for index, sample in rows]
            processors.append(SeededDraw(seeds, decoding, device))
        config = self._config(max(requests[index].max_new_tokens for index, _ in rows), stop_id, decoding)
        # What the model's own file says (temperature, other stop ids) would fill the gaps in ours.
        self._model.generation_config = config
        try:
            with torch.inference_mode(), _head_on_whole_rows(self._model):
                generated = self._model.generate(
                    input_ids=ids.to(device),
                    attention_mask=mask.to(device),
                    generation_config=config,
                    logits_processor=processors,
                )[:, longest:]
                probabilities = logprobs.finish(generated[:, -1]) if logprobs else []
        except torch.OutOfMemoryError as error:
            at_once = len(rows) * decoding.beams
            if len(rows) > 1:
                hint = f"halve them: --set generate.batch_size={at_once // 2}"
            elif decoding.beams > 1:
                hint = f"take fewer beams than {decoding.beams}, or --set generate.base_quantization=nf4"
            else:
                hint = "use --set generate.base_quantization=nf4"
            raise GenerationError(
                f"hf: out of memory with {at_once} candidates of prompts of up to {longest} tokens; {hint}"
            ) from error
        each = decoding.n if decoding.beams > 1 else 1
        for place, answer in enumerate(generated.tolist()):
            index, sample = rows[place // each]
            answer = answer[: requests[index].max_new_tokens]
            stopped = stop_id in answer
            tokens = tuple(answer[: answer.index(stop_id) + 1] if stopped else answer)
            logprob = sum(probabilities[place][: len(tokens)]) if logprobs else None
            yield Output(index, tokens, "stop" if stopped else "length", sample + place % each, logprob)

    def _config(self, max_new_tokens: int, stop_id: int, decoding: Decoding) -> Any:
        from transformers import GenerationConfig

        beams = {}
        if decoding.beams > 1:
            # As soon as there are as many finished texts as beams, no other one is looked for.
            beams = {"num_beams": decoding.beams, "num_return_sequences": decoding.n, "early_stopping": True}
        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,  # draws are made by our own processor
            eos_token_id=stop_id,
            pad_token_id=self._pad_id,
            **beams,
        )

    def _padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Ids and attention mask of prompts, padded on the left; shape (b, s)."""
        import torch

        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self._pad_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return ids, mask

    def close(self) -> None:
        """Let go of the model."""
        import torch

        del self._model
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU


@contextmanager
def _head_on_whole_rows(model: Any) -> Iterator[None]:
    """Give the model's head contiguous states.

    The library takes the last position out of (b, s, h), which is a view, and PyTorch's product of a view in 16
    bits on a CPU copies the head's weights for every row: 0.3 GiB each with a vocabulary of 262,144.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))
    try:
        yield
    finally:
        hook.remove()
