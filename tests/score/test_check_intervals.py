"""The script that counts how often an interval contains the full score: its counts and its errors."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from inline_snapshot import snapshot
from messages import plain

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_intervals.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_intervals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return name


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    code: int = script.main()
    return code


@pytest.mark.parametrize(
    ("full", "narrower", "expected"),
    [
        # The interval of two rows is from the one to the other; made narrower by a half, from 15 to 25.
        (20.0, 1.0, (True, True)),
        (10.0, 1.0, (True, True)),
        (30.0, 1.0, (True, True)),
        (30.1, 1.0, (False, False)),
        (9.9, 1.0, (False, False)),
        (15.0, 0.5, (True, True)),
        (14.9, 0.5, (True, False)),
        (25.1, 0.5, (True, False)),
        (31.0, 0.5, (False, False)),
    ],
)
def test_whether_an_interval_holds_a_score(
    script: ModuleType, full: float, narrower: float, expected: tuple[bool, bool]
) -> None:
    assert script.holds([10.0, 30.0], full, narrower) == expected


def test_shares_by_hand(script: ModuleType) -> None:
    """Pairs of three rows: the interval of a pair is from its one row to its other."""
    values = {"final": np.array([0.0, 10.0, 20.0]), "other": np.array([0.0, 0.0, 5.0])}
    found = script.coverage(values, {"final": 10.0, "other": 7.0}, 2, 600, 0)
    assert list(found) == ["with replacement", "without, as it is", "without, made narrower"]
    # Of 9 pairs, (0, 0) and (20, 20) leave 10 out.
    assert found["with replacement"]["final"] == pytest.approx(7 / 9, abs=0.05)
    # No pair of different rows does. About its mean it is made narrower by sqrt(1/3): then 0 and 20 alone hold it.
    assert found["without, as it is"]["final"] == 1
    assert found["without, made narrower"]["final"] == pytest.approx(1 / 3, abs=0.05)
    # None holds what is larger than all rows.
    assert {way: shares["other"] for way, shares in found.items()} == dict.fromkeys(found, 0)


def test_the_same_seed_draws_the_same_subsets(script: ModuleType) -> None:
    values = {"final": np.array([0.0, 4.0, 10.0, 11.0, 25.0])}
    first, again, other = (script.coverage(values, {"final": 10.0}, 2, 200, seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("subset", [3, 4])
def test_a_subset_of_all_rows_is_drawn_with_replacement_alone(script: ModuleType, subset: int) -> None:
    found = script.coverage({"final": np.array([1.0, 2.0, 3.0])}, {"final": 2.0}, subset, 2, 0)
    assert list(found) == ["with replacement"]


@pytest.mark.parametrize(
    "options", [["--subsets", "199"], ["--subsets", "0"], ["--subset", "1"], ["--subset", "-5"]]
)
def test_too_few_are_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(script, monkeypatch, "sample:dev", *options)
    assert stopped.value.code == 2
    assert plain(capsys.readouterr().err.splitlines()[-1]) == snapshot(
        "check_intervals.py: error: expected at least 2 rows a --subset, and at least 200 --subsets"
    )


def test_a_share_near_95_percent_is_good(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "sample:dev", "--subset", "60", "--subsets", "200") == 0
    first, header, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("32 rows; 200 subsets of 60; variant:rouge|tok:mecab-ko:")
    assert header.split() == ["R-1", "R-2", "R-L", "final"]
    # Two standard errors of 95 %, sqrt(0.95 * 0.05 / 200) each.
    assert plain(lines[-1]) == snapshot("with replacement, final: within 91.9% to 98.1%")
    share = re.fullmatch(r"with replacement +(?:[\d.]+% +){3}([\d.]+)%", lines[1])
    assert share is not None
    assert 91.9 <= float(share[1]) <= 98.1


def test_a_share_far_from_it_is_exit_code_1(
    in_tmp: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all rows score the same, every interval holds it."""
    write("dev.csv", ("fname", "dialogue", "summary"), [(f"dev_{n}", "대화", "비가 온다.") for n in range(6)])
    write("out.csv", ("fname", "summary"), [(f"dev_{n}", "비가 온다.") for n in range(6)])
    options = ["--predictions", "out.csv", "--subset", "5", "--subsets", "200"]
    assert run(script, monkeypatch, "dev.csv", *options) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[3].split()[-4:] == ["100.0%"] * 4
    assert out[-1] == "with replacement, final: OUTSIDE 91.9% to 98.1%"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "dev.csv: 2 rows have one reference (dev_0, dev_3); expected two or more in each, or --predictions "
            "FILE",
        ),
        (
            ["--predictions", "out.csv"],
            "out.csv: lacks 1 of the 2 ids of dev.csv (dev_3); expected a summary for each",
        ),
        (
            ["--predictions", "no.csv"],
            "no.csv: no such file; expected predictions as CSV or JSONL with fname and summary",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    in_tmp: Path,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    write("dev.csv", ("fname", "dialogue", "summary"), [("dev_0", "대화", "네."), ("dev_3", "대화", "네.")])
    write("out.csv", ("fname", "summary"), [("dev_0", "네.")])
    assert run(script, monkeypatch, "dev.csv", *arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"check_intervals.py: {message}\n")


def test_the_first_reference_is_scored_against_the_others(in_tmp: Path, script: ModuleType) -> None:
    header = ("fname", "dialogue", "summary1", "summary2", "summary3")
    write("dev.csv", header, [("dev_0", "대화", "비가 온다.", "비가 온다.", "비가 온다.")])
    score = script.read_score("dev.csv", None)
    assert score.references_per_row == (2, 2)
    assert score.final == pytest.approx(100)
