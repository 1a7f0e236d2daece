"""Properties of the tokenizer that a model card reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra train is not installed")

sys.path.append(str(Path(__file__).parents[1] / "prompt"))

from model_families import make_tokenizer

from llm_summ.merge.card import added_token, has_thinking_switch


@pytest.mark.parametrize(
    ("kind", "added", "switch"),
    [
        ("base", "<s>", False),
        ("chatml", None, True),
        ("gemma", "<bos>", False),
        ("solar", "<s>", False),
        ("exaone", None, False),
    ],
)
def test_a_tokenizer(kind: str, added: str | None, switch: bool) -> None:
    tokenizer = make_tokenizer(kind)
    assert added_token(tokenizer) == added
    assert has_thinking_switch(tokenizer) is switch
