"""A tiny random model of each family of base models, with a tokenizer and a chat template in its manner."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # the tests' own folders have no packages
    for _folder in ("", "prompt"):
        sys.path.append(str(Path(__file__).parents[1] / _folder))

from model_families import CHATML, EXAONE, GEMMA, SOLAR, byte_level, with_pieces

__all__ = ["FAMILIES", "Family"]

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
THINKING = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"""
MISTRAL = """\
{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{%- if message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}
{%- else %}{{ ' ' + message.content + eos_token }}{% endif %}
{%- endfor %}"""
HARMONY = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|start|>assistant<|channel|>final<|message|>' + message.content + '<|return|>' }}
{%- else %}{{- '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"""

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,  # of 32 each, the smallest that vLLM computes on a CPU
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
}


@dataclass(frozen=True)
class Family:
    """A family of base models.

    Attributes:
        name: what people call it.
        model: the class of its model, and of its configuration without ``For…``.
        tokenizer: makes its tokenizer.
        config: fields of its configuration in addition to `SIZES`.
        text: whether those are of the language model in it, and not of the whole.
        sizes: whether its configuration has the fields of `SIZES`.
        targets: the layers that are adapted.
        refused: the code of the finding that refuses it; empty: it goes through.
        attached: whether vLLM accepts the adapter on top of the base.
        served: whether vLLM generates with its merged model on a CPU; if not, one line says why.
        in_ci: whether it is part of every run of the tests.
    """

    name: str
    model: str
    tokenizer: Callable[[], Any]
    config: dict[str, Any] = field(default_factory=dict)
    configuration: str = ""
    text: bool = False
    sizes: bool = True
    targets: str = "all-linear"
    refused: str = ""
    attached: bool = True
    served: bool = True
    in_ci: bool = False

    def build(self, folder: Path) -> Path:
        """Write the model into a folder, as a hub would store it."""
        import torch
        import transformers

        tokenizer = self.tokenizer()
        fields: dict[str, Any] = {**(SIZES if self.sizes else {}), "vocab_size": len(tokenizer)}
        fields |= {
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        fields |= self.config
        kind = getattr(transformers, self.configuration or f"{self.model.partition('For')[0]}Config")
        config = kind(text_config=fields, **_VISION.get(self.model, {})) if self.text else kind(**fields)
        torch.manual_seed(0)
        model = getattr(transformers, self.model)(config)
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and "vision" not in name:
                torch.nn.init.normal_(weight, std=0.1)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


def _tokenizer(
    special: Sequence[str], template: str | None = None, plain: tuple[str, ...] = (), *, adds_bos: bool = False
) -> Callable[[], Any]:
    """Make a byte-level tokenizer; the first of its special tokens fills, the second begins, the third ends."""

    @cache
    def make() -> Any:
        pad, bos, eos = special[:3]
        made = byte_level(list(special), bos=bos, eos=eos, template=template, adds_bos=adds_bos, plain=plain)
        made.pad_token = pad
        return made

    return make


@cache
def _qwen35() -> Any:
    """A tokenizer of the class that transformers uses for every Qwen3.5, independent of its files."""
    from transformers import Qwen3_5Tokenizer

    made = byte_level(list(_CHATML), eos=_CHATML[2], plain=("<think>", "</think>"))
    model = json.loads(made.backend_tokenizer.to_str())["model"]
    tokenizer = Qwen3_5Tokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer.add_special_tokens({"pad_token": _CHATML[0], "bos_token": _CHATML[1], "eos_token": _CHATML[2]})
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = CHATML
    return tokenizer


_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_GEMMA = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
_PLAIN = ("<pad>", "<s>", "</s>")
_VISION_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_VISION = {
    "Gemma3ForConditionalGeneration": {"vision_config": _VISION_SIZES, "mm_tokens_per_image": 4},
    "Qwen3VLForConditionalGeneration": {
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "depth": 1,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [],
        }
    },
    "Qwen3_5ForConditionalGeneration": {
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "depth": 1,
            "num_heads": 2,
            "out_hidden_size": 64,
        }
    },
}
_GEMMA_HEADS = {"head_dim": 32, "query_pre_attn_scalar": 32}
_LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "head_dim": 32,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 32}

_TWO_STACKS = {
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}

FAMILIES = (
    Family(
        "Llama 3, Kanana (tied)",
        "LlamaForCausalLM",
        _tokenizer(
            ("<pad>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"), LLAMA3
        ),
        {"tie_word_embeddings": True},
    ),
    Family(
        "Qwen3 (tied)",
        "Qwen3ForCausalLM",
        _tokenizer(_CHATML, CHATML, ("<think>", "</think>")),
        {"head_dim": 32, "tie_word_embeddings": True},
    ),
    Family(
        "Qwen3 that always thinks",
        "Qwen3ForCausalLM",
        _tokenizer(_CHATML, THINKING, ("<think>", "</think>")),
        {"head_dim": 32},
    ),
    Family("Gemma 2", "Gemma2ForCausalLM", _tokenizer(_GEMMA, GEMMA, adds_bos=True), _GEMMA_HEADS),
    Family(
        "Gemma 3, text",
        "Gemma3ForCausalLM",
        _tokenizer(_GEMMA, GEMMA, adds_bos=True),
        _GEMMA_HEADS,
        "Gemma3TextConfig",
    ),
    Family(
        "Gemma 3, 4B and up",
        "Gemma3ForConditionalGeneration",
        _tokenizer(_GEMMA, GEMMA, adds_bos=True),
        _GEMMA_HEADS,
        text=True,
        in_ci=True,
        attached=False,
    ),
    Family(
        "EXAONE 4",
        "Exaone4ForCausalLM",
        _tokenizer(("[PAD]", "[BOS]", "[|endofturn|]", "[|system|]", "[|user|]", "[|assistant|]"), EXAONE),
        {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    Family("SOLAR", "LlamaForCausalLM", _tokenizer(_PLAIN, SOLAR, adds_bos=True)),
    Family("Mistral 7B", "MistralForCausalLM", _tokenizer(_PLAIN, MISTRAL)),
    Family("Phi-3", "Phi3ForCausalLM", _tokenizer(_CHATML, CHATML)),
    Family("Cohere 2", "Cohere2ForCausalLM", _tokenizer(_CHATML, CHATML)),
    Family(
        "KoGPT2 (GPT-2)",
        "GPT2LMHeadModel",
        _tokenizer(_PLAIN),
        {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 2048},
        "GPT2Config",
        sizes=False,
        attached=False,
        in_ci=True,
    ),
    Family("Polyglot-Ko (GPT-NeoX)", "GPTNeoXForCausalLM", _tokenizer(_PLAIN), {"num_key_value_heads": 2}),
    Family("StableLM", "StableLmForCausalLM", _tokenizer(_CHATML, CHATML), attached=False),
    Family("OLMo 2", "Olmo2ForCausalLM", _tokenizer(_CHATML, CHATML)),
    Family("Llama 2 manner (pieces)", "LlamaForCausalLM", lambda: _with_pad(with_pieces())),
    Family(
        "Qwen3.5",
        "Qwen3_5ForConditionalGeneration",
        _qwen35,
        _LINEAR,
        text=True,
        attached=False,
        served=False,
    ),
    Family(
        "LFM2 (convolutions)",
        "Lfm2ForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {"layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
        in_ci=True,
        served=False,
    ),
    Family(
        "Granite 4 (hybrid)",
        "GraniteMoeHybridForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 64,
            "mamba_n_heads": 8,
            "mamba_n_groups": 1,
            "mamba_d_state": 16,
            "mamba_d_head": 16,
        },
        served=False,
    ),
    Family(
        "Falcon-H1",
        "FalconH1ForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 16},
        targets="[q_proj, k_proj, v_proj, o_proj, in_proj, gate_proj, up_proj, down_proj]",
        served=False,
    ),
    Family(
        "Mamba 2",
        "Mamba2ForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_heads": 8,
            "head_dim": 16,
            "n_groups": 1,
            "state_size": 16,
        },
        sizes=False,
        targets="[in_proj]",
        attached=False,
    ),
    Family(
        "Qwen3-MoE",
        "Qwen3MoeForCausalLM",
        _tokenizer(_CHATML, CHATML, ("<think>", "</think>")),
        _EXPERTS,
        attached=False,
        in_ci=True,
    ),
    Family(
        "gpt-oss",
        "GptOssForCausalLM",
        _tokenizer(("<|endoftext|>", "<|start|>", "<|return|>", "<|end|>", "<|message|>", "<|channel|>"), HARMONY),
        {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 32},
        attached=False,
    ),
    Family(
        "DeepSeek V2 manner (MLA)",
        "DeepseekV2ForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {
            "num_key_value_heads": 2,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "moe_intermediate_size": 32,
            "kv_lora_rank": 512,  # the only size that vLLM computes
            "q_lora_rank": None,
            "qk_nope_head_dim": 16,
            "qk_rope_head_dim": 64,
            "v_head_dim": 16,
            "first_k_dense_replace": 1,
        },
        attached=False,
        served=False,
    ),
    Family(
        "Llama 4",
        "Llama4ForCausalLM",
        _tokenizer(_CHATML, CHATML),
        {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 64, "head_dim": 32},
        "Llama4TextConfig",
        refused="pass",
        attached=False,
    ),
    Family(
        "Qwen3-VL",
        "Qwen3VLForConditionalGeneration",
        _tokenizer(_CHATML, CHATML),
        {"head_dim": 32},
        text=True,
        refused="no-language-model",
    ),
    Family(
        "KoBART (BART)",
        "BartForConditionalGeneration",
        _tokenizer(_PLAIN),
        {**_TWO_STACKS, "max_position_embeddings": 2048},
        sizes=False,
        served=False,
        in_ci=True,
    ),
    Family(
        "T5",
        "T5ForConditionalGeneration",
        _tokenizer(_PLAIN),
        {"d_model": 64, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0},
        sizes=False,
        served=False,
    ),
    Family(
        "Whisper",
        "WhisperForConditionalGeneration",
        _tokenizer(_PLAIN),
        _TWO_STACKS,
        sizes=False,
        refused="encoder-decoder",
    ),
    Family(
        "BERT", "BertForMaskedLM", _tokenizer(_PLAIN), {"num_key_value_heads": None}, refused="encoder", in_ci=True
    ),
    Family(
        "a classifier",
        "LlamaForSequenceClassification",
        _tokenizer(_PLAIN),
        refused="other-task",
        in_ci=True,
    ),
)


def _with_pad(tokenizer: Any) -> Any:
    tokenizer.pad_token = tokenizer.unk_token
    return tokenizer
