"""Canaries: what vLLM takes and how it names its outputs, as core/compat/vllm.py has it.

Which adapters it refuses, and which models it serves, are compared with it in tests/models (marked `canary` too).
"""

from __future__ import annotations

import inspect
import typing
from types import SimpleNamespace

import pytest

from llm_summ.core.compat.vllm import HARMLESS_STARTS, LORA_RANKS, SAVED_MODULES, output_name

pytestmark = [pytest.mark.canary, pytest.mark.slow]
PLAIN = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj"], "bias": "none"}

pytest.importorskip("vllm", reason="vLLM is not installed")


def test_ranks() -> None:
    from vllm.config import lora

    assert typing.get_args(lora.MaxLoRARanks) == LORA_RANKS


def test_adapters_that_are_taken() -> None:
    from vllm.lora.peft_helper import PEFTHelper

    takes = [{"init_lora_weights": start} for start in HARMLESS_STARTS]
    takes += [{"modules_to_save": [name]} for name in SAVED_MODULES]
    for fields in takes:
        assert PEFTHelper.from_dict(PLAIN | fields)._validate_features() == []
    for fields in ({"init_lora_weights": "pissa"}, {"modules_to_save": ["lm_head"]}):
        assert len(PEFTHelper.from_dict(PLAIN | fields)._validate_features()) == 1


def test_names_of_outputs() -> None:
    from vllm.v1.engine.input_processor import InputProcessor

    request = SimpleNamespace(request_id="17", external_req_id=None)
    InputProcessor.assign_request_id(request)
    assert output_name(request.request_id) == request.external_req_id == "17"


def test_requests_are_handed_in_and_steps_made_apart() -> None:
    from vllm import LLM
    from vllm.v1.engine.llm_engine import LLMEngine

    parameters = inspect.signature(LLM.enqueue).parameters
    assert {"prompts", "sampling_params", "lora_request", "use_tqdm"} <= set(parameters)
    assert "llm_engine" in inspect.getsource(LLM.__init__)
    assert callable(LLMEngine.step)
    assert callable(LLMEngine.has_unfinished_requests)
