"""Estimate how long a training will take: its steps, and the evaluations between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_summ.models.device import Device
from llm_summ.models.duration import (
    ModelSize,
    decoding_seconds,
    dequantizing_seconds,
    label_seconds,
    minutes,
    prompt_seconds,
    training_seconds,
)
from llm_summ.models.machine_speed import MachineSpeed, corrected, machine_speed
from llm_summ.models.trained_weights import trained_weights
from llm_summ.plan.step_batches import draw_steps, micro_batches
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe
from llm_summ.score.workers import cores

__all__ = ["TrainingTime", "quickest_micro_batch", "training_time"]

_WORTH = 0.97  # of the time: a larger micro batch takes memory, and must be faster than this


@dataclass(frozen=True, slots=True)
class TrainingTime:
    """Estimated seconds by parts, from the measured speed of the machine.

    Attributes:
        recipe: of the training.
        size: of the model.
        speed: of the machine.
        kind: the key of similar earlier trainings on this machine, which correct the estimate.
        micro_batch_size: rows that are computed at a time.
        dequantizes: whether 4-bit weights are dequantized for every pass on a CPU.
        checkpointing: whether activations are computed again.
        devices: the number of devices that train together.
    """

    recipe: Recipe
    size: ModelSize
    speed: MachineSpeed
    kind: str
    micro_batch_size: int
    dequantizes: bool
    checkpointing: bool
    devices: int

    def step(self, rows: Sequence[TokenizedExample]) -> float:
        """Return the seconds of the forward and backward passes of these rows."""
        seconds = training_seconds(
            self.size,
            self.speed,
            sum(map(len, rows)),
            sum(row.target_tokens for row in rows),
            operations=trained_weights(self.recipe).operations,
            checkpointing=self.checkpointing,
        )
        if self.dequantizes:
            seconds += dequantizing_seconds(self.size, self.speed, len(rows) / self.micro_batch_size)
        return seconds / self._side_by_side

    def evaluation(
        self, prompts: Sequence[TokenizedExample], completions: Sequence[Sequence[TokenizedExample]]
    ) -> float:
        """Return the seconds of one evaluation: prompts, losses of references, and summaries as long as these."""
        references = [row.target_tokens for rows in completions for row in rows]
        return self._evaluation(prompts, sum(references), sum(references) / max(1, len(references)))

    def _evaluation(self, prompts: Sequence[TokenizedExample], labels: float, typical: float) -> float:
        """Return the seconds of prompts, of `labels` tokens, and of a summary of `typical` tokens per prompt."""
        seconds = (
            prompt_seconds(self.size, self.speed, sum(len(row.prompt_ids) for row in prompts))
            + label_seconds(self.size, self.speed, labels)
            + decoding_seconds(self.size, self.speed, [typical] * len(prompts))
        )
        return seconds / self._side_by_side

    def total(self, plan: TrainingPlan) -> tuple[float, float]:
        """Return the seconds of all steps and of all evaluations, before any correction."""
        share = plan.steps * plan.recipe.train.batch_size / max(1, len(plan.rows))
        evaluations = 0.0
        if plan.evaluations:
            rows = min(plan.recipe.evaluation.rows or plan.scorable, plan.scorable)
            # The references are not rendered yet: assume that they are as long as the trained completions.
            typical = plan.completion_tokens / max(1, len(plan.rows))
            references = sum(len(dialogue.references) for dialogue in plan.data["dev"]) / max(1, plan.scorable)
            seconds = self._evaluation(plan.prompts["dev"][:rows], rows * references * typical, typical)
            evaluations = plan.evaluations * seconds
        return share * self.step(plan.rows), evaluations

    def line(self, plan: TrainingPlan) -> str:
        """Return the estimate for people."""
        steps, evaluations = self._corrected(plan)
        parts = f" ({minutes(steps)} of training, {minutes(evaluations)} of evaluations)" if evaluations else ""
        estimate = f"{minutes(steps + evaluations)} on this machine{parts}: {self.speed}"
        limit = plan.recipe.train.max_minutes
        if limit is not None and steps + evaluations > 60 * limit:
            return f"{limit:g} minutes (train.max_minutes); all {plan.steps} steps would take {estimate}"
        return estimate

    def to_json(self, plan: TrainingPlan) -> dict[str, float]:
        """Return the estimate for programs, in seconds."""
        steps, evaluations = self._corrected(plan)
        return {"training": round(steps, 1), "evaluations": round(evaluations, 1)}

    def _corrected(self, plan: TrainingPlan) -> tuple[float, float]:
        """Return `total`, corrected by the durations of earlier trainings."""
        steps, evaluations = self.total(plan)
        return corrected(self.kind, steps), corrected(self.kind, evaluations)

    @property
    def _side_by_side(self) -> int:
        # The probe measured one GPU; on a CPU it measured `speed.cores` cores, which several processes share.
        return min(self.devices, cores() // self.speed.cores) or 1 if self.speed.cores else self.devices


def training_time(
    recipe: Recipe,
    size: ModelSize,
    architecture: str,
    device: Device,
    dtype: str,
    *,
    micro_batch_size: int,
    dense: bool,
    devices: int,
) -> TrainingTime:
    """Return the time estimate; measures the machine, if that was not done before.

    Args:
        recipe: of the training.
        size: of the model.
        architecture: transformers' name of the base's family.
        device: to train on.
        dtype: name of the dtype to compute in.
        micro_batch_size: rows at a time.
        dense: whether dequantized weights are kept.
        devices: the number of devices that train together.
    """
    on_gpu = device.kind == "cuda"
    quantized = recipe.model.quantization in ("nf4", "fp4")
    return TrainingTime(
        recipe,
        size,
        machine_speed(device, dtype),
        "|".join(
            (
                "train",
                architecture,
                str(size),
                recipe.train.weights,
                recipe.model.quantization,
                dtype,
                device.name,
                str(devices),
            )
        ),
        micro_batch_size,
        quantized and not on_gpu and not dense,
        recipe.train.checkpoints(on_gpu=on_gpu),
        devices,
    )


def quickest_micro_batch(
    recipe: Recipe, rows: Sequence[TokenizedExample], size: ModelSize, speed: MachineSpeed
) -> int:
    """Return the micro batch with which a CPU is fastest, by the measured speed of the machine.

    With more rows at a time, 4-bit weights are dequantized less often, and matrix products may be faster; but rows
    are padded to the longest.

    Args:
        recipe: sets how the rows are drawn; its 4-bit weights are dequantized for every pass.
        rows: of the training.
        size: of the model.
        speed: of the machine.
    """
    train, lengths = recipe.train, [len(row) for row in rows]
    steps = draw_steps(lengths, train.batch_size, seed=recipe.seed, epoch=0, grouped=train.group_by_length)[:50]

    def seconds(count: int) -> float:
        parts = [part for step in steps for part in micro_batches([lengths[index] for index in step], count, int)]
        tokens = sum(sum(part) if train.packing else max(part) * len(part) for part in parts)
        reached = speed.many + (speed.most - speed.many) * min(1.0, (count - 1) / 3)
        rate = replace(speed, layer=speed.layer * reached / speed.many)
        slowed = training_seconds(size, rate, tokens, 0, operations=trained_weights(recipe).operations)
        return slowed + dequantizing_seconds(size, speed, len(parts))

    best, largest = 1, 2 ** (train.batch_size.bit_length() - 1)
    for count in (2**power for power in range(1, largest.bit_length())):
        if seconds(count) < _WORTH * seconds(best):
            best = count
    return best
