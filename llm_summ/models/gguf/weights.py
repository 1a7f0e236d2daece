"""Convert the weights of Gemma 3 in a GGUF file to bfloat16 safetensors under transformers' names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import ModelError, listed
from llm_summ.models.gguf.read import GgufFile, GgufTensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["is_tied", "save_weights", "transformers_name"]

_OUTSIDE_LAYERS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IN_A_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")

# Values in one call of gguf's dequantization. It takes 16 rows at a time, of any length, so rows are joined until
# they are long enough for numpy to be fast and short enough for the processor's cache.
_VALUES_A_ROW = 1 << 13
_ROWS_A_CALL = 16


def transformers_name(name: str) -> str | None:
    """Return transformers' name of a tensor of llama.cpp's Gemma 3; None if the name is unknown."""
    if name in _OUTSIDE_LAYERS:
        return _OUTSIDE_LAYERS[name]
    match = _LAYER.fullmatch(name)
    if match is None or match[2] not in _IN_A_LAYER:
        return None
    return f"model.layers.{match[1]}.{_IN_A_LAYER[match[2]]}.weight"


def is_tied(file: GgufFile) -> bool:
    """Return whether the output layer uses the embeddings: the file then has no tensor for it."""
    return all(tensor.name != "output.weight" for tensor in file.tensors)


def save_weights(file: GgufFile, path: Path) -> None:
    """Write all weights to a safetensors file, in bfloat16.

    Raises:
        ModelError: a tensor is missing, unknown to Gemma 3, or of a type that gguf cannot dequantize.
    """
    from safetensors.torch import save_file

    _check_names(file)
    weights = {str(transformers_name(tensor.name)): _bfloat16(file, tensor) for tensor in file.tensors}
    save_file(weights, path, metadata={"format": "pt"})  # transformers refuses a file without this format


def _check_names(file: GgufFile) -> None:
    present = {tensor.name for tensor in file.tensors}
    unknown = sorted(name for name in present if transformers_name(name) is None)
    if unknown:
        raise ModelError(f"{file.label}: has {listed(unknown)}; expected the tensors of Gemma 3 only")
    expected = set(_OUTSIDE_LAYERS) - {"output.weight"}
    layers = file.value("gemma3.block_count", int)
    expected |= {f"blk.{layer}.{part}.weight" for layer in range(layers) for part in _IN_A_LAYER}
    if missing := sorted(expected - present):
        raise ModelError(f"{file.label}: lacks {listed(missing)}; expected all tensors of Gemma 3")
    if extra := sorted(present - expected - {"output.weight"}):
        raise ModelError(f"{file.label}: has {listed(extra)}; expected {layers} layers")


def _bfloat16(file: GgufFile, tensor: GgufTensor) -> Any:
    """Dequantize a tensor, a part at a time, to avoid a float32 copy of the whole."""
    import torch

    whole = torch.empty(tensor.shape, dtype=torch.bfloat16)
    flat, done = whole.view(-1), 0
    for values in _dequantized(file, tensor):
        if tensor.name.endswith("norm.weight"):
            values = values - 1  # llama.cpp stores the factor w of a norm, transformers w - 1
        flat[done : done + values.size] = torch.from_numpy(values)
        done += values.size
    return whole


def _dequantized(file: GgufFile, tensor: GgufTensor) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a tensor's values in float32, in order."""
    import numpy as np
    from gguf import GGMLQuantizationType, quants

    size = tensor.data.shape[-1]  # bytes a row
    rows = tensor.data.reshape(-1, size)
    joined = max(1, _VALUES_A_ROW // tensor.shape[-1])
    whole = len(rows) // joined * joined
    parts = [rows[:whole].reshape(-1, joined * size), rows[whole:]]
    kind = GGMLQuantizationType[tensor.kind]
    for part in parts:
        for begin in range(0, len(part), _ROWS_A_CALL):
            try:
                values = quants.dequantize(part[begin : begin + _ROWS_A_CALL], kind)
            except NotImplementedError as error:
                raise ModelError(
                    f"{file.label}: {tensor.name} is {tensor.kind}, which gguf cannot dequantize; "
                    "pip install --upgrade gguf"
                ) from error
            yield np.array(values, dtype=np.float32).reshape(
                -1
            )  # a copy, since torch does not accept read-only arrays
