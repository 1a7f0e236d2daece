"""Small GGUF files of Gemma 3, written by the package gguf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

HIDDEN, MIDDLE, HEAD, LAYERS = 64, 96, 32, 2
SHAPES = {
    "attn_q": (4 * HEAD, HIDDEN),
    "attn_k": (HEAD, HIDDEN),
    "attn_v": (HEAD, HIDDEN),
    "attn_output": (HIDDEN, 4 * HEAD),
    "attn_q_norm": (HEAD,),
    "attn_k_norm": (HEAD,),
    "attn_norm": (HIDDEN,),
    "post_attention_norm": (HIDDEN,),
    "ffn_norm": (HIDDEN,),
    "post_ffw_norm": (HIDDEN,),
    "ffn_gate": (MIDDLE, HIDDEN),
    "ffn_up": (MIDDLE, HIDDEN),
    "ffn_down": (HIDDEN, MIDDLE),
}
PIECES = [
    "가",
    "나",
    "다",
    "는",
    "▁",
    "▁가",
    "가나",
    "나다",
    "가나다",
    "▁가나다",
    "는▁",
    "a",
    "b",
    "c",
    "ab",
    "bc",
    "abc",
    "#",
]


def vocabulary() -> list[tuple[str, TokenType]]:
    """Tokens with their types, as llama.cpp writes Gemma's: a run of spaces is stored with real spaces."""
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>"]
    return [
        *((token, TokenType.CONTROL) for token in control),
        *((token, TokenType.USER_DEFINED) for token in ("\n", "\n\n", "  ", "   ")),
        *((f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)),
        *((token, TokenType.NORMAL) for token in PIECES),
    ]


def write_gguf(path: Path, kind: str = "Q8_0", *, tied: bool = True) -> Path:
    """Write a random model to a file.

    Args:
        path: the file.
        kind: how its matrices are stored.
        tied: whether the file has no tensor for the output layer.
    """
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, "gemma3")
    writer.add_name("Tiny Gemma")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MIDDLE)
    writer.add_head_count(4)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(500_000.0)
    writer.add_sliding_window(16)
    tokens = vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([own for _, own in tokens])
    for token_id, add in enumerate((writer.add_pad_token_id, writer.add_eos_token_id, writer.add_bos_token_id)):
        add(token_id)
    writer.add_unk_token_id(3)
    names = {"token_embd.weight": (len(tokens), HIDDEN), "output_norm.weight": (HIDDEN,)}
    names |= {f"blk.{layer}.{part}.weight": shape for layer in range(LAYERS) for part, shape in SHAPES.items()}
    names |= {} if tied else {"output.weight": (len(tokens), HIDDEN)}
    for name, shape in names.items():
        stored = GGMLQuantizationType.F32 if len(shape) == 1 else GGMLQuantizationType[kind]
        values = rng.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(name, quants.quantize(values, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
