"""How long a generation takes, and which engine is the faster for so many outputs on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_summ.core.errors import ModelError
from llm_summ.models.base import base_location, configuration, empty_model, pick_dtype
from llm_summ.models.base_facts import facts_of
from llm_summ.models.device import Device, find_device
from llm_summ.models.duration import ModelSize, decoding_seconds, minutes, model_size, prompt_seconds
from llm_summ.models.machine_speed import MachineSpeed, corrected, machine_speed, note_duration
from llm_summ.models.vllm_support import unserved_on_cpu
from llm_summ.recipe import Recipe

__all__ = ["COMPLETION_TOKENS", "GenerationTime", "faster_engine", "generation_time"]

# Seconds times GFLOP/s before the first prompt, with Gemma 3 270M, measured on two cores of an EPYC of the third
# generation (AVX2). vLLM merges and writes weights, starts its engine, and shows that it computes with them.
_START = {"hf": 800.0, "vllm": 12000.0}
# What a prompt and its completion take with vLLM, compared with hf: from 32 outputs there.
_VLLM_SHARE = 0.5
COMPLETION_TOKENS = 60
"""Of a summary, where nothing else is known."""
_TOKENS_PER_CHARACTER, _PROMPT = 0.6, 60  # of Korean dialogues, and tokens of the instruction


@dataclass(frozen=True, slots=True)
class GenerationTime:
    """What a generation takes on this machine.

    Attributes:
        engine: that generates.
        size: of the model.
        speed: of the machine.
        kind: what earlier generations on this machine are known by, to correct the estimate.
    """

    engine: Literal["hf", "vllm"]
    size: ModelSize
    speed: MachineSpeed
    kind: str

    def seconds(self, prompts: Sequence[int], completions: Sequence[int]) -> float:
        """Return how long it takes, with the start of the engine, before any correction.

        Args:
            prompts: tokens of each prompt, shape (b,).
            completions: tokens that are expected of each candidate, shape (b * n,).
        """
        work = prompt_seconds(self.size, self.speed, sum(prompts)) + decoding_seconds(
            self.size, self.speed, completions
        )
        if not self.speed.cores:  # on a GPU the start hardly depends on its speed
            return work + (60 if self.engine == "vllm" else 15)
        return _START[self.engine] / self.speed.many + work * (_VLLM_SHARE if self.engine == "vllm" else 1)

    def line(self, prompts: Sequence[int], completions: Sequence[int]) -> str:
        """Return the estimate for people."""
        estimate = minutes(corrected(self.kind, self.seconds(prompts, completions)))
        return f"{len(completions)} outputs with {self.engine}: {estimate} on this machine ({self.speed})"

    def note(self, prompts: Sequence[int], completions: Sequence[int], seconds: float) -> None:
        """Keep how long it took, for the next estimate."""
        note_duration(self.kind, self.seconds(prompts, completions), seconds)


def generation_time(
    engine: Literal["hf", "vllm"], recipe: Recipe, location: str, device: Device, dtype: str
) -> GenerationTime | None:
    """Measure the machine, if it is not known, and count the model's weights.

    Args:
        engine: that generates.
        recipe: with its section `model`.
        location: the folder or hub id of the model that generates.
        device: where.
        dtype: name of the dtype that it computes in.

    Returns:
        what the generation takes; None where that cannot be known: transformers does not know every model that
        vLLM serves, and a generation does not fail for an estimate.
    """
    try:
        model = empty_model(recipe.model, location)
    except Exception:  # noqa: BLE001  a model's own code may raise anything
        return None
    size = model_size(model)
    kind = "|".join(("generate", engine, str(model.config.model_type), str(size), dtype, device.name))
    return GenerationTime(engine, size, machine_speed(device, dtype), kind)


def faster_engine(recipe: Recipe, characters: Sequence[int]) -> tuple[Literal["hf", "vllm"], str]:
    """Return which of the engines on this machine is the faster, start included, and why.

    Later corrections of estimates are left out, so that the answer depends on the machine and the dialogues alone.

    Args:
        recipe: with its model and section `generate`.
        characters: of each dialogue.
    """
    device = find_device()
    try:
        location = base_location(recipe.model)
        dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
        facts = facts_of(configuration(recipe.model, location))
    except ModelError:  # it is reported where the model is opened
        return "vllm", ""
    if facts.quantized is not None:
        return "hf", f"the base's own weights are quantized ({facts.quantized})"
    if device.kind == "cuda":
        return "vllm", ""
    if unserved := unserved_on_cpu(facts):
        return "hf", unserved
    hf = generation_time("hf", recipe, location, device, dtype)
    if hf is None:
        return "vllm", ""
    vllm = GenerationTime("vllm", hf.size, hf.speed, "")
    prompts = [_PROMPT + round(_TOKENS_PER_CHARACTER * count) for count in characters]
    completions = [min(COMPLETION_TOKENS, recipe.generate.max_new_tokens)] * (len(characters) * recipe.generate.n)
    seconds = {name: time.seconds(prompts, completions) for name, time in (("hf", hf), ("vllm", vllm))}
    if seconds["hf"] > seconds["vllm"]:
        return "vllm", ""
    return "hf", (
        f"{len(completions)} outputs take {minutes(seconds['hf'])} with it, and {minutes(seconds['vllm'])} with "
        "vllm, start included"
    )
