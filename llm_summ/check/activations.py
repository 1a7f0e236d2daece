"""One training step on tensors that have shapes and no numbers, to see what it would keep in memory.

The model is built from its configuration on PyTorch's meta device, quantized by transformers and given its adapter
by PEFT, as in a training. Then the very forward and backward pass run on fake tensors
(https://docs.pytorch.org/docs/stable/torch.compiler_fake_tensor.html): the bytes of every tensor are counted from
the moment it is made to the moment that the last reference to it is gone. So what autograd keeps is exact for any
architecture, with dropout, eager attention or gradient checkpointing, and nothing is allocated.

Some things are put in by hand. bitsandbytes' kernels are replaced by what they allocate: a quantized layer makes
its weights anew in the compute dtype, from its blocks' scales in float32, in the forward pass and again in the
backward pass, and keeps no input. And what a GPU does otherwise than the CPU that the fake tensors are on: TRL's
fused head is replaced by its buffers (a tile of 4,096 tokens by 32,768 entries of the vocabulary, and the gradient
of the hidden states in float32); dropout keeps a mask of booleans; and PEFT, which asks whether a GPU's autocast
is on, leaves the inputs of a quantized layer's adapter as they are.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from llm_summ.check.living import living_bytes
from llm_summ.check.micro_batch import MicroBatch
from llm_summ.errors import ModelError, RecipeError, first_line
from llm_summ.model.adapter import lora_config
from llm_summ.model.base import attention_options, quantization_config
from llm_summ.recipe import Recipe

__all__ = ["BLOCK", "Step", "build_skeleton", "quantized_layers", "trace_step"]

BLOCK = 64
"""Weights that share a scale in bitsandbytes' 4-bit formats."""

_TILE_TOKENS, _TILE_VOCABULARY = 4096, 32768  # TRL's TOKEN_CHUNK_SIZE and _CHUNKED_LOGPROB_CHUNK_SIZE


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes of a training step beside weights, adapter, gradients and optimizer.

    Attributes:
        kept: what the forward pass keeps for the backward pass, without logits.
        logits: everything of the vocabulary's width at the worst moment.
        working: everything else at the worst moment: dequantized weights, gradients of activations, casts.
        passing: what the forward pass makes and does not keep, without logits; never there at once.
    """

    kept: int
    logits: int
    working: int
    passing: int


def build_skeleton(recipe: Recipe, location: str, dtype: str) -> Any:
    """The model with its adapter on the meta device: modules and shapes, no weights.

    Args:
        recipe: says how it is quantized and which layers are adapted.
        location: the base model's folder or hub id.
        dtype: name of the dtype of whatever is not quantized.

    Raises:
        ModelError: the model's configuration cannot be had.
        RecipeError: `lora.targets` names no layer of the model.
    """
    import torch
    from peft import inject_adapter_in_model
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.quantizers import AutoHfQuantizer

    fields, compute = recipe.model, getattr(torch, dtype)
    code = {"trust_remote_code": fields.trust_remote_code}
    quantization = quantization_config(
        fields.quantization, double=fields.double_quantization, compute_dtype=compute
    )
    try:
        config = AutoConfig.from_pretrained(location, revision=fields.revision or "main", **code)
        attention = attention_options(config.model_type)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=compute, **attention, **code)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"model.base: {fields.base}: its configuration cannot be had ({first_line(error)}); check the "
            "name and the connection, or name a local folder or embedded:gemma-3-270m"
        ) from error
    if quantization is not None:
        AutoHfQuantizer.from_config(quantization, pre_quantized=False).preprocess_model(
            model=model, dtype=compute, device_map={"": "cpu"}
        )
        setattr(model, "is_loaded_in_8bit" if fields.quantization == "int8" else "is_loaded_in_4bit", True)
    model.requires_grad_(False)
    _check_targets(model, recipe.lora.targets)
    try:
        model = inject_adapter_in_model(lora_config(recipe.lora), model, low_cpu_mem_usage=True)
    except ValueError as error:
        raise RecipeError(f"lora.targets: {first_line(error)}") from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _check_targets(model: Any, targets: Literal["all-linear"] | list[str]) -> None:
    """Refuse names that no layer has, which PEFT passes over in silence, and the head, which TRL does not train.

    Raises:
        RecipeError: a line that names the first.
    """
    if targets == "all-linear":
        return
    matrices = {name for name, weight in model.named_parameters(remove_duplicate=False) if weight.ndim == 2}
    layers = {name.removesuffix(".weight") for name in matrices}
    names = sorted({layer.rpartition(".")[2] for layer in layers})
    for target in targets:
        found = [layer for layer in layers if layer == target or layer.endswith(f".{target}")]
        if not found:
            near = difflib.get_close_matches(target, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"layers here: {', '.join(names)}"
            raise RecipeError(f"lora.targets: no layer is called {target}; {hint}")
        if any(model.get_submodule(layer) is model.get_output_embeddings() for layer in found):
            raise RecipeError(f"lora.targets: {target} is the model's head, which cannot be adapted; leave it out")


def quantized_layers(model: Any) -> list[Any]:
    """The linear layers that bitsandbytes would hold."""
    import bitsandbytes

    kinds = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)
    return [module for module in model.modules() if isinstance(module, kinds)]


def trace_step(model: Any, batch: MicroBatch, *, on_gpu: bool, dtype: str, checkpointing: bool) -> Step:
    """Run a forward and a backward pass on fake tensors.

    Args:
        model: from `build_skeleton`; it is used up.
        batch: the shape of the micro batch.
        on_gpu: whether the step is a GPU's: with autocast, and with TRL's fused head.
        dtype: name of the dtype to compute in.
        checkpointing: whether activations are made anew in the backward pass.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    half = on_gpu and dtype in {"bfloat16", "float16"}
    cast = _autocast(getattr(torch, dtype)) if half else nullcontext()
    for layer in quantized_layers(model):
        layer.forward = types.MethodType(_quantized_forward, layer)
    if on_gpu:
        for layer in model.modules():
            if isinstance(layer, torch.nn.Dropout) and layer.p:
                layer.forward = types.MethodType(_fused_dropout, layer)
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    model.train()
    masks = _no_masks() if batch.rows == 1 else nullcontext()
    with masks, FakeTensorMode(allow_non_fake_inputs=True):
        _make_fake(model)
        counter = living_bytes(model, {int(model.get_output_embeddings().weight.shape[0]), _TILE_VOCABULARY})
        with counter:
            with cast:
                loss = (_fused_loss if on_gpu else _answer_loss)(model, batch, counter)
            loss.backward()
    working = max(0, counter.peak - counter.kept - counter.wide_at_peak)
    return Step(counter.kept, counter.wide_at_peak, working, counter.passing)


@contextmanager
def _autocast(dtype: Any) -> Iterator[None]:
    """A GPU's autocast, on tensors of the CPU; who asks whether it is on is told so."""
    import torch

    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)
    try:
        with torch.autocast("cpu", dtype=dtype):
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)


@contextmanager
def _no_masks() -> Iterator[None]:
    """Have the fused attention go without a mask where there is neither padding nor a window.

    transformers does so itself, but only after a look at numbers, which fake tensors have none of.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

    def mask(**asked: Any) -> Any:
        window = asked.get("local_size")
        return None if window is None or asked["kv_length"] < window else sdpa_mask(**asked)

    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = mask  # beside the library's own, which shows again when it is deleted
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]


def _make_fake(model: Any) -> None:
    """Put fake tensors of the CPU in place of the meta device's; gradients are there from the second batch on."""
    import torch

    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    if isinstance(old, torch.nn.Parameter):
                        new = torch.nn.Parameter(new, requires_grad=old.requires_grad)
                        new.grad = torch.empty_like(new) if old.requires_grad else None
                    made[id(old)] = new
                tensors[name] = made[id(old)]


def _answer_loss(model: Any, batch: MicroBatch, counter: Any) -> Any:
    """The loss of `llm_summ.sft.trainer` on a CPU: logits are (b, k, v), and (n, v) for the learnt tokens."""
    import torch
    from torch.nn import functional

    logits = model(
        input_ids=torch.zeros(batch.rows, batch.length, dtype=torch.long),
        attention_mask=torch.ones(batch.rows, batch.length, dtype=torch.long),
        use_cache=False,
        logits_to_keep=torch.zeros(batch.positions, dtype=torch.long),
    ).logits
    counter.keep()
    # A mask of booleans would have a result of unknown size; indices take the same memory.
    learnt = torch.zeros(batch.learnt, dtype=torch.long)
    return functional.cross_entropy(logits[learnt, learnt].float(), learnt, reduction="sum")


def _fused_loss(model: Any, batch: MicroBatch, counter: Any) -> Any:
    """TRL's loss on a GPU."""
    import torch

    hidden = model.base_model(
        input_ids=torch.zeros(batch.rows, batch.length, dtype=torch.long),
        attention_mask=torch.ones(batch.rows, batch.length, dtype=torch.long),
        use_cache=False,
    ).last_hidden_state
    counter.keep()
    learnt = torch.zeros(batch.learnt, dtype=torch.long)
    return _fused_head(hidden[learnt, learnt], model.get_output_embeddings().weight.shape[0])


def _fused_head(hidden: Any, vocabulary: int) -> Any:
    """TRL's fused head: log-probabilities (n,) of hidden states (n, h), tile by tile."""
    import torch

    class Head(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, states: Any) -> Any:
            ctx.save_for_backward(states)
            Head.tile(states)
            return states.new_empty(len(states), dtype=torch.float32)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (states,) = ctx.saved_tensors
            tile, sums = Head.tile(states), torch.zeros_like(states, dtype=torch.float32)
            del tile
            return sums.to(states.dtype)

        @staticmethod
        def tile(states: Any) -> Any:
            return states.new_empty(min(len(states), _TILE_TOKENS), min(vocabulary, _TILE_VOCABULARY))

    return Head.apply(hidden).sum()


def _fused_dropout(layer: Any, inputs: Any) -> Any:
    """Dropout as a GPU does it: a mask of booleans is kept, and no product of it."""
    import torch

    return torch.native_dropout(inputs, layer.p, True)[0]


def _quantized_forward(layer: Any, inputs: Any) -> Any:
    """Stands in for the forward pass of bitsandbytes' layers."""
    import torch
    from torch.nn import functional

    four_bit = hasattr(layer, "compute_dtype")
    outputs, width = layer.out_features, layer.in_features

    def dequantize(like: Any) -> Any:
        if four_bit:  # the scales come first: quantized doubly, they are made and then shifted
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
