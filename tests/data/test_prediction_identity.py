"""Which files hold raw predictions, whose they are, and in what two of them were not made alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.prediction_identity import differences, is_raw, run_of
from llm_summ.runs.run import Run

LINE = {"fname": "dev_0", "dialogue": "0" * 16, "summary": "요약.", "tokens": 3, "finish_reason": "stop"}
MADE = {"engine": "hf", "adapter": "abc", "data": {"source": "dev.csv", "sha256": "0"}}


def put(name: str, line: Mapping[str, object] | str = LINE, identity: object = None) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    if identity is not None:
        path.with_suffix(".json").write_text(json.dumps(identity), encoding="utf-8")
    return path


@pytest.fixture
def run(in_tmp: Path) -> Run:
    found = Run(Path("runs/mine"))
    found.path.mkdir(parents=True)
    found.recipe_path.touch()
    return found


@pytest.mark.parametrize(
    ("name", "line", "identity", "raw"),
    [
        ("one.jsonl", LINE, None, True),
        ("one.jsonl", LINE, MADE, True),
        ("one.jsonl", LINE | {"sample": 1, "logprob": None}, None, True),
        # What the identity stands beside is damaged, or empty: who reads it says so.
        ("one.jsonl", "{", MADE, True),
        ("one.jsonl", "", MADE, True),
        ("one.jsonl", "", None, False),
        ("one.jsonl", "[1]\n", None, False),
        ("one.jsonl", {"fname": "dev_0", "summary": "요약."}, None, False),
        ("one.jsonl", {"fname": "dev_0", "summary": "요약.", "finish_reason": "stop"}, None, False),
        ("one.jsonl", LINE | {"model": "gpt"}, None, False),
        # The JSON file beside it is of something else.
        ("one.jsonl", {"fname": "dev_0", "summary": "요약."}, {"final": 50, "engine": "hf"}, False),
        ("one.jsonl", {"fname": "dev_0", "summary": "요약."}, ["adapter"], False),
        ("one.csv", LINE, MADE, False),
    ],
)
def test_raw_predictions_are_known_by_their_lines_or_their_identity(
    in_tmp: Path, run: Run, name: str, line: Mapping[str, object] | str, identity: object, raw: bool
) -> None:
    assert is_raw(put(name, line, identity)) is raw
    inside = put(f"runs/mine/predictions/{name}", line, identity)
    assert run_of(inside) == (run if raw else None)


@pytest.mark.parametrize("folder", ["predictions", "candidates", "sweeps", "evaluations", "predictions/earlier"])
def test_the_run_is_that_of_the_folder(run: Run, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(f"runs/mine/{folder}/dev.hf.jsonl")
    assert run_of(path, tell=True) == run_of(path.absolute(), tell=True) == run
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["moved.jsonl", "elsewhere/in/moved.jsonl", "runs/mine/moved.jsonl"])
def test_what_was_moved_is_of_no_run_and_that_is_said_if_asked(
    run: Run, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(name)
    assert run_of(path) is None
    assert capsys.readouterr().err == ""
    assert run_of(path, tell=True) is None
    assert capsys.readouterr().err == (
        f"{name}: raw predictions away from their run: taken as they stand, without its post-processing\n"
    )


@pytest.mark.parametrize("name", ["nowhere.jsonl", "folder.jsonl"])
def test_what_is_no_file_is_of_no_run(run: Run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who reads it says that it is not there."""
    Path("folder.jsonl").mkdir()
    assert run_of(Path(name), tell=True) is None
    assert capsys.readouterr().err == ""


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
IDENTITIES = st.dictionaries(
    st.sampled_from(["engine", "base", "prompt", "decoding"]),
    VALUES | st.dictionaries(st.sampled_from(["n", "top_p", "sha256"]), VALUES),
)


@given(IDENTITIES, IDENTITIES, VALUES)
def test_what_differs_is_named_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, object], second: dict[str, object], data: object
) -> None:
    folder = tmp_path_factory.mktemp("made")
    one = put(str(folder / "one.jsonl"), identity=first | {"adapter": "a", "data": data})
    other = put(str(folder / "other.jsonl"), identity=second | {"adapter": "a", "data": "of other dialogues"})
    found = differences(one, other)
    assert sorted(differences(other, one)) == sorted(found)
    for name in found:  # taken over from the other, they are alike
        key, _, part = name.partition(".")
        if part:
            assert isinstance(first[key], dict)
            assert isinstance(second[key], dict)
            assert first[key].get(part) != second[key].get(part)
        else:
            assert first.get(key) != second.get(key)
    same = {key: second.get(key) for key in {name.partition(".")[0] for name in found}}
    one = put(str(folder / "one.jsonl"), identity=first | same | {"adapter": "a"})
    assert differences(one, other) == []
