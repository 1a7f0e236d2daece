"""Estimate the duration of a training or a generation: floating-point operations divided by the machine's speed.

With P weights in the layers and H in the head, and per token or label 2 operations a weight in a product:

- a trained token takes 2 P forward and 2 P backward, with all weights trained 4 P backward; checkpointing adds 2
  P;
- a label takes 4 H (6 H with all weights trained), since only labels go through the head;
- a prompt's token takes 2 P; a generated token 2 (P + H), at the rate of products with few rows.

The probe measures the rate of a whole layer, which includes norms, activations, attention and the adapter's small
products. Because of work outside the layers, jobs reach only a share of the rates. The shares were measured with
Gemma 3 270M on two cores of an EPYC with AVX512-BF16, in bfloat16 and in float32 (0.60 and about 0.8 of the
layer's rate in training), and are assumed for all other machines, GPUs included. Later estimates of the same kind
are corrected by the durations of the first jobs (`llm_summ.models.machine_speed`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.models.families import family_of_config
from llm_summ.models.machine_speed import MachineSpeed

__all__ = [
    "ModelSize",
    "decoding_seconds",
    "label_seconds",
    "minutes",
    "model_size",
    "prompt_seconds",
    "training_seconds",
]

# Shares of the measured rates that jobs reach.
_TRAINING, _PROMPTS, _DECODING = 0.66, 0.62, 0.7
_STRAGGLERS, _BATCH = 12, 16  # the cost of a batch's last texts, in texts; texts of a batch
_DEQUANTIZING = 7e-7
"""Seconds times GFLOP/s to dequantize a 4-bit weight once, if dequantized weights are not kept (on a CPU)."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Weights by where they are used.

    Attributes:
        layers: in linear layers that a token passes, the head left out.
        head: in the head.
    """

    layers: int
    head: int

    def __str__(self) -> str:
        """Return the millions of weights, for the names of kinds of jobs: ``268M``."""
        return f"{(self.layers + self.head) / 1e6:.0f}M"


def model_size(model: Any) -> ModelSize:
    """Count the weights of a model, which may be on PyTorch's meta device."""
    from torch import nn

    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    layers = sum(module.in_features * module.out_features for module in linear)
    passed = family_of_config(model.config).weights_per_token(layers)
    return ModelSize(passed, int(head.weight.shape.numel()))


def training_seconds(
    size: ModelSize,
    speed: MachineSpeed,
    tokens: float,
    labels: float,
    *,
    operations: int = 4,
    checkpointing: bool = False,
) -> float:
    """Return the seconds of forward and backward passes.

    Args:
        size: of the model.
        speed: of the machine, in the training's dtype.
        tokens: of the rows, completions included.
        labels: of the rows.
        operations: for each weight and token, forward and backward, see `TrainedWeights.operations`.
        checkpointing: whether activations are computed again.
    """
    of_layers = operations + (2 if checkpointing else 0)
    total = of_layers * size.layers * tokens + operations * size.head * labels
    return 1e-9 * total / (_TRAINING * speed.layer)


def dequantizing_seconds(size: ModelSize, speed: MachineSpeed, micro_batches: float) -> float:
    """Return the additional seconds of 4-bit layers whose weights are dequantized for every pass."""
    return 2 * _DEQUANTIZING * size.layers * micro_batches / speed.many


def prompt_seconds(size: ModelSize, speed: MachineSpeed, tokens: float) -> float:
    """Return the seconds to compute the states of `tokens` tokens."""
    return 2e-9 * size.layers * tokens / (_PROMPTS * speed.layer)


def label_seconds(size: ModelSize, speed: MachineSpeed, labels: float) -> float:
    """Return the seconds to compute the losses of `labels` labels, without gradients."""
    return 2e-9 * (size.layers + size.head) * labels / (_PROMPTS * speed.layer)


def decoding_seconds(size: ModelSize, speed: MachineSpeed, lengths: Sequence[float]) -> float:
    """Return the seconds to decode texts of these lengths, in tokens; each leaves its batch when it ends."""
    if not lengths:
        return 0.0
    # For every token all weights are read, even if few texts are left, and the last text runs to its limit.
    stragglers = _STRAGGLERS * max(lengths) * math.ceil(len(lengths) / _BATCH)
    return 2e-9 * (size.layers + size.head) * (sum(lengths) + stragglers) / (_DECODING * speed.few)


def minutes(seconds: float) -> str:
    """Return a duration for people: ``about 40 seconds``, ``about 6 minutes``, ``about 2.5 hours``."""
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"
