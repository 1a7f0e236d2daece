"""Trained adapters on disk, and their merge with the base."""

from __future__ import annotations

import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_summ.core.compat.peft import are_targets_missing, is_another_base, is_not_finite
from llm_summ.core.errors import LlmSummError, ModelError, RecipeError, TrainingError, first_line
from llm_summ.core.files import whole_directory, write_json
from llm_summ.core.progress import say
from llm_summ.models.base import save_tokenizer
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import Device
from llm_summ.models.families import ModelFamily, family_of_config
from llm_summ.models.load import load_base
from llm_summ.models.text_part import text_part
from llm_summ.models.trained_weights import StoredWeights, stored_weights
from llm_summ.models.weight_files import weight_names
from llm_summ.prompt.saved_prompt import saved_frame
from llm_summ.recipe import LoraFields, ModelFields, Recipe
from llm_summ.runs.run import Run

__all__ = [
    "MERGED_FROM",
    "VERIFIED_BY",
    "add_adapter",
    "attach_adapter",
    "lora_config",
    "merged_folder",
    "merged_stamp",
    "save_options",
]

MERGED_FROM = "merged_from.json"
"""The inputs that a merged folder was made from; this file marks a merged folder."""

VERIFIED_BY = "merge.json"
"""The record that `llm-summ merge` adds to the folder, with the result of its verification."""

_FORMAT = 4  # increased when the files change, so that an older folder is written again
_SHARD = "5GB"


def lora_config(fields: LoraFields, family: ModelFamily) -> Any:
    """Return PEFT's configuration of the adapter (LoRA, https://arxiv.org/abs/2106.09685)."""
    from peft import EvaConfig, LoraConfig

    return LoraConfig(
        task_type=family.peft_task_type,
        r=fields.r,
        lora_alpha=fields.alpha,
        lora_dropout=fields.dropout,
        target_modules=fields.targets,
        use_rslora=fields.rslora,
        init_lora_weights=True if fields.init == "default" else fields.init,
        # rho 1: every layer keeps rank r, so that the adapter has the size that the recipe sets.
        eva_config=EvaConfig(rho=1.0) if fields.init == "eva" else None,
    )


def add_adapter(base: Any, recipe: Recipe, family: ModelFamily) -> Any:
    """Return a base with a new LoRA adapter, whose weights are in float32.

    With bfloat16's 8 bits of mantissa, the adapter and the optimizer's states would lose small updates.

    Args:
        base: the base model; its own weights are frozen.
        recipe: sets the shape of the adapter; its seed sets the initial weights.
        family: of the base.

    Raises:
        RecipeError: `lora.targets` names no layer of the base.
        TrainingError: PEFT refuses the recipe for another reason.
    """
    from peft import get_peft_model
    from transformers import set_seed

    set_seed(recipe.seed)
    quantized = getattr(base, "is_loaded_in_4bit", False) or getattr(base, "is_loaded_in_8bit", False)
    try:
        model = get_peft_model(base, lora_config(recipe.lora, family))
    except ValueError as error:
        if are_targets_missing(error):
            raise RecipeError(f"lora.targets: {first_line(error)}") from error
        raise TrainingError(f"PEFT refuses this recipe: {first_line(error)}") from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            if quantized:
                # Round the initial weights to bfloat16, as QLoRA and every earlier version did, so that a seed
                # still gives the same adapter.
                parameter.data = parameter.data.bfloat16()
            parameter.data = parameter.data.float()
    return model


def save_options(model: Any) -> dict[str, Any]:
    """Return the options to save a model with: an adapter never brings a copy of the base's tables of embeddings.

    PEFT adds one if tokens were added, in the dtype of the training, and it would replace the base's.
    """
    config = getattr(model, "peft_config", {}).get("default")
    if config is None or {"embed_tokens", "lm_head"}.intersection(config.target_modules or ()):
        return {}
    return {"save_embedding_layers": False}


def attach_adapter(base: Any, run: Run, *, merge: bool) -> Any:
    """Return the base with the adapter.

    Args:
        base: the base model.
        run: with the adapter.
        merge: whether to add the adapter's product to the weights (W + scale B A), which generates faster. The
            scale is alpha / r, or alpha / sqrt(r) for rsLoRA, with each layer's own alpha and r.

    Raises:
        ModelError: the adapter was trained on another base, or the sum is out of the dtype's range.
    """
    from peft import PeftModel

    try:
        model = PeftModel.from_pretrained(base, run.adapter)
    except (RuntimeError, ValueError) as error:
        if is_another_base(error):
            raise ModelError(
                f"{run.adapter}: does not fit the base model, which has other layers than the one that it was "
                "trained on; restore that base, or train the run again"
            ) from error
        raise
    if not merge:
        return model
    try:
        return model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        if not is_not_finite(error):
            raise
        raise _not_finite(run, base.dtype) from error


def merged_stamp(folder: Path) -> dict[str, Any] | None:
    """Return the record of what a merged folder was made from; None if it is not a merged folder."""
    try:
        stamp = json.loads((folder / MERGED_FROM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def merged_folder(
    run: Run,
    model: ModelFields,
    location: str,
    device: Device,
    dtype: str,
    stop_id: int,
    folder: Path | None = None,
) -> Path:
    """Return the folder of the run's merged model; merge again if adapter, base, dtype or stop id changed.

    If all weights were trained, the folder has these, and nothing is merged.

    Args:
        run: with the adapter, or the whole model.
        model: the base, as the recipe names it.
        location: of the base, from `base_location`.
        device: to compute on; if it has too little memory, the CPU is used.
        dtype: name of the dtype to merge and to write in.
        stop_id: the id that ends a completion; it is written to tokenizer, configuration and generation
            configuration.
        folder: the folder to write, and to replace if it exists. By default `Run.merged`, or a folder next to it
            if `llm-summ merge` has written that one in another dtype.

    Raises:
        ModelError: the base is unavailable, is itself quantized, or does not fit the adapter; or the sum is out of
            the dtype's range; or the disk is too full.
        LlmSummError: the folder cannot be written.
    """
    weights = stored_weights(run)
    stamp = {
        "format": _FORMAT,
        weights.kind: weights.digest(),
        **base_stamp(model, location),
        "dtype": dtype,
        "stop_id": stop_id,
    }
    with run.lock_merged(wait=True):
        folder = folder or _default_folder(run, dtype)
        if merged_stamp(folder) == stamp and _is_complete(folder):
            return folder
        what = "Writing the trained model" if weights.model else f"Merging the adapter into {model.base}"
        say(f"{what} ({dtype}) -> {folder}")
        _write(_merge(run, weights, model, location, device, dtype), run, weights, folder, stamp)
    # The engine that needs the merged model takes all of the GPU's memory.
    _free_memory()
    return folder


def _free_memory() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _default_folder(run: Run, dtype: str) -> Path:
    """Return the folder to merge into for a generation; one that `llm-summ merge` verified is not replaced."""
    stamp = merged_stamp(run.merged) or {}
    if (run.merged / VERIFIED_BY).is_file() and stamp.get("dtype") != dtype:
        return run.merged.with_name(f"{run.merged.name}.{dtype}")
    return run.merged


def _is_complete(folder: Path) -> bool:
    others = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
    names = (*weight_names(folder), *others)
    return all((folder / name).is_file() for name in names)


def _merge(run: Run, weights: StoredWeights, model: ModelFields, location: str, device: Device, dtype: str) -> Any:
    import torch

    if weights.model is not None:
        whole = str(weights.model)
        own = ModelFields(base=whole, quantization="none", trust_remote_code=model.trust_remote_code)
        return load_base(own, whole, device, getattr(torch, dtype))
    try:
        base = load_base(model, location, device, getattr(torch, dtype))
        if getattr(base.config, "quantization_config", None) is not None:
            raise ModelError(
                f"model.base: {model.base}: its own weights are quantized, and cannot be merged into; generate "
                "with the adapter attached, or train on the base in full precision"
            )
        merged = text_part(attach_adapter(base, run, merge=True))
        # PEFT checks only the layers that it changes; others may have been out of float16's range before.
        if dtype == "float16" and not all(torch.isfinite(tensor).all() for tensor in merged.parameters()):
            raise _not_finite(run, dtype)
        return merged
    except torch.OutOfMemoryError:
        if device.kind == "cpu":
            raise
        say(f"{device.name} has too little memory to merge; merging on the CPU")
        _free_memory()
        return _merge(run, weights, model, location, replace(device, kind="cpu", name="CPU"), dtype)


def _write(merged: Any, run: Run, weights: StoredWeights, folder: Path, stamp: dict[str, Any]) -> None:
    """Write a merged model whose files make other programs stop at the trained stop token."""
    from safetensors import SafetensorError
    from transformers import AutoTokenizer, GenerationConfig

    _check_room(folder, sum(tensor.numel() * tensor.element_size() for tensor in merged.parameters()))
    try:
        with whole_directory(folder) as building:
            tokenizer, stop_id = AutoTokenizer.from_pretrained(weights.folder), stamp["stop_id"]
            stop = tokenizer.convert_ids_to_tokens(stop_id)
            if tokenizer.eos_token != stop:
                tokenizer.eos_token = stop
            for config in (merged.config, merged.config.get_text_config()):
                config.eos_token_id = stop_id
            # A new one: other programs would apply the base's sampling, penalties and other stop ids.
            merged.generation_config = GenerationConfig(
                do_sample=False,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=stop_id,
                pad_token_id=tokenizer.pad_token_id,
                **family_of_config(merged.config).generation_fields(saved_frame(run)),
            )
            merged.save_pretrained(building, max_shard_size=_SHARD)
            save_tokenizer(tokenizer, building)
            # `vllm serve` samples at temperature 1 unless the file sets another; transformers reads `do_sample`,
            # and would refuse to write both.
            path = building / "generation_config.json"
            write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "temperature": 0.0})
            write_json(building / MERGED_FROM, stamp)
    except (OSError, SafetensorError) as error:
        raise LlmSummError(
            f"{folder}: cannot be written ({first_line(error)}); the partial folder was removed; free some disk "
            "space, or choose another folder"
        ) from error


def _check_room(folder: Path, needed: int) -> None:
    """Refuse to write more than the disk can hold: an old folder is removed only when the new one is complete."""
    existing = next(above for above in (folder, *folder.absolute().parents) if above.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ModelError(
            f"{folder}: the weights take {needed / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB left; free "
            "some disk space, or choose another folder"
        )


def _not_finite(run: Run, dtype: Any) -> ModelError:
    name = str(dtype).removeprefix("torch.")
    hint = "choose bfloat16 or float32" if name == "float16" else "the adapter is broken; train it again"
    return ModelError(f"{run.adapter}: some weights of base and adapter are not finite in {name}; {hint}")
