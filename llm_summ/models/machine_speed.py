"""The speed of this machine: measured once in half a second, stored in the cache, and the durations of later jobs.

Three products are measured, and a layer of a small model with its adapter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from llm_summ.core.files import write_text
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.models.device import Device
from llm_summ.models.embedded import cache_dir

__all__ = ["MachineSpeed", "corrected", "machine_speed", "note_duration"]

_KEPT = 5  # durations of a kind
_SECONDS = 0.12  # for each of four measurements
_TABLE, _TEXTS = 32768, 16  # rows of the head, and texts that are decoded at a time
_RANK, _HEADS = 16, 4


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """The operations of a device in a second.

    Attributes:
        device: its name.
        cores: the number that this process may use; 0 for a GPU.
        many: GFLOP/s of a layer's product with the tokens of one dialogue, in the dtype of the probe.
        most: the same with those of four dialogues.
        few: GFLOP/s of the head's product with one row for each of 16 texts.
        layer: GFLOP/s of a layer's forward and backward pass with the tokens of one dialogue; operations that are
            not products take time as well, and in 16 bits most of it.
    """

    device: str
    cores: int
    many: float
    most: float
    few: float
    layer: float

    def __str__(self) -> str:
        """Return the device with its rate, for people."""
        cores = f", {self.cores} cores" if self.cores > 1 else ", 1 core" if self.cores else ""
        return f"{self.device}{cores}, {self.many:.0f} GFLOP/s"


def machine_speed(device: Device, dtype: str) -> MachineSpeed:
    """Return the speed of a device; it is measured once, and again with other cores, dtype or PyTorch."""
    quiet_libraries()
    import torch

    cores = torch.get_num_threads() if device.kind == "cpu" else 0
    key = f"{device.name}|{cores}|{dtype}|torch {torch.__version__}"
    rates = _read().speeds.get(key)
    if rates is None:
        many, most, few, layer = (round(rate, 2) for rate in _probe(device, dtype))
        rates = many, most, few, layer
        with _changing() as known:
            known.speeds[key] = rates
    return MachineSpeed(device.name, cores, *rates)


def corrected(kind: str, seconds: float) -> float:
    """Return an estimate, corrected by the durations of the last jobs of its kind on this machine.

    Args:
        kind: a key of all that the estimate depends on, such as ``train|gemma3_text|float32|AMD EPYC, AVX2``.
        seconds: the estimate.
    """
    ratios = _read().ratios.get(kind)
    return seconds * statistics.median(ratios) if ratios else seconds


def note_duration(kind: str, estimate: float, seconds: float) -> None:
    """Store the duration of a job, for the next estimate of its kind.

    Args:
        kind: as for `corrected`.
        estimate: before it was corrected.
        seconds: the duration.
    """
    with _changing() as known:
        ratios = known.ratios.setdefault(kind, [])
        ratios.append(round(seconds / max(estimate, 1e-9), 4))
        del ratios[:-_KEPT]


def _path() -> Path:
    return cache_dir() / "speed.json"


class _Known(BaseModel):
    """The file in the cache: rates by device, and durations compared with their estimates by kind of job."""

    speeds: dict[str, tuple[float, float, float, float]] = {}
    ratios: dict[str, list[float]] = {}


def _read() -> _Known:
    try:
        return _Known.model_validate_json(_path().read_bytes())
    except (OSError, ValueError):
        return _Known()


@contextmanager
def _changing() -> Iterator[_Known]:
    """Yield the stored measurements, and write them back; if that fails, they are measured again next time."""
    path = _path()
    with suppress(OSError, Timeout, NotImplementedError), ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock"), timeout=5))
        except (OSError, Timeout, NotImplementedError):  # an older filelock raises the last one without flock
            yield _Known()
            return
        known = _read()
        yield known
        write_text(path, known.model_dump_json(indent=1) + "\n")


def _probe(device: Device, dtype: str) -> tuple[float, float, float, float]:
    """Measure GFLOP/s; it takes half a second, or one second on a slow CPU.

    Returns:
        the rate of a product with the tokens of one dialogue, with those of four, with 16 rows, and of a layer's
        forward and backward pass with the tokens of one dialogue.
    """
    import torch
    from torch.nn.functional import linear

    where, kind = torch.device(device.kind), getattr(torch, dtype)
    on_gpu = device.kind == "cuda"
    width, wide, rows = (4096, 4096, 4096) if on_gpu else (640, 2048, 384)
    states = torch.randn(4 * rows, width, device=where, dtype=kind)
    layer = torch.randn(wide, width, device=where, dtype=kind)
    table = torch.randn(_TABLE, width, device=where, dtype=kind)
    few = torch.randn(_TEXTS, width, device=where, dtype=kind)
    wait = torch.cuda.synchronize if on_gpu else None
    with torch.inference_mode():
        one = 2e-9 * rows * width * wide / _seconds(lambda: linear(states[:rows], layer), wait)
        four = 8e-9 * rows * width * wide / _seconds(lambda: linear(states, layer), wait)
        head = 2e-9 * _TEXTS * width * _TABLE / _seconds(lambda: table @ few.t(), wait)
    weights, trained = _layer(width, wide, where, kind)
    # Half of the tokens are enough: a slow CPU should not take seconds.
    inputs = states[: rows // 2].clone().requires_grad_()
    operations = 4e-9 * sum(weight.numel() for weight in weights) * len(inputs)
    passes = operations / _seconds(lambda: _train(inputs, weights, trained), wait)
    if on_gpu:
        del states, layer, table, few, weights, trained, inputs
        torch.cuda.empty_cache()  # the job that follows needs all of the memory
    return one, four, head, passes


def _layer(width: int, wide: int, device: Any, dtype: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Return the weights of a layer (q, k, v, o, gate, up, down), and the A and B of each."""
    import torch

    shapes = [(width, width)] * 4 + [(wide, width), (wide, width), (width, wide)]
    weights = [torch.randn(shape, device=device, dtype=dtype) * 0.02 for shape in shapes]
    return weights, [
        (
            torch.randn(_RANK, columns, device=device, requires_grad=True),
            torch.randn(rows, _RANK, device=device, requires_grad=True),
        )
        for rows, columns in shapes
    ]


def _train(states: Any, weights: list[Any], trained: list[tuple[Any, Any]]) -> None:
    """Compute a layer with its adapter, and the gradients, as a training with LoRA does."""
    import torch
    from torch.nn import functional

    def linear(x: Any, index: int) -> Any:
        a, b = (half.to(x.dtype) for half in trained[index])
        return functional.linear(x, weights[index]) + functional.linear(functional.linear(x, a), b)

    def norm(x: Any) -> Any:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)

    rows, width = states.shape
    x = norm(states)
    q, k, v = (linear(x, index).view(1, rows, _HEADS, -1).transpose(1, 2) for index in range(3))
    attention = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = states + linear(attention.transpose(1, 2).reshape(rows, width), 3)
    y = norm(x)
    x = x + linear(functional.gelu(linear(y, 4), approximate="tanh") * linear(y, 5), 6)
    torch.autograd.grad(x.sum(), [states, *(half for pair in trained for half in pair)])


def _seconds(work: Callable[[], Any], wait: Callable[[], None] | None) -> float:
    """Return the shortest duration of `work`, since others may use the machine; `wait` returns when it is done."""
    work()  # the first call allocates memory
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or len(times) < 2:
        began = time.perf_counter()
        work()
        if wait is not None:
            wait()
        times.append(time.perf_counter() - began)
    return min(times)
