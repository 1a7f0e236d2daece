"""Which adapters vLLM attaches: a table, and vLLM's own opinion on the same configurations."""

from __future__ import annotations

from typing import Any

import pytest

from llm_summ.core.compat.vllm import LORA_RANKS
from llm_summ.models.vllm_support import vllm_refusals

PLAIN: dict[str, Any] = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj"], "bias": "none"}
TAKEN = [
    {},
    {"r": 512},
    {"modules_to_save": None},
    {"modules_to_save": []},
    {"modules_to_save": ["score"]},
    {"use_dora": False, "init_lora_weights": True},
    {"init_lora_weights": "gaussian"},
    {"use_rslora": True},
    {"rank_pattern": {"q_proj": 8}},
]
REFUSED = [
    ({"modules_to_save": ["lm_head", "embed_tokens"]}, "whole modules are trained"),
    ({"use_dora": True}, "DoRA"),
    ({"lora_bias": True}, "a bias of the adapter"),
    ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4 changes the base's weights"),
    ({"init_lora_weights": "olora"}, "olora changes the base's weights"),
    ({"layer_replication": [[0, 1]]}, "layer replication"),
    ({"use_qalora": True}, "QALoRA"),
]
# vLLM finds these out elsewhere: from `max_lora_rank`, from the names of the weights.
REFUSED_LATER = [
    ({"r": 513}, "rank 513 is over 512"),
    ({"rank_pattern": {"q_proj": 1024}}, "rank 1024 is over 512"),
    ({"bias": "lora_only"}, "biases of the base are trained"),
    ({"trainable_token_indices": [3]}, "trained token rows"),
    ({"target_modules": ["q_proj", "embed_tokens"]}, "it adapts embed_tokens"),
]


@pytest.mark.parametrize("fields", TAKEN)
def test_what_is_taken(fields: dict[str, Any]) -> None:
    assert vllm_refusals(PLAIN | fields) == []


@pytest.mark.parametrize(("fields", "reason"), REFUSED + REFUSED_LATER)
def test_what_is_refused(fields: dict[str, Any], reason: str) -> None:
    [found] = vllm_refusals(PLAIN | fields)
    assert found.startswith(reason)


def test_all_reasons_are_told() -> None:
    assert len(vllm_refusals(PLAIN | {"r": 2000, "use_dora": True, "modules_to_save": ["lm_head"]})) == 3


@pytest.mark.canary
@pytest.mark.slow
def test_vllm_thinks_so_too() -> None:
    helper = pytest.importorskip("vllm.lora.peft_helper", reason="vLLM is not installed")
    for fields in TAKEN:
        assert helper.PEFTHelper.from_dict(PLAIN | fields)._validate_features() == []
    for fields, _ in REFUSED:
        assert len(helper.PEFTHelper.from_dict(PLAIN | fields)._validate_features()) == 1
    import typing

    from vllm.config import lora

    assert set(typing.get_args(lora.MaxLoRARanks)) == set(LORA_RANKS)
