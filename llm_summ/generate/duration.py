"""How long a generation takes on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_summ.core.engine_registry import EngineCost, EngineSpec, engine_spec
from llm_summ.models.base import empty_model
from llm_summ.models.device import Device
from llm_summ.models.duration import ModelSize, decoding_seconds, minutes, model_size, prompt_seconds
from llm_summ.models.machine_speed import MachineSpeed, corrected, machine_speed, note_duration
from llm_summ.recipe import Recipe

__all__ = ["COMPLETION_TOKENS", "GenerationTime", "generation_time"]

_UNKNOWN = EngineCost(0.0, 1.0, 0.0)
COMPLETION_TOKENS = 60
"""Of a summary, where nothing else is known."""


@dataclass(frozen=True, slots=True)
class GenerationTime:
    """What a generation takes on this machine.

    Attributes:
        engine: the name of the engine that generates.
        size: of the model.
        speed: of the machine.
        kind: what earlier generations on this machine are known by, to correct the estimate.
    """

    engine: str
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
        cost = engine_spec(self.engine).cost or _UNKNOWN
        if not self.speed.cores:  # on a GPU the start hardly depends on its speed
            return work + cost.gpu_start
        return cost.start / self.speed.many + work * cost.share

    def line(self, prompts: Sequence[int], completions: Sequence[int]) -> str:
        """Return the estimate for people."""
        estimate = minutes(corrected(self.kind, self.seconds(prompts, completions)))
        return f"{len(completions)} outputs with {self.engine}: {estimate} on this machine ({self.speed})"

    def note(self, prompts: Sequence[int], completions: Sequence[int], seconds: float) -> None:
        """Keep how long it took, for the next estimate."""
        note_duration(self.kind, self.seconds(prompts, completions), seconds)


def generation_time(
    spec: EngineSpec, recipe: Recipe, location: str, device: Device, dtype: str
) -> GenerationTime | None:
    """Measure the machine, if it is not known, and count the model's weights.

    Args:
        spec: the engine that generates.
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
    kind = "|".join(("generate", spec.name, str(model.config.model_type), str(size), dtype, device.name))
    return GenerationTime(spec.name, size, machine_speed(device, dtype), kind)
