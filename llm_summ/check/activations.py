"""Trace one training step on fake tensors, which have shapes and no numbers, to measure its memory.

The training's own forward and backward pass runs on fake tensors
(https://docs.pytorch.org/docs/stable/torch.compiler_fake_tensor.html): the bytes of every tensor are counted from
its creation until the last reference to it is gone. So the memory that autograd keeps is exact for any
architecture, with dropout, eager attention, packing or gradient checkpointing, and nothing is allocated.

Some parts are replaced by hand. bitsandbytes' kernels are replaced by what they allocate: a quantized layer
dequantizes its weights to the compute dtype, from its blocks' scales in float32, in the forward pass and again in
the backward pass, and keeps no input. Some parts differ between a GPU and the CPU that the fake tensors are on:

- TRL's fused head is replaced by its buffers: a tile of 4,096 tokens by 32,768 entries of the vocabulary, and in
  float32 the gradients of the hidden states and of a head that is trained.
- Dropout keeps a mask of booleans.
- PEFT checks whether a GPU's autocast is on; if so it does not cast the inputs of a quantized layer's adapter.
"""

from __future__ import annotations

import types
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from llm_summ.check.meta_model import MetaModel
from llm_summ.check.micro_batch import MicroBatch
from llm_summ.check.sizes import quantized_layers
from llm_summ.check.tensor_memory import count_tensor_bytes
from llm_summ.core.compat.bitsandbytes import BLOCK
from llm_summ.core.compat.torch import autocast_as_on, fake_tensor_mode, replace_forward
from llm_summ.core.compat.transformers import without_full_masks
from llm_summ.core.compat.trl import TILE_TOKENS, TILE_VOCABULARY
from llm_summ.models.families import ModelFamily

__all__ = ["Step", "trace_step"]


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes of a training step without weights, adapter, gradients and optimizer.

    Attributes:
        kept: tensors that the forward pass keeps for the backward pass, without logits.
        logits: tensors of the vocabulary's width at the peak.
        working: all others at the peak: dequantized weights, gradients of activations, casts.
        passing: tensors that the forward pass makes and does not keep, without logits; never all at once.
    """

    kept: int
    logits: int
    working: int
    passing: int


def trace_step(
    model: MetaModel,
    batch: MicroBatch,
    *,
    on_gpu: bool,
    dtype: str,
    checkpointing: bool,
    label_smoothing: float = 0.0,
) -> Step:
    """Run a forward and a backward pass on fake tensors.

    Args:
        model: without weights; its module is changed, and can then only be used for further steps.
        batch: the shape of the micro batch.
        on_gpu: whether the step runs on a GPU, with TRL's fused head if the family of the model has it.
        dtype: name of the dtype to compute in.
        checkpointing: whether activations are computed again in the backward pass.
        label_smoothing: with it the fused head cannot be used.
    """
    import torch

    # As in `llm_summ.train.fit`.
    half = dtype == "bfloat16" or (on_gpu and dtype == "float16")
    kind = "cuda" if on_gpu else "cpu"
    cast = autocast_as_on(kind, getattr(torch, dtype)) if half else nullcontext()
    module, family = model.module, model.family
    for layer in quantized_layers(module):
        replace_forward(layer, types.MethodType(_quantized_forward, layer))
    if on_gpu:
        for layer in module.modules():
            if isinstance(layer, torch.nn.Dropout) and layer.p:
                replace_forward(layer, types.MethodType(_fused_dropout, layer))
    if checkpointing and not module.is_gradient_checkpointing:
        module.gradient_checkpointing_enable()
        module.enable_input_require_grads()
    module.train()
    for part in module.modules():
        if hasattr(part, "layerdrop"):  # BART draws a number for each layer, and a fake tensor has none
            part.training = False
    masks = without_full_masks() if batch.rows == 1 and not batch.packed else nullcontext()
    with masks, fake_tensor_mode():
        _make_fake(module)
        counter = count_tensor_bytes(module, {model.vocabulary, TILE_VOCABULARY})
        with counter:
            with cast:
                if on_gpu and not label_smoothing and family.has_fused_head:
                    loss = _fused_loss(module, family, batch, counter)
                else:
                    loss = _completion_loss(module, family, batch, counter, label_smoothing)
            loss.backward()
    working = max(0, counter.peak - counter.kept - counter.wide_at_peak)
    return Step(counter.kept, counter.wide_at_peak, working, counter.passing)


def _make_fake(model: Any) -> None:
    """Replace the meta device's tensors by fake ones of the CPU, with gradients as from the second step on."""
    import torch

    made: dict[int, Any] = {}
    for module in model.modules():
        direct = {"recurse": False, "remove_duplicate": False}
        for name, old in [*module.named_parameters(**direct), *module.named_buffers(**direct)]:
            if id(old) not in made:
                new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                if isinstance(old, torch.nn.Parameter):
                    new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
                    new.grad = torch.empty_like(new) if old.requires_grad else None
                if hasattr(old, "compress_statistics"):  # of 4-bit weights, whose scales may be quantized as well
                    new.compress_statistics = old.compress_statistics
                made[id(old)] = new
            setattr(module, name, made[id(old)])


def _inputs(family: ModelFamily, batch: MicroBatch) -> dict[str, Any]:
    inputs = family.blank_inputs(batch.rows, batch.length, batch.target_tokens, packed=batch.packed)
    return {"use_cache": False, **inputs}


def _completion_loss(
    model: Any, family: ModelFamily, batch: MicroBatch, counter: Any, label_smoothing: float
) -> Any:
    """Return the loss of `CompletionLoss` without the fused head; logits are (n, v)."""
    import torch
    from torch.nn import functional

    # Indexing with a mask of booleans would have a result of unknown size; indices take the same memory.
    targets = torch.zeros(batch.target_tokens, dtype=torch.long)
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda module, inputs: (inputs[0][targets, targets],)
    )
    try:
        logits = model(**_inputs(family, batch)).logits.float()  # as accelerate does it
    finally:
        hook.remove()
    counter.keep()
    return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


def _fused_loss(model: Any, family: ModelFamily, batch: MicroBatch, counter: Any) -> Any:
    """Return TRL's loss on a GPU."""
    import torch

    hidden = model.base_model(**_inputs(family, batch)).last_hidden_state
    counter.keep()
    targets = torch.zeros(batch.target_tokens, dtype=torch.long)
    return _fused_head(hidden[targets, targets], model.get_output_embeddings().weight)


def _fused_head(hidden: Any, weight: Any) -> Any:
    """Return the sum of the log-probabilities (n,) of states (n, h) with weights (v, h), by tiles as TRL does."""
    import torch

    class Head(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, states: Any, weight: Any) -> Any:
            ctx.save_for_backward(states, weight)
            Head.tile(states, weight)
            return states.new_empty(len(states), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            states, weight = ctx.saved_tensors
            sums = torch.zeros_like(states, dtype=torch.float32)
            of_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
            Head.tile(states, weight)
            return sums.to(states.dtype), of_weight

        @staticmethod
        def tile(states: Any, weight: Any) -> None:
            part = weight[:TILE_VOCABULARY].to(states.dtype)
            states.new_empty(min(len(states), TILE_TOKENS), len(part))

    return Head.apply(hidden, weight).sum()


def _fused_dropout(layer: Any, inputs: Any) -> Any:
    """Apply dropout as a GPU does: it keeps a mask of booleans instead of a scaled one."""
    import torch

    return torch.native_dropout(inputs, layer.p, True)[0]


def _quantized_forward(layer: Any, inputs: Any) -> Any:
    """Replace the forward pass of bitsandbytes' layers."""
    import torch
    from torch.nn import functional

    four_bit = hasattr(layer, "compute_dtype")
    outputs, width = layer.out_features, layer.in_features

    def dequantize(like: Any) -> Any:
        if (
            four_bit
        ):  # the scales come first: with double quantization they are dequantized, then an offset is added
            scales = torch.empty(outputs * width // BLOCK) + torch.empty(())
            weight = like.new_empty(outputs, width)
            del scales
            return weight
        return like.new_empty(outputs, width)

    class Product(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, states: Any) -> Any:
            ctx.inputs = None if four_bit else states
            return functional.linear(states, dequantize(states), layer.bias)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return torch.matmul(gradient, dequantize(gradient))

    compute = (layer.compute_dtype if four_bit else None) or inputs.dtype
    return Product.apply(inputs.to(compute)).to(inputs.dtype)
