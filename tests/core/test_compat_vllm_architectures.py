"""Canaries: the tables and classes in vLLM's source that core/compat/vllm_architectures.py reads.

What is known without vLLM is compared with them in tests/models/test_gate.py (marked `canary` too).
"""

from __future__ import annotations

import pytest

from llm_summ.core.compat.vllm_architectures import ArchitectureSupport, architecture_support

pytestmark = pytest.mark.canary

pytest.importorskip("vllm", reason="vLLM is not installed")


@pytest.mark.parametrize(
    ("architecture", "at_all", "with_adapters"),
    [
        ("LlamaForCausalLM", True, True),
        ("Qwen3ForCausalLM", True, True),
        ("Exaone4ForCausalLM", True, True),
        ("Gemma3ForConditionalGeneration", True, True),  # in the table of models that read pictures
        ("GPT2LMHeadModel", True, False),
        ("NobodysForCausalLM", False, False),
    ],
)
def test_models_that_are_served(architecture: str, at_all: bool, with_adapters: bool) -> None:
    assert architecture_support(architecture) == ArchitectureSupport(at_all, with_adapters)
