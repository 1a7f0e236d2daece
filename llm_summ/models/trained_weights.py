"""The weights that a training changes, and everything that depends on that choice.

A recipe sets ``train.weights`` to ``lora`` or ``full``. Nothing else in the package compares these names: code
that depends on the choice uses the object that `trained_weights` returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from llm_summ.recipe import LoraFields, Recipe, WeightsName
from llm_summ.runs.run import Run

__all__ = ["FULL", "LORA", "TrainedWeights", "trained_weights", "weights_folder"]


class TrainedWeights(Protocol):
    """A choice of weights to train.

    Attributes:
        name: the recipe's value.
        has_adapter: whether an adapter is trained next to a frozen base.
        operations: floating-point operations of a training step for each weight of the base and each token: 2
            forward, 2 for the gradient of the activations, and 2 for the gradient of a weight that is trained.
        noun: the word for the result.
        saves_memory: the change of a recipe that trains fewer weights; empty: these are the fewest.
    """

    name: WeightsName
    has_adapter: bool
    operations: Literal[4, 6]
    noun: Literal["adapter", "model"]
    saves_memory: str

    def folder(self, run: Run) -> Path:
        """Return the folder of a finished run's weights."""

    def stored_dtype(self, compute: str) -> str:
        """Return the name of the dtype that the base's weights are stored in during a training.

        Args:
            compute: name of the dtype that the training computes in.
        """

    def describe(self, lora: LoraFields) -> str:
        """Return a line for people about the trained weights."""


class _Lora:
    name: WeightsName = "lora"
    has_adapter = True
    operations: Literal[4, 6] = 4
    noun: Literal["adapter", "model"] = "adapter"
    saves_memory = ""

    def folder(self, run: Run) -> Path:
        return run.adapter

    def stored_dtype(self, compute: str) -> str:
        return compute

    def describe(self, lora: LoraFields) -> str:
        kind = {"default": "", "gaussian": ", gaussian", "eva": ", EVA"}[lora.init]
        plus = "" if lora.learning_rate_ratio is None else f", LoRA+ {lora.learning_rate_ratio:g}"
        return f"{'rsLoRA' if lora.rslora else 'LoRA'} r {lora.r}, alpha {lora.alpha}{kind}{plus}"


class _Full:
    name: WeightsName = "full"
    has_adapter = False
    operations: Literal[4, 6] = 6
    noun: Literal["adapter", "model"] = "model"
    saves_memory = "set train.weights to lora"

    def folder(self, run: Run) -> Path:
        return run.model

    def stored_dtype(self, compute: str) -> str:
        return "float32"  # smaller dtypes lose small updates

    def describe(self, lora: LoraFields) -> str:
        return "all weights are trained"


LORA: TrainedWeights = _Lora()
"""A LoRA adapter; the base is frozen."""

FULL: TrainedWeights = _Full()
"""All weights of the base."""

_BY_NAME: dict[WeightsName, TrainedWeights] = {weights.name: weights for weights in (LORA, FULL)}


def trained_weights(recipe: Recipe) -> TrainedWeights:
    """Return the weights that a recipe trains."""
    return _BY_NAME[recipe.train.weights]


def weights_folder(run: Run, name: object) -> Path:
    """Return the folder of a run's weights, also if its recipe cannot be read.

    Args:
        run: the run.
        name: the value in its recipe. If it is not a known name, the recipe could not be read; then the first
            folder that exists is returned, the adapter's before the model's.
    """
    for weights in _BY_NAME.values():
        if weights.name == name:
            return weights.folder(run)
    folders = [weights.folder(run) for weights in _BY_NAME.values()]
    return next((folder for folder in folders if folder.is_dir()), folders[-1])
