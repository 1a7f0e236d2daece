"""Estimate the memory of a training before any weight is loaded.

The peak is the largest of three moments::

    training = weights + dequantized + adapter + gradients + optimizer + activations + logits + working + process
    updating = weights + dequantized + adapter + gradients + optimizer + the optimizer's buffers + process
    loading  = weights + the weights' file + process

- *weights*: the base model. A weight of a quantized layer takes half a byte in nf4 and fp4, and 4 bytes for the
  scale of 64 of them (with `double_quantization` 1 byte, and 4 for 256 scales); in int8 1 byte, and 4 for the
  scale of a row. Everything else (embeddings, head, norms) is in the compute dtype, or in float32 if all of the
  model is trained (`weights: full`); a tied head counts once. A base that is quantized already counts as its
  configuration says, and not as the recipe says.
- *adapter*, *gradients*: 4 bytes for each parameter that is trained, in float32; with `weights: full` the
  parameters themselves are the weights.
- *optimizer*: its states (`llm_summ.check.sizes`). AdamW: two of 4 bytes for each parameter. The 8-bit ones: 1
  byte, and 4 for the scale of 256, but 4 bytes in tensors of fewer than 4,096 parameters and in embeddings; AdamW
  has two of them, Lion one. Adafactor: 4 bytes for each row and each column. SGD: none.
- *activations*, *logits*, *working*: of one step in the shape of the worst micro batch
  (`llm_summ.check.micro_batch`), run on fake tensors (`llm_summ.check.activations`): tensors that are kept for the
  backward pass; tensors as wide as the vocabulary; and all others at the peak. *working* includes the memory that
  the allocator cannot reuse. On a CPU that was fitted to measured peaks: in float32 a share of all tensors that
  the forward pass makes and does not keep, in 16 bits a share of those that it keeps, and up to 256 MiB. (Glibc
  was then set not to return memory, and no longer is: the estimate may be too high.) On a GPU it is a tenth of
  the step.
- *process*: Python with its libraries, the tokenizer by the size of its vocabulary, and free pieces that loading
  left in the heap; on a GPU the CUDA context; all measured.
- *updating*: PyTorch's AdamW on a GPU updates all tensors at once, and takes 4 bytes more for each parameter. On a
  CPU it updates one tensor after the other. It does not reuse the memory that the step freed, so its buffers count
  with *working*.
- *dequantized*: on a CPU with enough memory, the weights of 4-bit layers in the compute dtype
  (`llm_summ.models.dequantized`).
- *loading*: on a CPU the weights' file is mapped until all of it is read. A file in the compute dtype is used in
  place, so the layers that were quantized stay mapped until the process ends: they are counted with *process*.

A generation during the training (`evaluation`) is not included: it runs after the activations are freed, and its
cache is smaller than they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llm_summ.check.activations import trace_step
from llm_summ.check.meta_model import MetaModel
from llm_summ.check.micro_batch import MicroBatch, worst_micro_batch
from llm_summ.check.sizes import optimizer_bytes, update_bytes
from llm_summ.core.compat.transformers import attention_implementation
from llm_summ.models.device import Device
from llm_summ.models.machine_speed import machine_speed
from llm_summ.models.trained_weights import trained_weights
from llm_summ.plan.duration import quickest_micro_batch
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe

__all__ = ["Memory", "cgroup_limits", "device_memory", "estimate_memory", "fit_micro_batch"]

_MIB = 2**20
# Measured on a CPU with glibc 2.36: the resident memory before the first step, without weights.
_PROCESS = 590 * _MIB
_PROCESS_PER_TOKEN = 1140  # a tokenizer in memory, for each entry of its vocabulary
_LEFT_BY_LOADING = 120 * _MIB  # 20 to 200 MiB, from run to run
_NOT_USED_AGAIN, _NOT_USED_AGAIN_AT_LEAST = 0.3, 256 * _MIB
# Measured on an H100 (torch 2.11, CUDA 13): a context with the libraries' kernels, 750 to 820 MiB, and 64 MiB of
# cuBLAS's workspace; and memory that the caching allocator reserves and cannot use, 2 to 11 % of a large step.
_CUDA_CONTEXT = 900 * _MIB
_CUDA_UNUSABLE = 0.1

_FITS = 0.85  # of a GPU's memory: no estimate that was measured was too low by the other 15 %
_ROOMY = 0.5  # of a CPU's memory: options that only save time may not take more


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak of a training, by purpose.

    Attributes:
        weights: the base model, trained or not.
        adapter: the adapter's parameters.
        gradients: of the trained parameters.
        optimizer: its states.
        activations: tensors that the forward pass keeps for the backward pass.
        logits: tensors as wide as the vocabulary.
        working: the rest of a step.
        process: memory of the process outside of tensors.
        dequantized: copies of 4-bit weights, which a CPU keeps if it has the memory (`models.dequantized`).
        updating: the total while the optimizer works.
        loading: the peak total before the training.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    process: int
    updating: int
    loading: int
    dequantized: int = 0

    @property
    def training(self) -> int:
        """The peak of a forward and backward pass."""
        return sum(asdict(self).values()) - self.updating - self.loading

    @property
    def total(self) -> int:
        """The peak."""
        return max(self.loading, self.updating, self.training)

    def parts_line(self) -> str:
        """Return the parts for people."""
        rest = "gradients and optimizer"
        parts = {
            "weights": self.weights,
            "dequantized weights": self.dequantized,
            f"adapter with {rest}" if self.adapter else rest: self.adapter + self.gradients + self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
            "working": self.working,
            "process": self.process,
        }
        shown = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items() if size >= 0.05 * 2**30)
        if self.total > self.training:
            shown += f"; the peak is while {'loading' if self.total == self.loading else 'updating'}"
        return shown

    def to_json(self) -> dict[str, int]:
        """Return the parts for programs."""
        return asdict(self) | {"total": self.total}


def fit_micro_batch(
    recipe: Recipe,
    model: MetaModel,
    rows: Sequence[TokenizedExample],
    device: Device,
    dtype: str,
    available: int,
    devices: int = 1,
) -> tuple[int, Memory]:
    """Return the micro batch that a training starts with, and its memory.

    On a CPU `auto` means 1 if dequantized weights are kept or there are no 4-bit ones: more rows at a time only
    take more memory. Otherwise it is the fastest by the measured speed of the machine, within half of the memory.
    On a GPU it is the largest power of two up to the batch that is estimated to take at most 85 % of its memory,
    or else 1.

    Args:
        recipe: the recipe.
        model: without weights; its module is changed.
        rows: the training rows; at least one.
        device: to train on.
        dtype: name of the dtype to compute in.
        available: the device's memory, in bytes.
        devices: the number of devices that train together, each with its share of a step's rows.
    """
    train, on_gpu = recipe.train, device.kind == "cuda"
    share = -(-train.batch_size // devices)
    largest = 2 ** (share.bit_length() - 1) if on_gpu else 1
    requested = train.micro_batch_size
    size = largest if requested == "auto" else min(requested, share)
    memory = estimate_memory(recipe, model, rows, device, dtype, size)
    if not on_gpu:
        dense = model.dequantized
        memory = _with_dequantized(memory, dense, available)
        if requested != "auto" or memory.dequantized or not dense or share == 1:
            return size, memory
        wanted = min(share, quickest_micro_batch(recipe, rows, model.size, machine_speed(device, dtype)))
        while size < wanted:
            more = estimate_memory(recipe, model, rows, device, dtype, 2 * size)
            if more.total > _ROOMY * available:
                break
            size, memory = 2 * size, more
        return size, memory
    if requested != "auto":
        return size, memory
    # Every estimate runs the model again, so the next size is guessed: assume that memory is proportional to cost.
    cost = _cost(model, recipe, on_gpu)
    while size > 1 and memory.total > _FITS * available:
        step = memory.activations + memory.logits + memory.working
        room = max(0.0, _FITS * available - memory.total + step) / step
        worst = cost(_worst(recipe, rows, size, cost))
        size //= 2
        while size > 1 and cost(_worst(recipe, rows, size, cost)) > room * worst:
            size //= 2
        memory = estimate_memory(recipe, model, rows, device, dtype, size)
    return size, memory


def _with_dequantized(memory: Memory, dense: int, available: int) -> Memory:
    """Add dequantized weights, if the training then takes at most half of the memory.

    An evaluation needs them twice: the second copy has the adapter added.
    """
    if memory.total + 2 * dense > _ROOMY * available:
        return memory
    return replace(memory, dequantized=dense, updating=memory.updating + dense)


def estimate_memory(
    recipe: Recipe,
    model: MetaModel,
    rows: Sequence[TokenizedExample],
    device: Device,
    dtype: str,
    size: int,
) -> Memory:
    """Estimate the peak of a training from the model's configuration, without weights.

    Args:
        recipe: the recipe.
        model: without weights; its module is changed.
        rows: the training rows; at least one.
        device: to train on.
        dtype: name of the dtype to compute in.
        size: rows of a micro batch.
    """
    train, on_gpu = recipe.train, device.kind == "cuda"
    name = train.optimizer_name(on_gpu=on_gpu)
    parameters = 4 * sum(tensor.count for tensor in model.trained)
    adapter = trained_weights(recipe).added_bytes(parameters)
    weights, optimizer = model.weights, optimizer_bytes(model.trained, name)
    step = trace_step(
        model,
        _worst(recipe, rows, size, _cost(model, recipe, on_gpu)),
        on_gpu=on_gpu,
        dtype=dtype,
        checkpointing=train.checkpoints(on_gpu=on_gpu),
        label_smoothing=train.label_smoothing,
    )
    update = update_bytes(model.trained, name, on_gpu=on_gpu)
    if on_gpu:
        unusable = int(_CUDA_UNUSABLE * (step.kept + step.logits + step.working))
        process, left, mapped = _CUDA_CONTEXT, 0, 0
    else:
        if dtype == "float32":
            unusable = int(_NOT_USED_AGAIN * step.passing) + update
        else:
            unusable = int(_NOT_USED_AGAIN * step.kept) + min(_NOT_USED_AGAIN_AT_LEAST, weights) + update
        process = _PROCESS + _PROCESS_PER_TOKEN * model.vocabulary
        left = min(_LEFT_BY_LOADING, weights // 3) + model.mapped
        mapped = model.files
    return Memory(
        weights=weights,
        adapter=adapter,
        gradients=parameters,
        optimizer=optimizer,
        activations=step.kept,
        logits=step.logits,
        working=step.working + unusable,
        process=process + left,
        updating=weights + adapter + parameters + optimizer + update + process + left,
        loading=weights + mapped + process,
    )


def _worst(
    recipe: Recipe, rows: Sequence[TokenizedExample], size: int, cost: Callable[[MicroBatch], float]
) -> MicroBatch:
    lengths = [(len(row.prompt_ids), row.target_tokens) for row in rows]
    return worst_micro_batch(lengths, recipe.train, size, recipe.seed, cost)


def _cost(model: MetaModel, recipe: Recipe, on_gpu: bool) -> Callable[[MicroBatch], float]:
    """Return a function that ranks micro batches by memory.

    It counts the inputs and outputs of linear layers, logits, and tensors of (s, s): masks, and scores if
    attention is not fused.
    """
    from torch import nn

    config = model.module.config.get_text_config()
    token = sum(
        layer.in_features + layer.out_features for layer in model.module.modules() if isinstance(layer, nn.Linear)
    )
    fused = on_gpu and not recipe.train.label_smoothing and model.family.has_fused_head
    label = 0 if fused else 3 * model.vocabulary
    layers = config.num_hidden_layers
    # Models without attention (Mamba) have no heads.
    heads = getattr(config, "num_attention_heads", 0)
    scores = 2 * heads if attention_implementation(config) == "eager" else 0
    if recipe.train.checkpoints(on_gpu=on_gpu):  # one layer at a time, and the inputs of all layers
        token, layers = token // layers + layers * config.hidden_size, 1

    def cost(batch: MicroBatch) -> float:
        squares = (scores + batch.packed) * batch.rows * batch.length**2
        return token * batch.rows * batch.length + label * batch.target_tokens + layers * squares

    return cost


def device_memory(device: Device) -> int:
    """Return the bytes of the GPU, or of main memory or the container's limit if that is lower."""
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
    """Return the memory limits of a process's control groups and of their parents.

    Args:
        root: the folder that control groups are mounted at.
        groups: the content of ``/proc/self/cgroup``, such as ``0::/a/b`` or, in version 1, ``4:memory:/a/b``.
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
            if text.isdigit():  # "max" means unlimited
                limits.append(int(text))
    return limits


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
