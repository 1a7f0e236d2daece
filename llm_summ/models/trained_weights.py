"""Which weights a training changes, and all that follows from that choice.

A recipe says ``train.weights: lora`` or ``full``. Nothing else in the package compares these names: code that
depends on the choice asks the object that `trained_weights` returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from llm_summ.recipe import LoraFields, Recipe, WeightsName
from llm_summ.runs.run import Run

__all__ = ["FULL", "LORA", "TrainedWeights", "trained_weights", "weights_folder"]


class TrainedWeights(Protocol):
    """Weights that are trained.

    Attributes:
        name: the recipe's word.
        has_adapter: whether an adapter is trained next to a frozen base.
        operations: floating-point operations of a training step for each weight of the base and each token: 2
            forward, 2 for the gradient of the activations, and 2 for the gradient of a weight that is trained.
        noun: what the result is called.
        saves_memory: what to change in a recipe to train fewer weights; empty: these are the fewest.
    """

    name: WeightsName
    has_adapter: bool
    operations: Literal[4, 6]
    noun: Literal["adapter", "model"]
    saves_memory: str

    def folder(self, run: Run) -> Path:
        """Return where a finished run has its weights."""

    def stored_dtype(self, compute: str) -> str:
        """Return the name of the dtype that the base's weights are stored in during a training.

        Args:
            compute: name of the dtype that the training computes in.
        """

    def describe(self, lora: LoraFields) -> str:
        """Return one line for people: what is trained."""


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
        return "float32"  # smaller dtypes swallow small updates

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
    """Return where a run has its weights, also if its recipe cannot be read.

    Args:
        run: the run.
        name: what its recipe says; anything else than a known name: it cannot be read. Then it is whichever of the
            folders exists, the adapter's first.
    """
    for weights in _BY_NAME.values():
        if weights.name == name:
            return weights.folder(run)
    folders = [weights.folder(run) for weights in _BY_NAME.values()]
    return next((folder for folder in folders if folder.is_dir()), folders[-1])
