"""Trained adapters on disk, and their merge with the base."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

from llm_summ.errors import RunError
from llm_summ.files import file_sha256, whole_directory, write_json
from llm_summ.model.base import load_base
from llm_summ.model.device import Device
from llm_summ.progress import say
from llm_summ.recipe import LoraFields, ModelFields
from llm_summ.run import Run

__all__ = ["adapter_sha256", "attach_adapter", "check_adapter", "lora_config", "merged_folder"]

_WEIGHTS = "adapter_model.safetensors"


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


def lora_config(fields: LoraFields) -> Any:
    """What PEFT is to add to the base model (LoRA, https://arxiv.org/abs/2106.09685)."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=fields.r,
        lora_alpha=fields.alpha,
        lora_dropout=fields.dropout,
        target_modules=fields.targets,
    )


def attach_adapter(base: Any, run: Run, *, merge: bool) -> Any:
    """The base with the adapter.

    Args:
        base: the base model.
        run: whose adapter.
        merge: whether to add the adapter's product to the weights (W + alpha / r B A), which generates faster.
    """
    from peft import PeftModel

    model = PeftModel.from_pretrained(base, run.adapter)
    return model.merge_and_unload(safe_merge=True) if merge else model


def merged_folder(run: Run, model: ModelFields, location: str, device: Device, dtype: str, stop_id: int) -> Path:
    """The run's merged model on disk; made anew when adapter, base, dtype or stop id changed."""
    stamp_path = run.merged / "merged_from.json"
    stamp = {
        "adapter": adapter_sha256(run),
        "base": model.base,
        "revision": model.revision,
        "dtype": dtype,
        "stop_id": stop_id,
    }
    if stamp_path.is_file() and json.loads(stamp_path.read_text(encoding="utf-8")) == stamp:
        return run.merged
    say(f"Merging the adapter into {model.base} ({dtype}) -> {run.merged}")
    import torch
    from transformers import AutoTokenizer

    merged = attach_adapter(load_base(model, location, device, getattr(torch, dtype)), run, merge=True)
    merged.config.eos_token_id = merged.generation_config.eos_token_id = stop_id
    # The model's own sampling defaults would turn a greedy run of another program into a sampled one.
    for sampling in ("temperature", "top_p", "top_k", "min_p"):
        setattr(merged.generation_config, sampling, None)
    merged.generation_config.do_sample = False
    with whole_directory(run.merged) as building:
        merged.save_pretrained(building)
        AutoTokenizer.from_pretrained(run.adapter).save_pretrained(building)
        write_json(building / stamp_path.name, stamp)
    # The engine that asked for it wants the whole of the GPU.
    del merged
    gc.collect()
    torch.cuda.empty_cache()
    return run.merged
