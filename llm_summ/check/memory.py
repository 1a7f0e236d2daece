"""How much memory a training would take, before any weight is loaded.

The peak is the larger of two moments::

    training = weights + adapter + gradients + optimizer + activations + logits + working + process
    loading  = weights + the weights' file + process

- *weights*: the base model. A weight of a quantized layer takes half a byte in nf4 and fp4, and 4 bytes for the
  scale of 64 of them (with `double_quantization` 1 byte, and 4 for 256 scales); in int8 1 byte, and 4 for the
  scale of a row. Everything else (embeddings, head, norms) is in the compute dtype; a tied head counts once.
- *adapter*, *gradients*: 4 bytes for each parameter of the adapter, which is trained in float32.
- *optimizer*: two states for each of them. AdamW: 4 bytes each. Paged 8-bit AdamW: 1 byte each and 4 for the scale
  of 256, but 4 bytes each in tensors of fewer than 4,096 parameters.
- *activations*, *logits*, *working*: of one step in the shape of the worst micro batch
  (`llm_summ.check.micro_batch`), run on fake tensors (`llm_summ.check.activations`): what is kept for the backward
  pass; what is as wide as the vocabulary; and what is there beside them at the worst moment. To *working* comes
  what the allocator cannot use again. On a CPU that is much: `keep_large_buffers` has glibc keep freed memory, and
  its aligned allocation asks for a little more than the buffer, so a freed buffer is too small for the next of the
  same size, and is cut up for smaller ones. The share `_NOT_USED_AGAIN` of all that the forward pass makes and
  does not keep was fitted to measured peaks. On a GPU it is a tenth of the step.
- *process*: Python with its libraries, the tokenizer by the size of its vocabulary, and free pieces that loading
  left in the heap; on a GPU the CUDA context; all measured.
- *loading*: on a CPU the weights' file is mapped, and stays until all of it is read. A file in the compute dtype
  it is used in place, and the layers that were quantized stay in it for ever: they are counted with *process*.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_summ.check.activations import BLOCK, quantized_layers, trace_step
from llm_summ.check.micro_batch import MicroBatch, worst_micro_batch
from llm_summ.model.device import Device
from llm_summ.prompt import Row
from llm_summ.recipe import ModelFields, Recipe, TrainFields

__all__ = [
    "Memory",
    "adapter_parameters",
    "cgroup_limits",
    "device_memory",
    "estimate_memory",
    "optimizer_bytes",
    "weight_bytes",
]

_MIB = 2**20
# Measured on a CPU with glibc 2.36: the resident memory before the first step, without weights.
_PROCESS = 590 * _MIB
_PROCESS_PER_TOKEN = 1140  # a tokenizer in memory, for each entry of its vocabulary
_LEFT_BY_LOADING = 120 * _MIB  # 20 to 200 MiB, from run to run
_NOT_USED_AGAIN = 0.3
# Measured on an H100 (torch 2.11, CUDA 13): a context with the libraries' kernels, 750 to 820 MiB, and 64 MiB of
# cuBLAS's workspace; and what the caching allocator holds and cannot use, 2 to 11 % of a large step.
_CUDA_CONTEXT = 900 * _MIB
_CUDA_UNUSABLE = 0.1

_SCALES, _SMALLEST_8_BIT, _BLOCK_8_BIT = 256, 4096, 256  # of bitsandbytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak of a training, by what they are for.

    Attributes:
        weights: the base model.
        adapter: the adapter's parameters.
        gradients: theirs.
        optimizer: its states.
        activations: what the forward pass keeps for the backward pass.
        logits: what is as wide as the vocabulary.
        working: the rest of a step.
        process: everything that is no tensor.
        loading: all that is there at the worst moment before the training.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    process: int
    loading: int

    @property
    def total(self) -> int:
        """The peak."""
        return max(self.loading, sum(asdict(self).values()) - self.loading)

    def parts_line(self) -> str:
        """The parts for people."""
        trained = self.adapter + self.gradients + self.optimizer
        parts = {
            "weights": self.weights,
            "adapter with gradients and optimizer": trained,
            "activations": self.activations,
            "logits": self.logits,
            "working": self.working,
            "process": self.process,
        }
        shown = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items() if size >= 0.05 * 2**30)
        return shown + ("; loading is the worst moment" if self.total == self.loading else "")

    def to_json(self) -> dict[str, int]:
        """For programs."""
        return asdict(self) | {"total": self.total}


def estimate_memory(
    recipe: Recipe, location: str, model: Any, rows: Sequence[Row], device: Device, dtype: str
) -> Memory:
    """Estimate the peak of a training; reads the model's configuration and no weights.

    Args:
        recipe: the recipe.
        location: the base model's folder or hub id.
        model: from `build_skeleton`; it is used up.
        rows: the training rows; at least one.
        device: where it would run.
        dtype: name of the dtype that it would compute in.
    """
    train, on_gpu = recipe.train, device.kind == "cuda"
    parameters = adapter_parameters(model)
    weights = weight_bytes(model, recipe.model)
    vocabulary = int(model.get_output_embeddings().weight.shape[0])
    # As in `llm_summ.sft.train`.
    checkpointing = train.checkpoints(on_gpu=on_gpu)
    lengths = [(len(row.prompt_ids), len(row.answer_ids) + 1) for row in rows]
    batch = worst_micro_batch(lengths, train, recipe.seed, _cost(model, vocabulary, on_gpu, checkpointing))
    step = trace_step(model, batch, on_gpu=on_gpu, dtype=dtype, checkpointing=checkpointing)
    if on_gpu:
        unusable = int(_CUDA_UNUSABLE * (step.kept + step.logits + step.working))
        process, left, mapped = _CUDA_CONTEXT, 0, 0
    else:
        unusable = int(_NOT_USED_AGAIN * step.passing)
        process, left = _PROCESS + _PROCESS_PER_TOKEN * vocabulary, min(_LEFT_BY_LOADING, weights // 3)
        mapped = _file_bytes(model, location)
        left += _still_mapped(model, mapped, dtype)
    return Memory(
        weights=weights,
        adapter=4 * sum(parameters),
        gradients=4 * sum(parameters),
        optimizer=optimizer_bytes(parameters, train, on_gpu=on_gpu),
        activations=step.kept,
        logits=step.logits,
        working=step.working + unusable,
        process=process + left,
        loading=weights + mapped + process,
    )


def _file_bytes(model: Any, location: str) -> int:
    """Bytes of the weights' files; if they are not here, of weights in 16 bits, as most models are kept."""
    files = sum(path.stat().st_size for path in Path(location).glob("*.safetensors"))
    return files or 2 * sum(p.numel() for p in model.parameters() if not p.requires_grad)


def _still_mapped(model: Any, file: int, dtype: str) -> int:
    """Bytes of a mapped file that stay on a CPU without being used.

    A file in the compute dtype is used in place, and all of it stays: also the layers that were quantized.
    """
    import torch

    width = getattr(torch, dtype).itemsize
    weights = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    if abs(file / (width * weights) - 1) > 0.05:
        return 0
    return width * sum(layer.weight.numel() for layer in quantized_layers(model))


def _cost(model: Any, vocabulary: int, on_gpu: bool, checkpointing: bool) -> Callable[[MicroBatch], float]:
    """Tells which of two micro batches takes more: what goes in and out of linear layers, and the logits."""
    from torch import nn

    config = model.config.get_text_config()
    token = sum(
        layer.in_features + layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)
    )
    if checkpointing:  # one layer at a time, and the inputs of all
        token = token // config.num_hidden_layers + config.num_hidden_layers * config.hidden_size
    wide = 0 if on_gpu else vocabulary
    return lambda batch: (
        token * batch.rows * batch.length + wide * (batch.rows * batch.positions + 3 * batch.learnt)
    )


def weight_bytes(model: Any, fields: ModelFields) -> int:
    """Bytes of the base model.

    Args:
        model: from `build_skeleton`.
        fields: how it is quantized.
    """
    layers = {id(layer.weight): layer for layer in quantized_layers(model)}
    total = 0
    for parameter in model.parameters():  # a tied one once
        count = parameter.numel()
        if parameter.requires_grad:
            continue
        if id(parameter) not in layers:
            total += count * parameter.element_size()
        elif fields.quantization == "int8":
            total += count + 4 * parameter.shape[0]
        else:
            blocks = math.ceil(count / BLOCK)
            scales = blocks + 4 * math.ceil(blocks / _SCALES) if fields.double_quantization else 4 * blocks
            total += math.ceil(count / 2) + scales
    return total


def adapter_parameters(model: Any) -> list[int]:
    """How many parameters each tensor of the adapter has."""
    return [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]


def optimizer_bytes(parameters: Sequence[int], train: TrainFields, *, on_gpu: bool) -> int:
    """Bytes of the optimizer's states.

    Args:
        parameters: of each tensor of the adapter.
        train: says which optimizer.
        on_gpu: what "auto" depends on.
    """
    eight_bit = train.optimizer_name(on_gpu=on_gpu) == "paged_adamw_8bit"
    return sum(
        2 * (count + 4 * math.ceil(count / _BLOCK_8_BIT)) if eight_bit and count >= _SMALLEST_8_BIT else 8 * count
        for count in parameters
    )


def device_memory(device: Device) -> int:
    """Bytes of the GPU, or of main memory; there the limit of a container counts if it is lower."""
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        groups = ""
    return min([installed, *cgroup_limits(Path("/sys/fs/cgroup"), groups)])


def cgroup_limits(root: Path, groups: str) -> list[int]:
    """The memory limits of a process's control groups and of those that hold them.

    Args:
        root: where control groups are mounted.
        groups: what ``/proc/self/cgroup`` says: lines such as ``0::/a/b`` or, in version 1, ``4:memory:/a/b``.
    """
    limits = []
    for line in groups.splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        base, name = (root / "memory", "memory.limit_in_bytes") if kinds else (root, "memory.max")
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            try:
                text = base.joinpath(*parts[:depth], name).read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if text.isdigit():  # "max" is no limit
                limits.append(int(text))
    return limits


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
