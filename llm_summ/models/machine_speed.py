"""The speed of this machine: a probe of half a second, stored in the cache, and the durations of later jobs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel

from llm_summ.core.files import write_text
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.models.device import Device
from llm_summ.models.embedded import cache_dir
from llm_summ.models.probe import probe

__all__ = ["MachineSpeed", "corrected", "machine_speed", "note_duration"]

_KEPT = 5  # durations of a kind


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
    """Return the speed of a device; it is measured once, and again with other cores or another PyTorch.

    Args:
        device: the device.
        dtype: name of the dtype of the products.
    """
    quiet_libraries()
    import torch

    cores = torch.get_num_threads() if device.kind == "cpu" else 0
    key = f"{device.name}|{cores}|{dtype}|torch {torch.__version__}"
    rates = _read().speeds.get(key)
    if rates is None:
        many, most, few, layer = (round(rate, 2) for rate in probe(device, dtype))
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
