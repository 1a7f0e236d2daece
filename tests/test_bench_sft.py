"""The bench of the training: what it reads and computes, and that it runs with the tiny model."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import run_script
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import InputError

SCRIPT = Path(__file__).parents[1] / "scripts" / "bench_sft.py"
CURVES = st.lists(st.floats(0, 20), min_size=1, max_size=30)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_sft", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there for its annotations
    spec.loader.exec_module(module)
    return module


bench = load()


@pytest.mark.parametrize(
    ("values", "window", "expected"),
    [
        ([4.0, 2.0, 3.0], 2, [3.0, 2.5]),
        ([4.0, 2.0, 3.0], 1, [4.0, 2.0, 3.0]),
        ([4.0, 2.0, 3.0], 3, [3.0]),
        ([4.0, 2.0], 5, [3.0]),
    ],
)
def test_moving_mean(values: list[float], window: int, expected: list[float]) -> None:
    assert bench.moving_mean(values, window) == expected


@given(CURVES, st.integers(1, 10), st.floats(-1, 1))
def test_the_distance_of_a_shifted_curve_is_the_shift(curve: list[float], window: int, shift: float) -> None:
    assert bench.difference(curve, [loss + shift for loss in curve], window) == pytest.approx(abs(shift), abs=1e-9)


def test_one_step_apart_is_spread_over_the_window() -> None:
    assert bench.difference([1.0] * 10, [1.0] * 9 + [2.0], window=5) == pytest.approx(0.2)


def test_a_loss_that_is_no_number_is_far_from_every_curve() -> None:
    assert math.isnan(bench.difference([1.0, 2.0, 3.0], [1.0, math.nan, 3.0], window=1))


LOG: list[dict[str, Any]] = [
    {"step": 1, "epoch": 0.5, "loss": 3.0, "seconds": 2.0, "tokens": 100},
    {"step": 1, "epoch": 0.5, "dev_loss": 9.0, "dev_score": 20.0, "seconds": 4.0},
    {"step": 2, "epoch": 1.0, "loss": 2.5, "seconds": 6.0, "tokens": 200},
]


def test_a_log_gives_the_losses_of_its_training_lines() -> None:
    assert bench.read_log(list(map(json.dumps, LOG)), 2) == ((3.0, 2.5), 6.0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LOG[:1], snapshot("log.jsonl: 1 line with a loss, expected one for each of 2 steps")),
        ([*LOG, LOG[2]], snapshot("log.jsonl: 3 lines with a loss, expected one for each of 2 steps")),
        ([LOG[2], LOG[0]], snapshot("log.jsonl: 2 lines with a loss, expected one for each of 2 steps")),
        ([], snapshot("log.jsonl: 0 lines with a loss, expected one for each of 2 steps")),
    ],
)
def test_a_log_without_a_loss_for_every_step_is_refused(lines: list[dict[str, Any]], message: str) -> None:
    with raises(InputError) as error:
        bench.read_log(list(map(json.dumps, lines)), 2)
    assert error.message == message


def test_a_state_gives_losses_and_seconds() -> None:
    history = [{"loss": 3.0, "step": 1}, {"loss": 2.5, "step": 2}, {"train_runtime": 8.5, "train_loss": 2.75}]
    assert bench.read_state({"log_history": history}, 2) == ((3.0, 2.5), 8.5)
    with raises(InputError) as error:
        bench.read_state({"log_history": history}, 3)
    assert error.message == snapshot("plain_trl.py: 2 losses, expected one for each of 3 steps")
    with raises(InputError) as error:
        bench.read_state({"log_history": history[:2]}, 2)
    assert error.message == snapshot("plain_trl.py: did not end, or its state lacks train_runtime")


def test_the_table_has_medians_and_the_ratios_of_the_rounds() -> None:
    found = {
        "ours": [bench.Training((3.0, 2.0), seconds, 2**30) for seconds in (10.0, 20.0)],
        "plain": [bench.Training((3.0, 2.2), seconds, 3 * 2**30) for seconds in (30.0, 50.0)],
    }
    assert bench.table(found, tokens=1000)[2:] == [
        "| ours | 75 | 1.00 | 1.00 | 3.000, 2.000, 2.000 | 0.0000 |",
        "| plain | 27 | 2.75 (2.50 to 3.00) | 3.00 | 3.000, 2.200, 2.200 | 0.1000 |",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--set", "train.batch_size=2"),
            snapshot("bench_sft.py: --set train.batch_size=2: is the bench's own; see --help for its options\n"),
        ),
        (
            ("--set", "lora.init=eva"),
            snapshot("bench_sft.py: lora.init eva: the plain script has no such setting; leave it out\n"),
        ),
        (
            ("--rows", "300"),
            snapshot(
                "bench_sft.py: sample:train: 128 rows of at most 1024 tokens, expected 300; give more --data, or "
                "fewer --rows\n"
            ),
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(
    options: tuple[str, ...], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    command = ("--model", str(tiny_model), "--data", "sample:train", "--rows", "8", *options)
    found = run_script(SCRIPT, *command, cwd=tmp_path)
    assert found.code == 2
    assert plain(found.err) == message


@pytest.mark.slow
def test_the_sides_train_the_same_rows_with_the_same_losses(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    found = run_script(
        SCRIPT,
        *("--model", str(tiny_model), "--rows", "12", "--batch", "4", "--sides", "ours", "settings"),
        *("--set", "model.compute_dtype=float32", "--set", "model.quantization=none", "--json", str(out)),
        cwd=tmp_path,
    )
    assert found.code == 0, found.err
    figures = json.loads(out.read_text(encoding="utf-8"))
    [ours], [settings] = figures["ours"], figures["settings"]
    assert len(ours["losses"]) == 3
    # TRL tokenizes prompt and completion in one: nothing else differs.
    assert settings["losses"] == pytest.approx(ours["losses"], abs=1e-3)
    assert figures["tokens"] > 12 * 100
    assert min(ours["peak"], settings["peak"]) > 100 * 2**20
    assert "| ours |" in found.out
    assert "| settings |" in found.out
