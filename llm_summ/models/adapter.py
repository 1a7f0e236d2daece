"""Trained adapters on disk, and their merge with the base."""

from __future__ import annotations

import gc
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_summ.core.compat.peft import are_targets_missing, is_another_base, is_not_finite
from llm_summ.core.errors import LlmSummError, ModelError, RecipeError, RunError, TrainingError, first_line
from llm_summ.core.files import file_sha256, whole_directory, write_json
from llm_summ.core.progress import say
from llm_summ.models.base import save_tokenizer
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import Device
from llm_summ.models.families import ModelFamily
from llm_summ.models.load import load_base
from llm_summ.models.text_part import text_part
from llm_summ.models.weight_files import weight_names
from llm_summ.recipe import LoraFields, ModelFields, Recipe
from llm_summ.runs.run import Run

__all__ = [
    "MERGED_FROM",
    "VERIFIED_BY",
    "adapter_sha256",
    "add_adapter",
    "attach_adapter",
    "check_adapter",
    "lora_config",
    "merged_folder",
    "merged_stamp",
]

_WEIGHTS = "adapter_model.safetensors"

MERGED_FROM = "merged_from.json"
"""What a merged folder was made from; by this file it is known as one."""

VERIFIED_BY = "merge.json"
"""What `llm-summ merge` writes beside it: what was verified, too."""

_FORMAT = 4  # counted up when what is written changes, so that an older folder is made anew
_SHARD = "5GB"


def check_adapter(run: Run) -> dict[str, Any]:
    """The adapter's configuration, after a look at every file that is needed; no weights are loaded.

    Raises:
        RunError: something is missing or broken.
    """
    again = "train it again, or choose another run with --run"
    if not run.adapter.is_dir():
        raise RunError(f"{run.path}: no adapter; its training did not finish; {again}")
    for name in ("adapter_config.json", _WEIGHTS, "tokenizer.json", "tokenizer_config.json"):
        if not (run.adapter / name).is_file():
            raise RunError(f"{run.adapter}: no {name}; the adapter is not whole; {again}")
    try:
        config = json.loads((run.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        rank = config["r"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.adapter}/adapter_config.json: not a LoRA configuration ({error}); {again}"
        ) from error
    if not isinstance(rank, int):
        raise RunError(f"{run.adapter}/adapter_config.json: r: found {rank!r}, expected a number; {again}")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.adapter / _WEIGHTS, framework="np") as weights:
            names = list(weights.keys())
    except (SafetensorError, OSError) as error:
        raise RunError(f"{run.adapter / _WEIGHTS}: not whole ({error}); {again}") from error
    if not names:
        raise RunError(f"{run.adapter / _WEIGHTS}: holds no weights; {again}")
    return dict(config)


def adapter_sha256(run: Run) -> str:
    """SHA-256 of the adapter's weights."""
    return file_sha256(run.adapter / _WEIGHTS)


def lora_config(fields: LoraFields, family: ModelFamily) -> Any:
    """Return what PEFT is to add to a base (LoRA, https://arxiv.org/abs/2106.09685)."""
    from peft import EvaConfig, LoraConfig

    return LoraConfig(
        task_type=family.peft_task_type,
        r=fields.r,
        lora_alpha=fields.alpha,
        lora_dropout=fields.dropout,
        target_modules=fields.targets,
        use_rslora=fields.rslora,
        init_lora_weights=True if fields.init == "default" else fields.init,
        # rho 1: every layer keeps rank r, so that the adapter is as large as the recipe says.
        eva_config=EvaConfig(rho=1.0) if fields.init == "eva" else None,
    )


def add_adapter(base: Any, recipe: Recipe, family: ModelFamily) -> Any:
    """Return a base with a new LoRA adapter, whose weights are in float32.

    With bfloat16's 8 bits of mantissa, the adapter and the optimizer's states would swallow small updates.

    Args:
        base: the base model; its own weights are frozen.
        recipe: says what the adapter is like; its seed sets the first weights.
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
                # QLoRA begins with weights that bfloat16 has, and so did every earlier version: the same seed
                # gives the same adapter.
                parameter.data = parameter.data.bfloat16()
            parameter.data = parameter.data.float()
    return model


def attach_adapter(base: Any, run: Run, *, merge: bool) -> Any:
    """The base with the adapter.

    Args:
        base: the base model.
        run: whose adapter.
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
                "trained on; put that base back, or train the run anew"
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
    """What a merged folder was made from; None if it is not one."""
    try:
        found = json.loads((folder / MERGED_FROM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def merged_folder(
    run: Run,
    model: ModelFields,
    location: str,
    device: Device,
    dtype: str,
    stop_id: int,
    folder: Path | None = None,
) -> Path:
    """The run's merged model on disk; made anew when adapter, base, dtype or stop id changed.

    Args:
        run: whose adapter.
        model: the base, as the recipe names it.
        location: of the base, from `base_location`.
        device: where to compute; if its memory does not do, the CPU does it.
        dtype: name of the dtype to merge and to write in.
        stop_id: what ends a completion: tokenizer, configuration and generation configuration will say so.
        folder: where to write it, and what stands there is replaced. By default `Run.merged`, or beside it, where
            `llm-summ merge` has written that in another dtype.

    Raises:
        ModelError: the base cannot be had, is itself quantized, or does not fit the adapter; or the sum is out of
            the dtype's range; or the disk has too little room.
        LlmSummError: the folder cannot be written.
    """
    stamp = {
        "format": _FORMAT,
        "adapter": adapter_sha256(run),
        **base_stamp(model, location),
        "dtype": dtype,
        "stop_id": stop_id,
    }
    with run.lock_merged(wait=True):
        folder = folder or _own_folder(run, dtype)
        if merged_stamp(folder) != stamp or not _is_whole(folder):
            _write_merged(run, model, location, device, dtype, stamp, folder)
    return folder


def _write_merged(
    run: Run,
    model: ModelFields,
    location: str,
    device: Device,
    dtype: str,
    stamp: dict[str, Any],
    folder: Path,
) -> None:
    say(f"Merging the adapter into {model.base} ({dtype}) -> {folder}")
    import torch
    from safetensors import SafetensorError

    try:
        merged = _merge(run, model, location, device, dtype)
    except torch.OutOfMemoryError:
        if device.kind == "cpu":
            raise
        say(f"{device.name} has too little memory to merge; the CPU does it")
        gc.collect()
        torch.cuda.empty_cache()
        merged = _merge(run, model, location, replace(device, kind="cpu", name="CPU"), dtype)
    _check_room(folder, sum(tensor.numel() * tensor.element_size() for tensor in merged.parameters()))
    try:
        with whole_directory(folder) as building:
            _write(merged, run, building, stamp["stop_id"])
            write_json(building / MERGED_FROM, stamp)
    except (OSError, SafetensorError) as error:
        raise LlmSummError(
            f"{folder}: cannot be written ({first_line(error)}); nothing is left of it; free some room, or choose "
            "another folder"
        ) from error
    # The engine that asked for it wants the whole of the GPU.
    del merged
    gc.collect()
    torch.cuda.empty_cache()


def _own_folder(run: Run, dtype: str) -> Path:
    """Where to merge for a generation: what somebody had merged and verified is left alone."""
    there = merged_stamp(run.merged) or {}
    if (run.merged / VERIFIED_BY).is_file() and there.get("dtype") != dtype:
        return run.merged.with_name(f"{run.merged.name}.{dtype}")
    return run.merged


def _is_whole(folder: Path) -> bool:
    """Whether all files of a merged folder are there."""
    beside = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
    names = (*weight_names(folder), *beside)
    return all((folder / name).is_file() for name in names)


def _merge(run: Run, model: ModelFields, location: str, device: Device, dtype: str) -> Any:
    import torch

    base = load_base(model, location, device, getattr(torch, dtype))
    if getattr(base.config, "quantization_config", None) is not None:
        raise ModelError(
            f"model.base: {model.base}: its own weights are quantized, and cannot be merged into; generate with "
            "the adapter attached, or train on the base in full precision"
        )
    merged = text_part(attach_adapter(base, run, merge=True))
    # PEFT looks at the layers that it changes; another may have been out of float16's range before.
    if dtype == "float16" and not all(torch.isfinite(tensor).all() for tensor in merged.parameters()):
        raise _not_finite(run, dtype)
    return merged


def _write(merged: Any, run: Run, folder: Path, stop_id: int) -> None:
    """Write a merged model so that whoever loads it stops where the training taught it to stop."""
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(run.adapter)
    stop = tokenizer.convert_ids_to_tokens(stop_id)
    if tokenizer.eos_token != stop:
        tokenizer.eos_token = stop
    for config in (merged.config, merged.config.get_text_config()):
        config.eos_token_id = stop_id
    # A new one: the base's own sampling, penalties and other stop ids would go on in other programs.
    merged.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stop_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    merged.save_pretrained(folder, max_shard_size=_SHARD)
    save_tokenizer(tokenizer, folder)
    # `vllm serve` samples at temperature 1 unless the file names another one; transformers reads `do_sample`, and
    # would refuse to write both.
    path = folder / "generation_config.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "temperature": 0.0})


def _check_room(folder: Path, needed: int) -> None:
    """Refuse what the disk has no room for: a folder that is replaced stays until the new one is whole."""
    there = next(above for above in (folder, *folder.absolute().parents) if above.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise ModelError(
            f"{folder}: the weights take {needed / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB left; free "
            "some room, or choose another folder"
        )


def _not_finite(run: Run, dtype: Any) -> ModelError:
    name = str(dtype).removeprefix("torch.")
    hint = "choose bfloat16 or float32" if name == "float16" else "the adapter is broken; train it anew"
    return ModelError(f"{run.adapter}: some weights of base and adapter are not finite in {name}; {hint}")
