"""Find the device to compute on, and the dtypes that suit it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.compat.torch import cpu_has_amx, cpu_multiplies_bfloat16

__all__ = ["Device", "cpu_name", "find_device", "one_gpu", "use_attention_without_plans"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_VECTORS = {
    "amx_tile": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU or the CPU.

    Attributes:
        kind: "cuda" or "cpu".
        name: the product's name.
        dtype: name of the dtype that generates fastest without losing quality.
        training_dtype: the same for a training, whose products are larger; None: `dtype`.
    """

    kind: str
    name: str
    dtype: str
    training_dtype: str | None = None

    @property
    def device_map(self) -> dict[str, Any]:
        """The device map of transformers that puts a whole model onto this device."""
        return {"": 0 if self.kind == "cuda" else "cpu"}


def cpu_name() -> str:
    """Return the CPU's name with its widest vector instructions: ``AMD EPYC, AVX2``."""
    facts: dict[str, str] = {}
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    widest = next((shown for flag, shown in _VECTORS.items() if flag in flags), "")
    return f"{name}, {widest}" if widest else name


def find_device() -> Device:
    """Return the first GPU, or else the CPU."""
    import torch

    if torch.cuda.is_available():
        dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return Device("cuda", torch.cuda.get_device_name(0), dtype)
    # Without AMX tiles vLLM generates faster in float32. A training step is bound by matrix products: if a CPU has
    # instructions for those of bfloat16, a step takes two thirds of the time.
    return Device(
        "cpu",
        cpu_name(),
        "bfloat16" if cpu_has_amx() else "float32",
        "bfloat16" if cpu_multiplies_bfloat16() else None,
    )


@contextlib.contextmanager
def one_gpu() -> Iterator[None]:
    """Make only the first GPU visible to this process within a context; no effect once CUDA was used.

    With several visible GPUs, the trainer would wrap the model in DataParallel, which TRL refuses.
    """
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = "0" if before is None else before.split(",")[0]
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before


def use_attention_without_plans() -> None:
    """Keep PyTorch from choosing cuDNN's attention, which builds a plan for every new shape.

    Dialogues differ in length, and every generated token makes a new shape. A plan takes 0.05 to 2 s (measured on
    an H100 with torch 2.11, which prefers cuDNN there); the other fused kernels need none.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
