"""Facts about a base from its configuration: its class, its layers, and whether it is quantized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["BaseFacts", "facts_of", "own_quantization"]

# Layers that reach other tokens only through an attention mask. All others carry a state from token to token, and
# would carry it from one packed row into the next.
_ATTENTION = (
    *(
        "full_attention",
        "sliding_attention",
        "chunked_attention",
        "indexed_attention",
        "attention",
        "global",
        "local",
    ),
    *("minimax_m3_sparse", "moe"),
)
_RECURRENT_TYPES = (
    *("bamba", "falcon_h1", "falcon_mamba", "jamba", "kimi_linear", "lfm2", "lfm2_moe", "mamba", "mamba2"),
    *("minimax", "nemotron_h", "olmo_hybrid", "qwen3_next", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2"),
)
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """Facts about a base model from its configuration.

    Attributes:
        model_type: transformers' name of the family, such as ``llama``.
        configuration: name of the configuration's class.
        architectures: the classes that its weights were saved from.
        trained_class: the class that a training loads it as; None: no class for text.
        is_encoder_decoder: whether an encoder reads and a decoder writes.
        is_encoder: whether each token sees later ones.
        quantized: how its weights are quantized already, such as ``fp8``; None: they are not.
        recurrent: kinds of layers that carry a state from token to token.
        sees: whether it has layers for images as well.
        experts: the number of experts of a layer; 0: it has none.
        vocabulary: rows of the table of embeddings; None: unknown.
        latent: whether keys and values are kept as one latent state (MLA, DeepSeek V2).
        context: the maximum number of tokens, prompt and completion; None: unknown.
    """

    model_type: str
    configuration: str
    architectures: tuple[str, ...]
    trained_class: str | None
    is_encoder_decoder: bool
    is_encoder: bool
    quantized: str | None
    recurrent: tuple[str, ...]
    sees: bool
    experts: int
    vocabulary: int | None
    context: int | None
    latent: bool = False

    def has_token(self, token: int | None) -> bool:
        """Return whether the table of embeddings has a row for a token."""
        return token is not None and (self.vocabulary is None or token < self.vocabulary)

    @property
    def saved_class(self) -> str | None:
        """The class that the weights on disk belong to, by which vLLM picks its own."""
        return self.architectures[0] if self.architectures else self.trained_class

    @property
    def is_part(self) -> bool:
        """Whether the trained model is a part of the one on disk, so that its layers have other names there."""
        return self.sees and self.trained_class is not None and self.saved_class != self.trained_class


def facts_of(config: Any) -> BaseFacts:
    """Return the facts in a configuration.

    Args:
        config: of transformers, as `AutoConfig` reads it.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    text = config.get_text_config()
    two_parts = bool(getattr(config, "is_encoder_decoder", False))
    classes = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES if two_parts else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    own_code = getattr(config, "auto_map", None) or {}
    custom = own_code.get("AutoModelForSeq2SeqLM" if two_parts else "AutoModelForCausalLM")
    trained = classes.get(config.model_type) or (custom and custom.rpartition(".")[2])
    quantization = own_quantization(config)
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    architectures = tuple(getattr(config, "architectures", None) or ())
    return BaseFacts(
        model_type=str(config.model_type),
        configuration=type(config).__name__,
        architectures=architectures,
        trained_class=trained or None,
        is_encoder_decoder=two_parts,
        is_encoder=masked and not getattr(config, "is_decoder", False),
        quantized=None if quantization is None else _method(quantization),
        recurrent=_recurrent(text),
        sees=getattr(config, "vision_config", None) is not None,
        experts=max((_number(text, name) for name in _EXPERTS), default=0),
        vocabulary=_number(text, "vocab_size") or None,
        context=_number(text, "max_position_embeddings") or None,
        latent=_number(text, "kv_lora_rank") > 0,
    )


def own_quantization(config: Any) -> dict[str, Any] | None:
    """Return how a base's own weights are quantized, as its configuration says; None: they are not."""
    for part in (config, config.get_text_config()):
        fields = getattr(part, "quantization_config", None)
        if fields is not None:
            return dict(fields if isinstance(fields, dict) else fields.to_dict())
    return None


def _method(fields: Mapping[str, Any]) -> str:
    """Return how weights are quantized, in the configuration's word."""
    method = str(getattr(fields.get("quant_method"), "value", fields.get("quant_method", "unknown")))
    if method != "bitsandbytes":
        return method
    return "bitsandbytes, 8 bits" if fields.get("load_in_8bit") else "bitsandbytes, 4 bits"


def _recurrent(config: Any) -> tuple[str, ...]:
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ()
    recurrent = sorted({str(kind) for kind in kinds} - set(_ATTENTION))
    if not recurrent and config.model_type in _RECURRENT_TYPES:
        return (str(config.model_type),)
    return tuple(recurrent)


def _number(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
