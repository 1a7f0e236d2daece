"""The weights that a training changes, and everything that depends on that choice.

A recipe sets ``train.weights`` to ``lora`` or ``full``. What follows from it is a field or a method of the object
that `trained_weights` returns, named after what it decides. No other module asks which weights are trained, except
the rules of the recipe itself.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_summ.core.errors import RecipeError, RunError
from llm_summ.core.files import file_sha256
from llm_summ.recipe import LoraFields, Recipe, WeightsName
from llm_summ.runs.run import Run

__all__ = [
    "FULL",
    "LORA",
    "StoredWeights",
    "TrainedWeights",
    "added_tokens_stay",
    "stored_weights",
    "trained_weights",
    "weights_folder",
    "weights_sha256",
]

_TRAIN_AGAIN = "train it again, or choose another run with --run"
"""What to do about weights that are incomplete."""
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The trained weights of a finished run, whose files were checked.

    Attributes:
        kind: the word for them.
        folder: where they are, with their tokenizer.
        adapter: PEFT's configuration of the adapter; None: the folder has a whole model.
    """

    kind: Literal["adapter", "model"]
    folder: Path
    adapter: dict[str, Any] | None

    @property
    def model(self) -> Path | None:
        """The folder of the whole model, which takes the place of the base; None: it is an adapter."""
        return self.folder if self.adapter is None else None

    def digest(self) -> str:
        """Return the SHA-256 of the weights."""
        return weights_sha256(self.folder)


class TrainedWeights(ABC):
    """A choice of weights to train.

    Attributes:
        name: the recipe's value.
        noun: the word for the result.
        operations: floating-point operations of a training step for each weight of the base and each token: 2
            forward, 2 for the gradient of the activations, and 2 for the gradient of a weight that is trained.
        saves_memory: the change of a recipe that trains fewer weights; empty: these are the fewest.
        trains_embeddings: whether the rows of added tokens are trained.
        takes_quantized: whether the base's own weights may be quantized.
        shards_optimizer: whether the optimizer's states are divided among devices, where the base is.
    """

    name: WeightsName
    noun: Literal["adapter", "model"]
    operations: Literal[4, 6]
    saves_memory: str
    trains_embeddings: bool
    takes_quantized: bool
    shards_optimizer: bool

    @abstractmethod
    def folder(self, run: Run) -> Path:
        """Return the folder of a finished run's weights."""

    @abstractmethod
    def stored(self, run: Run) -> StoredWeights:
        """Return the weights of a finished run after checking every needed file; no weights are loaded.

        Raises:
            RunError: a file is missing or damaged.
        """

    @abstractmethod
    def stored_dtype(self, compute: str) -> str:
        """Return the dtype that the base's weights are stored in during a training that computes in `compute`."""

    @abstractmethod
    def describe(self, lora: LoraFields) -> str:
        """Return a line for people about the trained weights."""

    @abstractmethod
    def recipe_errors(self, lora: LoraFields) -> list[RecipeError]:
        """Return the errors of a recipe's LoRA fields that only matter for these weights."""

    @abstractmethod
    def adapted(self, base: Any, add: Callable[[Any], Any]) -> Any:
        """Return the model to be trained.

        Args:
            base: the base model.
            add: returns the base with a new adapter.
        """

    @abstractmethod
    def added_bytes(self, trained: int) -> int:
        """Return how much of the trained parameters' bytes comes on top of the base's weights."""

    @abstractmethod
    def future_adapter(self, lora: LoraFields, *, experts: bool) -> dict[str, Any] | None:
        """Return fields of PEFT's configuration of the adapter that will be trained; None: there will be none.

        Args:
            lora: the recipe's fields.
            experts: whether it adapts fused experts.
        """

    def _check_files(self, run: Run, *names: str) -> Path:
        """Return the folder of a finished run's weights, if it has these files.

        Raises:
            RunError: one is missing.
        """
        folder = self.folder(run)
        if not folder.is_dir():
            raise RunError(f"{run.path}: no {self.noun}; its training did not finish; {_TRAIN_AGAIN}")
        for name in names:
            if not (folder / name).is_file():
                raise RunError(f"{folder}: no {name}; the {self.noun} is incomplete; {_TRAIN_AGAIN}")
        return folder


class _Lora(TrainedWeights):
    """A LoRA adapter; the base is frozen."""

    name = "lora"
    noun = "adapter"
    operations = 4
    saves_memory = ""
    trains_embeddings = False
    takes_quantized = True
    shards_optimizer = False  # the adapter and its states are complete in every process

    def folder(self, run: Run) -> Path:
        return run.adapter

    def stored(self, run: Run) -> StoredWeights:
        folder = self._check_files(
            run, "adapter_config.json", _ADAPTER_WEIGHTS, "tokenizer.json", "tokenizer_config.json"
        )
        path = folder / "adapter_config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            rank = config["r"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: not a LoRA configuration ({error}); {_TRAIN_AGAIN}") from error
        if not isinstance(rank, int):
            raise RunError(f"{path}: r: found {rank!r}, expected a number; {_TRAIN_AGAIN}")
        from safetensors import SafetensorError, safe_open

        path = folder / _ADAPTER_WEIGHTS
        try:
            with safe_open(path, framework="np") as weights:
                names = list(weights.keys())
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path}: damaged or incomplete ({error}); {_TRAIN_AGAIN}") from error
        if not names:
            raise RunError(f"{path}: found no weights; {_TRAIN_AGAIN}")
        return StoredWeights(self.noun, folder, dict(config))

    def stored_dtype(self, compute: str) -> str:
        return compute

    def describe(self, lora: LoraFields) -> str:
        kind = {"default": "", "gaussian": ", gaussian", "eva": ", EVA"}[lora.init]
        plus = "" if lora.learning_rate_ratio is None else f", LoRA+ {lora.learning_rate_ratio:g}"
        return f"{'rsLoRA' if lora.rslora else 'LoRA'} r {lora.r}, alpha {lora.alpha}{kind}{plus}"

    def recipe_errors(self, lora: LoraFields) -> list[RecipeError]:
        if lora.targets != []:
            return []
        return [RecipeError("lora.targets: an empty list; expected all-linear or names such as q_proj")]

    def adapted(self, base: Any, add: Callable[[Any], Any]) -> Any:
        return add(base)

    def added_bytes(self, trained: int) -> int:
        return trained

    def future_adapter(self, lora: LoraFields, *, experts: bool) -> dict[str, Any]:
        return {
            "r": lora.r,
            "target_parameters": experts,
            "lora_alpha": lora.alpha,
            "target_modules": lora.targets,
            "use_rslora": lora.rslora,
            "init_lora_weights": True if lora.init == "default" else lora.init,
        }


class _Full(TrainedWeights):
    """All weights of the base."""

    name = "full"
    noun = "model"
    operations = 6
    saves_memory = "set train.weights to lora"
    trains_embeddings = True
    takes_quantized = False
    shards_optimizer = True

    def folder(self, run: Run) -> Path:
        return run.model

    def stored(self, run: Run) -> StoredWeights:
        folder = self._check_files(run, "config.json", "tokenizer.json", "tokenizer_config.json")
        if not any(folder.glob("*.safetensors")):
            raise RunError(f"{folder}: no weights (*.safetensors); the model is incomplete; {_TRAIN_AGAIN}")
        return StoredWeights(self.noun, folder, None)

    def stored_dtype(self, compute: str) -> str:
        return "float32"  # smaller dtypes lose small updates

    def describe(self, lora: LoraFields) -> str:
        return "all weights are trained"

    def recipe_errors(self, lora: LoraFields) -> list[RecipeError]:
        return []

    def adapted(self, base: Any, add: Callable[[Any], Any]) -> Any:
        return base

    def added_bytes(self, trained: int) -> int:
        return 0

    def future_adapter(self, lora: LoraFields, *, experts: bool) -> None:
        return None


LORA: TrainedWeights = _Lora()
FULL: TrainedWeights = _Full()

_BY_NAME: dict[WeightsName, TrainedWeights] = {weights.name: weights for weights in (LORA, FULL)}


def trained_weights(recipe: Recipe) -> TrainedWeights:
    """Return the weights that a recipe trains."""
    return _BY_NAME[recipe.train.weights]


def stored_weights(run: Run) -> StoredWeights:
    """Return the weights of a finished run by its folders; errors are those of `TrainedWeights.stored`."""
    return (FULL if FULL.folder(run).is_dir() else LORA).stored(run)


def added_tokens_stay(recipe: Recipe) -> str:
    """Return why added tokens stay as they are in a training; empty if they are trained, or there are none."""
    if not recipe.model.add_tokens or trained_weights(recipe).trains_embeddings:
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


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights in a folder; of several files, one for each, in the order of names."""
    return "+".join(file_sha256(path) for path in sorted(folder.glob("*.safetensors")))
