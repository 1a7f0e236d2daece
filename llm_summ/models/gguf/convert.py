"""Convert Gemma 3 from a GGUF file to the files that transformers would write, byte for byte, and much faster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.compat.transformers import GGUF_NAME_FIELD
from llm_summ.models.gguf.read import GgufFile, GgufTensor
from llm_summ.models.gguf.tokenizer import named_tokens, save_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["convert_gemma3"]

_ARCHITECTURE = "gemma3"
_LOCAL_ROPE = (
    10_000.0  # of the layers with a sliding window; the file does not have it, and llama.cpp does not read it
)

# transformers' fields, with llama.cpp's keys
_FIELDS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "sliding_window": "attention.sliding_window",
    "max_position_embeddings": "context_length",
}

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

# Values in one call of gguf's dequantization. It takes 16 rows at a time, of any length, so rows are joined until
# they are long enough for numpy to be fast and short enough for the processor's cache.
_VALUES_A_ROW = 1 << 13
_ROWS_A_CALL = 16


def convert_gemma3(file: GgufFile, tokenizer: Any, folder: Path) -> None:
    """Write configuration, weights in bfloat16 and tokenizer of a Gemma 3 into a folder.

    Args:
        file: from `read_gguf`.
        tokenizer: from `build_tokenizer`.
        folder: an empty one.
    """
    from safetensors.torch import save_file

    _save_configuration(file, folder)
    weights = {_transformers_name(tensor.name): _bfloat16(tensor) for tensor in file.tensors}
    # transformers refuses a file without this format
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(file, tokenizer, folder)


def _save_configuration(file: GgufFile, folder: Path) -> None:
    import torch
    from transformers import Gemma3TextConfig, GenerationConfig

    fields: dict[str, Any] = {ours: file.metadata[f"{_ARCHITECTURE}.{theirs}"] for ours, theirs in _FIELDS.items()}
    theta = file.metadata[f"{_ARCHITECTURE}.rope.freq_base"]
    thetas = {"full_attention": theta, "sliding_attention": _LOCAL_ROPE}
    config = Gemma3TextConfig(
        **fields,
        architectures=["Gemma3ForCausalLM"],
        dtype=torch.bfloat16,
        rope_parameters={kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
        tie_word_embeddings=all(tensor.name != "output.weight" for tensor in file.tensors),
        vocab_size=len(file.metadata["tokenizer.ggml.tokens"]),
        **{f"{role}_id": token_id for role, (token_id, _) in named_tokens(file).items()},
        **{GGUF_NAME_FIELD: file.metadata["general.name"]},
    )
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)


def _transformers_name(name: str) -> str:
    if name in _OUTSIDE_LAYERS:
        return _OUTSIDE_LAYERS[name]
    _, layer, part, _ = name.split(".")  # blk.0.attn_q.weight
    return f"model.layers.{layer}.{_IN_A_LAYER[part]}.weight"


def _bfloat16(tensor: GgufTensor) -> Any:
    """Dequantize a tensor, a part at a time, to avoid a float32 copy of the whole."""
    import torch

    whole = torch.empty(tensor.shape, dtype=torch.bfloat16)
    flat, done = whole.view(-1), 0
    for values in _dequantized(tensor):
        if tensor.name.endswith("norm.weight"):
            values = values - 1  # llama.cpp stores the factor w of a norm, transformers w - 1
        flat[done : done + values.size] = torch.from_numpy(values)
        done += values.size
    return whole


def _dequantized(tensor: GgufTensor) -> Iterator[npt.NDArray[np.float32]]:
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
            values = quants.dequantize(part[begin : begin + _ROWS_A_CALL], kind)
            # a copy, since torch does not accept read-only arrays
            yield np.array(values, dtype=np.float32).reshape(-1)
