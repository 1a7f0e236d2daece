"""Convert Gemma 3 from a GGUF file to the files that transformers would write, byte for byte, and much faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_summ.core.compat.transformers import GGUF_NAME_FIELD
from llm_summ.core.errors import ModelError
from llm_summ.models.gguf.read import GgufFile
from llm_summ.models.gguf.tokenizer import named_tokens, save_tokenizer
from llm_summ.models.gguf.weights import is_tied, save_weights

__all__ = ["convert_gemma3"]

_ARCHITECTURE = "gemma3"
_LOCAL_ROPE = (
    10_000.0  # of the layers with a sliding window; the file does not have it, and llama.cpp does not read it
)

# transformers' fields, with llama.cpp's keys
_FIELDS: dict[str, tuple[str, type]] = {
    "hidden_size": ("embedding_length", int),
    "intermediate_size": ("feed_forward_length", int),
    "num_hidden_layers": ("block_count", int),
    "num_attention_heads": ("attention.head_count", int),
    "num_key_value_heads": ("attention.head_count_kv", int),
    "head_dim": ("attention.key_length", int),
    "rms_norm_eps": ("attention.layer_norm_rms_epsilon", float),
    "sliding_window": ("attention.sliding_window", int),
    "max_position_embeddings": ("context_length", int),
}


def convert_gemma3(file: GgufFile, tokenizer: Any, folder: Path) -> None:
    """Write configuration, weights in bfloat16 and tokenizer of a Gemma 3 into a folder.

    Args:
        file: from `read_gguf`.
        tokenizer: from `build_tokenizer`.
        folder: an empty one.

    Raises:
        ModelError: another architecture, or an incomplete file.
    """
    architecture = file.value("general.architecture", str)
    if architecture != _ARCHITECTURE:
        raise ModelError(f"{file.label}: its architecture is {architecture}, expected {_ARCHITECTURE}")
    _save_configuration(file, folder)
    save_weights(file, folder / "model.safetensors")
    save_tokenizer(file, tokenizer, folder)


def _save_configuration(file: GgufFile, folder: Path) -> None:
    """Write config.json and generation_config.json."""
    import torch
    from transformers import Gemma3TextConfig, GenerationConfig

    fields: dict[str, Any] = {
        ours: file.value(f"{_ARCHITECTURE}.{theirs}", kind) for ours, (theirs, kind) in _FIELDS.items()
    }
    theta = file.value(f"{_ARCHITECTURE}.rope.freq_base", float)
    thetas = {"full_attention": theta, "sliding_attention": _LOCAL_ROPE}
    config = Gemma3TextConfig(
        **fields,
        architectures=["Gemma3ForCausalLM"],
        dtype=torch.bfloat16,
        rope_parameters={kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
        tie_word_embeddings=is_tied(file),
        vocab_size=len(file.value("tokenizer.ggml.tokens", list)),
        **{f"{role}_id": token_id for role, (token_id, _) in named_tokens(file).items()},
        **{GGUF_NAME_FIELD: file.value("general.name", str)},
    )
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
