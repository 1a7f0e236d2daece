"""Check before a long generation that the engine computes with the trained weights.

An engine can silently leave the adapter out, or merge or load weights wrongly. The log-probabilities of one
prompt's next token show both, in a few seconds. Of several workers each is checked, all at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from llm_summ.core.errors import GenerationError
from llm_summ.core.formatting import counted
from llm_summ.models.families import family_of_config
from llm_summ.runs.run import Run

__all__ = [
    "LIKELIEST",
    "PROMPTS_OF_A_PROOF",
    "WORTH_PROVING",
    "LogProbs",
    "Proving",
    "ProvingWorkers",
    "adds_nothing",
    "likeliest_tokens",
    "next_token",
    "prove",
]

WORTH_PROVING = 16
"""Minimum number of outputs for the check: fewer are quickly generated again if they are wrong."""

PROMPTS_OF_A_PROOF = 3

LIKELIEST = 5
"""Tokens that are compared after each prompt."""

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


@runtime_checkable
class ProvingWorkers(Protocol):
    """Workers of one engine, which return the probabilities of next tokens if their engine does."""

    def next_tokens(
        self, prompts: Sequence[Sequence[int]], *, adapter: bool = True
    ) -> Mapping[str, Sequence[LogProbs]]:
        """Return the likeliest next tokens after each prompt, by the worker's name.

        Args:
            prompts: their ids.
            adapter: whether an attached adapter is used.

        Returns:
            one entry for each worker; none for workers of an engine that does not return probabilities.
        """


def prove(
    engine: object,
    prompts: Sequence[Sequence[int]],
    *,
    attached: bool,
    dtype: str,
    reference: Callable[[], Any] | None,
    others: str,
) -> None:
    """Raise if an engine does not compute with the trained weights.

    An engine that returns no probabilities passes.

    Args:
        engine: started; its workers, if there are several, are checked one by one.
        prompts: the ids of a few prompts.
        attached: whether the adapter is kept separate from the base's weights.
        dtype: the compute dtype.
        reference: makes transformers' model with the adapter; None: it would take too long, or too much memory.
        others: names of the engines to use instead, for the message.

    Raises:
        GenerationError: the adapter changes nothing, or the engine's results differ from those of transformers.
    """
    anyway = "or skip this check: --set generate.prove=false"
    tuned = _answers(engine, prompts, adapter=True)
    untuned = _answers(engine, prompts, adapter=False) if attached and tuned else {}
    for name, distributions in tuned.items():
        if distributions == untuned.get(name):
            raise GenerationError(
                f"{name}: the attached adapter changes no probability after {counted(len(prompts), 'prompt')}, as "
                f"if it were left out; merge it: --set generate.adapter=merge, {anyway}"
            )
    if reference is None or not tuned:
        return
    model = reference()
    tokens = [set[int]().union(*likeliest) for likeliest in zip(*tuned.values(), strict=True)]
    expected = [next_token(model, prompt, wanted) for prompt, wanted in zip(prompts, tokens, strict=True)]
    for name, distributions in tuned.items():
        apart = max(map(_distance, distributions, expected))
        if apart > _APART[dtype]:
            raise GenerationError(
                f"{name}: the log-probabilities of the likeliest tokens after a prompt differ from those of "
                f"transformers by {apart:.2f}, expected at most {_APART[dtype]}; use --engine {others}, {anyway}"
            )


def _answers(
    engine: object, prompts: Sequence[Sequence[int]], *, adapter: bool
) -> Mapping[str, Sequence[LogProbs]]:
    """Return the likeliest next tokens after each prompt, by the name of the engine or of its workers."""
    if isinstance(engine, ProvingWorkers):
        return engine.next_tokens(prompts, adapter=adapter)
    if isinstance(engine, Proving):
        return {engine.name: [engine.next_token(prompt, adapter=adapter) for prompt in prompts]}
    return {}


def _distance(likeliest: LogProbs, expected: LogProbs) -> float:
    """Return the largest difference between log-probabilities of the same tokens; infinite for one that is NaN."""
    differences = [abs(logprob - expected[token]) for token, logprob in likeliest.items()]
    return math.inf if any(map(math.isnan, differences)) else max(differences, default=math.inf)


def next_token(model: Any, prompt_ids: Sequence[int], tokens: Iterable[int]) -> dict[int, float]:
    """Return the log-probabilities of some tokens after a prompt, by a transformers model."""
    logprobs = _log_probabilities(model, prompt_ids)
    return {token: float(logprobs[token]) for token in tokens}


def likeliest_tokens(model: Any, prompt_ids: Sequence[int]) -> dict[int, float]:
    """Return the log-probabilities of the likeliest tokens after a prompt, by a transformers model."""
    logprobs = _log_probabilities(model, prompt_ids)
    return {int(token): float(logprobs[token]) for token in logprobs.topk(LIKELIEST).indices}


def _log_probabilities(model: Any, prompt_ids: Sequence[int]) -> Any:
    """Return the log-probabilities of all tokens after a prompt, of shape (v,)."""
    import torch

    ids = torch.tensor([list(prompt_ids)], device=model.device)
    inputs = family_of_config(model.config).next_token_inputs(ids)
    with torch.inference_mode():
        logits = model(**inputs, use_cache=False).logits[0, -1].float()
    return torch.log_softmax(logits, -1)


def adds_nothing(run: Run) -> bool:
    """Return whether a run's adapter changes no layer (every B is zero), as after a single step of warm-up."""
    from safetensors import safe_open

    with safe_open(run.adapter / "adapter_model.safetensors", framework="pt") as weights:
        sides = [name for name in weights.keys() if ".lora_B." in name]  # noqa: SIM118  not a mapping
        return bool(sides) and not any(weights.get_tensor(name).any() for name in sides)
