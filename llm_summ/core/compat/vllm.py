"""vLLM: which adapters it accepts, and how its outputs are named. The models are in `vllm_architectures`."""

from __future__ import annotations

__all__ = ["HARMLESS_STARTS", "LORA_RANKS", "SAVED_MODULES", "output_name"]

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM accepts for `max_lora_rank` (MaxLoRARanks). They are copied because importing vLLM takes
many seconds, and a check runs on machines without it. Without them vLLM refuses an adapter after it has loaded the
base."""

HARMLESS_STARTS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
"""Values of PEFT's `init_lora_weights` that vLLM accepts: they set the adapter's first weights and do not change
the base. Others (PiSSA, OLoRA, CorDA, LoftQ) change the base, which vLLM loads unchanged. Copied for the same
reason."""

SAVED_MODULES = frozenset({"classifier", "score"})
"""Values of PEFT's `modules_to_save` that vLLM accepts. Copied for the same reason."""


def output_name(request_name: str) -> str:
    """Return the name that outputs have for a request of `LLM.enqueue`.

    `LLM.enqueue` returns names such as "7-1f0c9a2e"; the outputs have the part before the hyphen. `LLM.generate`
    returns outputs in order, but only when the last one is finished: a kill would lose those that were finished.
    """
    return request_name.split("-", 1)[0]
