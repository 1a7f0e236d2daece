"""The engine that is always there: transformers' `generate`, batched, sorted by length."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from typing import Any

from llm_summ.errors import GenerationError
from llm_summ.generate.engine import Output

__all__ = ["HfEngine"]


class HfEngine:
    """Greedy generation with transformers.

    Args:
        model: a causal language model, on its device.
        pad_id: fills shorter prompts of a batch, on the left; it is masked out.
        batch_size: prompts at a time.
    """

    name = "hf"

    def __init__(self, model: Any, *, pad_id: int, batch_size: int) -> None:
        self._model, self._pad_id, self._batch_size = model.eval(), pad_id, batch_size

    def generate(self, prompts: Sequence[Sequence[int]], *, stop_id: int, max_new_tokens: int) -> Iterator[Output]:
        """Yield outputs batch by batch, longest prompts first: what does not fit fails at once.

        Raises:
            GenerationError: the device has too little memory.
        """
        import torch
        from transformers import GenerationConfig

        config = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=stop_id, pad_token_id=self._pad_id
        )
        # What the model's own file says (temperature, other stop ids) would fill the gaps in ours.
        self._model.generation_config = config
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            longest = len(prompts[batch[0]])
            ids = torch.full((len(batch), longest), self._pad_id)  # (b, s)
            mask = torch.zeros_like(ids)
            for row, index in enumerate(batch):
                prompt = torch.tensor(prompts[index])
                ids[row, longest - len(prompt) :] = prompt
                mask[row, longest - len(prompt) :] = 1
            try:
                with torch.inference_mode():
                    generated = self._model.generate(
                        input_ids=ids.to(self._model.device),
                        attention_mask=mask.to(self._model.device),
                        generation_config=config,
                    )[:, longest:].tolist()
            except torch.OutOfMemoryError as error:
                raise GenerationError(
                    f"hf: out of memory with {len(batch)} prompts of up to {longest} tokens; "
                    + (
                        f"halve them: --set generate.batch_size={len(batch) // 2}"
                        if len(batch) > 1
                        else "use --set generate.base_quantization=nf4"
                    )
                ) from error
            for index, answer in zip(batch, generated, strict=True):
                if stop_id in answer:
                    yield Output(index, tuple(answer[: answer.index(stop_id) + 1]), "stop")
                else:
                    yield Output(index, tuple(answer), "length")

    def close(self) -> None:
        """Let go of the model."""
        import torch

        del self._model
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without a GPU
