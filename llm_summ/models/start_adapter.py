"""Start a training with the adapter of a finished run (`train.from_run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_summ.core.errors import InputError, ModelError, RunError
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.trained_weights import trained_weights, weights_sha256
from llm_summ.recipe import Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, open_run

__all__ = ["find_start", "load_start", "refuse_another_start", "start_stamp"]

# With another value of one of these, the same weights would be another adapter, or would not fit.
_SHAPE = ("r", "alpha", "targets", "rslora")


def find_start(recipe: Recipe, runs: Path, location: str) -> Run | None:
    """Return the run whose adapter a training starts with; None: it starts with a new adapter.

    Raises:
        RunError: the run does not exist, is not finished, or has no adapter; or base or LoRA shape differ.
    """
    name = recipe.train.from_run
    if name is None:
        return None
    where = f"train.from_run: {name}"
    try:
        run = open_run(runs, name, "train.from_run")
        trained = run.recipe()
        if trained_weights(trained).stored(run).adapter is None:
            raise RunError(
                f"{where}: all its weights were trained, so it has no adapter; name a run with an adapter"
            )
        begun = run.manifest().base
    except InputError as error:
        line = str(error)
        raise RunError(line if line.startswith("train.from_run") else f"train.from_run: {line}") from error
    stamp = base_stamp(recipe.model, location)
    both = begun is not None and "files" in begun and "files" in stamp  # then the name does not matter
    if begun is None:
        differs = trained.model.base != recipe.model.base
    else:
        differs = begun["files"] != stamp["files"] if both else begun != stamp
    if differs:
        raise RunError(
            f"{where}: its base is {trained.model.base}, found {recipe.model.base} (or other files under that "
            "name) in the recipe; an adapter only fits the base that it was trained on: set model.base to that one"
        )
    ours, theirs = recipe.lora.model_dump(), trained.lora.model_dump()
    if other := [field for field in _SHAPE if ours[field] != theirs[field]]:
        there = ", ".join(f"lora.{field} {theirs[field]}" for field in other)
        here = ", ".join(str(ours[field]) for field in other)
        raise RunError(f"{where}: its adapter has {there}, found {here} in the recipe; set the same values")
    if trained.model.add_tokens != recipe.model.add_tokens:
        raise RunError(
            f"{where}: model.add_tokens is {trained.model.add_tokens} there; set the same tokens, in that order"
        )
    return run


def start_stamp(run: Run) -> dict[str, str]:
    """Return the manifest's record of the adapter that a training starts with."""
    return {"run": str(run.path), "adapter_sha256": weights_sha256(run.adapter)}


def refuse_another_start(run: Run, start: Run | None, manifest: Manifest) -> None:
    """Refuse to resume a training with another initial adapter than its manifest names.

    Raises:
        RunError: the adapter was changed.
    """
    begun_with = (manifest.from_run or {}).get("adapter_sha256")
    if start is not None and weights_sha256(start.adapter) != begun_with:
        raise RunError(
            f"{start.adapter}: was changed after the training of {run.path} began; restore it, or start a new run"
        )


def load_start(model: Any, run: Run) -> None:
    """Load the trained weights of a run into a new adapter, in float32.

    Args:
        model: of PEFT, with a new adapter of the same shape.
        run: from `find_start`.

    Raises:
        ModelError: the weights do not fit the adapter.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(run.adapter / "adapter_model.safetensors")
    expected = get_peft_model_state_dict(model)
    theirs, ours = (
        {(name, tuple(weight.shape)) for name, weight in adapter.items()} for adapter in (weights, expected)
    )
    if theirs != ours:
        name, shape = min(theirs ^ ours)
        raise ModelError(
            f"{run.adapter}: does not fit the adapter that the recipe describes ({name} of {list(shape)} is only "
            "in one of them); leave train.from_run out"
        )
    # The dtype of the new adapter may be smaller.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    set_peft_model_state_dict(model, weights)
