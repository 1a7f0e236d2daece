"""The weights that a training changes, and everything that depends on that choice.

A recipe sets ``train.weights`` to ``lora`` or ``full``. Nothing else in the package compares these names: code
that depends on the choice uses the object that `trained_weights` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_summ.core.errors import RunError
from llm_summ.core.files import file_sha256
from llm_summ.recipe import LoraFields, Recipe, WeightsName
from llm_summ.runs.run import Run

__all__ = [
    "FULL",
    "LORA",
    "TRAIN_AGAIN",
    "TrainedWeights",
    "added_tokens_stay",
    "trained_model",
    "trained_weights",
    "weights_folder",
    "weights_sha256",
]

TRAIN_AGAIN = "train it again, or choose another run with --run"
"""What to do about weights that are incomplete."""


@dataclass(frozen=True, slots=True)
class TrainedWeights:
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
        return run.adapter if self.has_adapter else run.model

    def check_files(self, run: Run, *names: str) -> None:
        """Check that the folder of a finished run's weights has these files.

        Raises:
            RunError: one is missing.
        """
        folder = self.folder(run)
        if not folder.is_dir():
            raise RunError(f"{run.path}: no {self.noun}; its training did not finish; {TRAIN_AGAIN}")
        for name in names:
            if not (folder / name).is_file():
                raise RunError(f"{folder}: no {name}; the {self.noun} is incomplete; {TRAIN_AGAIN}")

    def stored_dtype(self, compute: str) -> str:
        """Return the dtype that the base's weights are stored in during a training that computes in `compute`."""
        return compute if self.has_adapter else "float32"  # smaller dtypes lose small updates

    def describe(self, lora: LoraFields) -> str:
        """Return a line for people about the trained weights."""
        if not self.has_adapter:
            return "all weights are trained"
        kind = {"default": "", "gaussian": ", gaussian", "eva": ", EVA"}[lora.init]
        plus = "" if lora.learning_rate_ratio is None else f", LoRA+ {lora.learning_rate_ratio:g}"
        return f"{'rsLoRA' if lora.rslora else 'LoRA'} r {lora.r}, alpha {lora.alpha}{kind}{plus}"


LORA = TrainedWeights("lora", has_adapter=True, operations=4, noun="adapter", saves_memory="")
"""A LoRA adapter; the base is frozen."""

FULL = TrainedWeights(
    "full", has_adapter=False, operations=6, noun="model", saves_memory="set train.weights to lora"
)
"""All weights of the base."""

_BY_NAME: dict[WeightsName, TrainedWeights] = {weights.name: weights for weights in (LORA, FULL)}


def trained_weights(recipe: Recipe) -> TrainedWeights:
    """Return the weights that a recipe trains."""
    return _BY_NAME[recipe.train.weights]


def added_tokens_stay(recipe: Recipe) -> str:
    """Return why added tokens stay as they are in a training; empty if they are trained, or there are none."""
    if not recipe.model.add_tokens or not trained_weights(recipe).has_adapter:
        return ""
    return f"model.add_tokens: train.weights {recipe.train.weights} trains no embeddings"


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


def trained_model(run: Run) -> Path:
    """Return the folder of a run's trained model after checking its files; no weights are loaded.

    Raises:
        RunError: a file is missing.
    """
    FULL.check_files(run, "config.json", "tokenizer.json", "tokenizer_config.json")
    if not any(run.model.glob("*.safetensors")):
        raise RunError(f"{run.model}: no weights (*.safetensors); the model is incomplete; {TRAIN_AGAIN}")
    return run.model


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights in a folder; of several files, one for each, in the order of names."""
    return "+".join(file_sha256(path) for path in sorted(folder.glob("*.safetensors")))
