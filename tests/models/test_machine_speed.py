"""How fast this machine is: measured once, and estimates that learn from what jobs took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_summ.models.device import Device, cpu_name, find_device
from llm_summ.models.duration import ModelSize, decoding_seconds, minutes, prompt_seconds, training_seconds
from llm_summ.models.machine_speed import MachineSpeed, corrected, machine_speed, note_duration


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path))
    return tmp_path / "speed.json"


def test_a_machine_is_measured_once(cache: Path) -> None:
    device = find_device()
    first = machine_speed(device, "float32")
    assert first.device == device.name
    assert min(first.many, first.most, first.few, first.layer) > 0
    text = cache.read_text(encoding="utf-8")
    again = machine_speed(device, "float32")
    assert (again.many, again.few) == pytest.approx((first.many, first.few), rel=0.01)
    assert cache.read_text(encoding="utf-8") == text
    assert len(json.loads(text)["speeds"]) == 1
    machine_speed(Device("cpu", "another CPU", "float32"), "float32")
    assert len(json.loads(cache.read_text(encoding="utf-8"))["speeds"]) == 2


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", '{"speeds": {}}', '{"speeds": []}', '{"ratios": {"k": "x"}}']
)
def test_a_damaged_cache_is_made_again(cache: Path, text: str) -> None:
    cache.write_text(text, encoding="utf-8")
    assert corrected("k", 10.0) == 10.0
    note_duration("k", 10.0, 15.0)
    assert corrected("k", 10.0) == 15.0
    assert machine_speed(Device("cpu", "this one", "float32"), "float32").many > 0


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LLM_SUMM_CACHE", str(tmp_path / "file"))
    assert machine_speed(Device("cpu", "this one", "float32"), "float32").few > 0
    note_duration("k", 1.0, 1.0)


def test_an_estimate_is_corrected_by_the_median_of_the_last_jobs() -> None:
    assert corrected("train|a", 60.0) == 60.0
    for seconds in (120.0, 90.0, 600.0):  # once something else was running
        note_duration("train|a", 60.0, seconds)
    assert corrected("train|a", 60.0) == 120.0
    assert corrected("train|b", 60.0) == 60.0
    for _ in range(5):  # the last five count
        note_duration("train|a", 60.0, 66.0)
    assert corrected("train|a", 60.0) == pytest.approx(66.0)


def test_operations_over_their_rate() -> None:
    """By hand: 100 M weights in layers, 150 M in the head; 50 GFLOP/s, 25 with few rows."""
    size, speed = ModelSize(100_000_000, 150_000_000), MachineSpeed("a CPU", 2, 50.0, 50.0, 25.0, 50.0)
    # 4 * 0.1 G * 1000 tokens + 4 * 0.15 G * 100 labels = 460 G, at 66 % of 50 G/s
    assert training_seconds(size, speed, 1000, 100) == pytest.approx(460 / 33)
    assert training_seconds(size, speed, 1000, 100, checkpointing=True) == pytest.approx(660 / 33)
    assert training_seconds(size, speed, 1000, 100, operations=6) == pytest.approx(690 / 33)
    assert prompt_seconds(size, speed, 1000) == pytest.approx(200 / 31)
    # 2 * 0.25 G * (90 tokens + 12 times the longest), at 70 % of 25 G/s
    assert decoding_seconds(size, speed, [60, 30]) == pytest.approx(405 / 17.5)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "about 1 s"), (42.4, "about 42 s"), (330, "about 6 minutes"), (9000, "about 2.5 hours")],
)
def test_durations_for_people(seconds: float, shown: str) -> None:
    assert minutes(seconds) == shown


def test_a_cpu_has_a_name() -> None:
    assert cpu_name().strip()
    assert str(MachineSpeed("AMD EPYC, AVX2", 2, 80.4, 90.0, 30.0, 50.0)) == "AMD EPYC, AVX2, 2 cores, 80 GFLOP/s"
    assert str(MachineSpeed("a GPU", 0, 300_000.0, 1.0, 1.0, 1.0)) == "a GPU, 300000 GFLOP/s"
