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
"""Expected tokens of a summary, where nothing else is known."""


@dataclass(frozen=True, slots=True)
class GenerationTime:
    """Estimates the duration of a generation on this machine.

    Attributes:
        engine: the name of the engine that generates.
        size: of the model.
        speed: of the machine.
        kind: the key under which earlier durations are stored; they correct the estimate.
    """

    engine: str
    size: ModelSize
    speed: MachineSpeed
    kind: str

    def seconds(self, prompts: Sequence[int], completions: Sequence[int]) -> float:
        """Return the uncorrected duration, including the start of the engine.

        Args:
            prompts: tokens of each prompt, shape (b,).
            completions: expected tokens of each candidate, shape (b * n,).
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
        """Store the measured duration, for the next estimate."""
        note_duration(self.kind, self.seconds(prompts, completions), seconds)


def generation_time(
    spec: EngineSpec, recipe: Recipe, location: str, device: Device, dtype: str
) -> GenerationTime | None:
    """Measure the machine if no measurement is stored, and count the model's weights.

    Args:
        spec: the engine that generates.
        recipe: with its section `model`.
        location: the folder or hub id of the model that generates.
        device: the device that the model generates on.
        dtype: name of the dtype that it computes in.

    Returns:
        the estimator; None if it cannot be made. Transformers does not know every model that vLLM serves, and a
        missing estimate must not fail a generation.
    """
    try:
        model = empty_model(recipe.model, location)
    except Exception:  # noqa: BLE001  a model's own code may raise anything
        return None
    size = model_size(model)
    kind = "|".join(("generate", spec.name, str(model.config.model_type), str(size), dtype, device.name))
    return GenerationTime(spec.name, size, machine_speed(device, dtype), kind)
