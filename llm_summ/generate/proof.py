"""Before a long generation: whether the engine computes with what was trained.

An adapter can be left out without a word, and weights can be merged or loaded wrongly. The log-probabilities of
one prompt's next token show both, in a second or two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from llm_summ.core.errors import GenerationError
from llm_summ.runs.run import Run

__all__ = ["PROMPTS_OF_A_PROOF", "WORTH_PROVING", "Proving", "adds_nothing", "next_token", "prove"]

WORTH_PROVING = 16
"""Outputs: nobody waits long for fewer wrong ones."""

PROMPTS_OF_A_PROOF = 3

LogProbs = Mapping[int, float]
"""Natural logarithms of the probabilities of a few of the likeliest next tokens, by id."""

_APART = {"float32": 0.05, "bfloat16": 0.6, "float16": 0.3}
"""How far two ways to compute the likeliest tokens' log-probabilities lie apart at most, by dtype: what was seen
between vLLM and transformers is a tenth of it."""


@runtime_checkable
class Proving(Protocol):
    """An engine that returns the probabilities of a next token."""

    @property
    def name(self) -> str:
        """Its name in a recipe."""

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> LogProbs:
        """Return what it holds likeliest behind a prompt; without `adapter`, as if none were attached."""


def prove(
    engine: Proving,
    prompts: Sequence[Sequence[int]],
    *,
    attached: bool,
    dtype: str,
    reference: Callable[[], Any] | None,
    others: str,
) -> None:
    """Refuse an engine that does not compute with the trained weights.

    Args:
        engine: started.
        prompts: the ids of a few prompts.
        attached: whether the adapter stays beside the base's weights.
        dtype: that is computed in.
        reference: makes transformers' model with the adapter; None: it would take too long, or too much memory.
        others: names of the engines to use instead, for advice.

    Raises:
        GenerationError: the adapter changes nothing, or the engine computes something else than transformers.
    """
    anyway = "or generate all the same: --set generate.prove=false"
    found = [engine.next_token(prompt) for prompt in prompts]
    if attached and found == [engine.next_token(prompt, adapter=False) for prompt in prompts]:
        raise GenerationError(
            f"{engine.name}: the attached adapter changes no probability after {len(prompts)} prompts, as if it "
            f"were left out; merge it: --set generate.adapter=merge, {anyway}"
        )
    if reference is None:
        return
    model = reference()
    apart = 0.0
    for prompt, likeliest in zip(prompts, found, strict=True):
        expected = next_token(model, prompt, likeliest)
        for token, logprob in likeliest.items():
            difference = abs(logprob - expected[token])
            apart = max(apart, math.inf if math.isnan(difference) else difference)
    if apart > _APART[dtype]:
        raise GenerationError(
            f"{engine.name}: the likeliest tokens after a prompt have other probabilities than with transformers: "
            f"their logarithms differ by {apart:.2f}, expected at most {_APART[dtype]}; use --engine {others}, "
            f"{anyway}"
        )


def next_token(model: Any, prompt_ids: Sequence[int], tokens: Sequence[int] | LogProbs) -> dict[int, float]:
    """Return the log-probabilities of some tokens behind a prompt, by a model of transformers."""
    import torch

    ids = torch.tensor([list(prompt_ids)], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    found = torch.log_softmax(logits, -1)
    return {token: float(found[token]) for token in tokens}


def adds_nothing(run: Run) -> bool:
    """Whether a run's adapter adds nothing to any layer, as after a single step of warm-up: every B is zero."""
    from safetensors import safe_open

    with safe_open(run.adapter / "adapter_model.safetensors", framework="pt") as weights:
        sides = [name for name in weights.keys() if ".lora_B." in name]  # noqa: SIM118  it is no mapping
        return bool(sides) and not any(weights.get_tensor(name).any() for name in sides)
