"""Check before a long generation that the engine computes with the trained weights.

An engine can silently leave the adapter out, or merge or load weights wrongly. The log-probabilities of one
prompt's next token show both, in a second or two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from llm_summ.core.errors import GenerationError
from llm_summ.runs.run import Run

__all__ = ["PROMPTS_OF_A_PROOF", "WORTH_PROVING", "Proving", "adds_nothing", "next_token", "prove"]

WORTH_PROVING = 16
"""Minimum number of outputs for the check: fewer are quickly generated again if they are wrong."""

PROMPTS_OF_A_PROOF = 3

LogProbs = Mapping[int, float]
"""Natural logarithms of the probabilities of a few of the likeliest next tokens, by id."""

_APART = {"float32": 0.05, "bfloat16": 0.6, "float16": 0.3}
"""Largest accepted difference between two computations of the likeliest tokens' log-probabilities, by dtype: ten
times the largest difference that was measured between vLLM and transformers."""


@runtime_checkable
class Proving(Protocol):
    """An engine that returns the probabilities of a next token."""

    @property
    def name(self) -> str:
        """The engine's name in a recipe."""

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> LogProbs:
        """Return the likeliest next tokens after a prompt; without `adapter`, as if none were attached."""


def prove(
    engine: Proving,
    prompts: Sequence[Sequence[int]],
    *,
    attached: bool,
    dtype: str,
    reference: Callable[[], Any] | None,
    others: str,
) -> None:
    """Raise if an engine does not compute with the trained weights.

    Args:
        engine: started.
        prompts: the ids of a few prompts.
        attached: whether the adapter is kept separate from the base's weights.
        dtype: the compute dtype.
        reference: makes transformers' model with the adapter; None: it would take too long, or too much memory.
        others: names of the engines to use instead, for the message.

    Raises:
        GenerationError: the adapter changes nothing, or the engine's results differ from those of transformers.
    """
    anyway = "or skip this check: --set generate.prove=false"
    distributions = [engine.next_token(prompt) for prompt in prompts]
    if attached and distributions == [engine.next_token(prompt, adapter=False) for prompt in prompts]:
        raise GenerationError(
            f"{engine.name}: the attached adapter changes no probability after {len(prompts)} prompts, as if it "
            f"were left out; merge it: --set generate.adapter=merge, {anyway}"
        )
    if reference is None:
        return
    model = reference()
    apart = 0.0
    for prompt, likeliest in zip(prompts, distributions, strict=True):
        expected = next_token(model, prompt, likeliest)
        for token, logprob in likeliest.items():
            difference = abs(logprob - expected[token])
            apart = max(apart, math.inf if math.isnan(difference) else difference)
    if apart > _APART[dtype]:
        raise GenerationError(
            f"{engine.name}: the log-probabilities of the likeliest tokens after a prompt differ from those of "
            f"transformers by {apart:.2f}, expected at most {_APART[dtype]}; use --engine {others}, "
            f"{anyway}"
        )


def next_token(model: Any, prompt_ids: Sequence[int], tokens: Sequence[int] | LogProbs) -> dict[int, float]:
    """Return the log-probabilities of some tokens after a prompt, by a transformers model."""
    import torch

    ids = torch.tensor([list(prompt_ids)], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    logprobs = torch.log_softmax(logits, -1)
    return {token: float(logprobs[token]) for token in tokens}


def adds_nothing(run: Run) -> bool:
    """Return whether a run's adapter changes no layer (every B is zero), as after a single step of warm-up."""
    from safetensors import safe_open

    with safe_open(run.adapter / "adapter_model.safetensors", framework="pt") as weights:
        sides = [name for name in weights.keys() if ".lora_B." in name]  # noqa: SIM118  not a mapping
        return bool(sides) and not any(weights.get_tensor(name).any() for name in sides)
