"""Which files have raw predictions, which run they are of, and how the identities of two files differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain

from llm_summ.predictions.identity import PredictionIdentity, differences, read_identity
from llm_summ.predictions.raw_file import is_raw, run_of
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
        # The predictions next to the identity are damaged, or empty: reading them reports that.
        ("one.jsonl", "{", MADE, True),
        ("one.jsonl", "", MADE, True),
        ("one.jsonl", "", None, False),
        ("one.jsonl", "[1]\n", None, False),
        ("one.jsonl", {"fname": "dev_0", "summary": "요약."}, None, False),
        ("one.jsonl", {"fname": "dev_0", "summary": "요약.", "finish_reason": "stop"}, None, False),
        ("one.jsonl", LINE | {"model": "gpt"}, None, False),
        # The JSON file next to it is not an identity.
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
    assert run_of(path, notify=True) == run_of(path.absolute(), notify=True) == run
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "moved.jsonl",
            snapshot(
                "moved.jsonl: raw predictions outside their run: used as they are, without its post-processing\n"
            ),
        ),
        (
            "elsewhere/in/moved.jsonl",
            snapshot(
                "elsewhere/in/moved.jsonl: raw predictions outside their run: used as they are, without its "
                "post-processing\n"
            ),
        ),
        (
            "runs/mine/moved.jsonl",
            snapshot(
                "runs/mine/moved.jsonl: raw predictions outside their run: used as they are, without its "
                "post-processing\n"
            ),
        ),
    ],
)
def test_moved_predictions_have_no_run_and_a_notice_is_optional(
    run: Run, name: str, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    path = put(name)
    assert run_of(path) is None
    assert capsys.readouterr().err == ""
    assert run_of(path, notify=True) is None
    assert plain(capsys.readouterr().err) == message


@pytest.mark.parametrize("name", ["nowhere.jsonl", "folder.jsonl"])
def test_a_missing_file_or_a_folder_has_no_run(run: Run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its reader reports that it is missing."""
    Path("folder.jsonl").mkdir()
    assert run_of(Path(name), notify=True) is None
    assert capsys.readouterr().err == ""


TEXTS = st.none() | st.text(max_size=3)
IDENTITIES = st.fixed_dictionaries(
    {"engine": st.sampled_from(["hf", "vllm"]), "adapter": TEXTS},
    optional={
        "base": TEXTS,
        "later": st.none() | st.booleans() | st.integers(),
        "prompt": st.none() | st.fixed_dictionaries({}, optional={"sha256": TEXTS, "examples": st.integers()}),
        "decoding": st.just("greedy")
        | st.fixed_dictionaries({}, optional={"n": st.integers(1, 3), "top_p": st.floats(0, 1)}),
    },
)


@given(IDENTITIES, IDENTITIES)
def test_what_differs_is_named_and_nothing_else(first: dict[str, object], second: dict[str, object]) -> None:
    one, other = (
        PredictionIdentity.model_validate(fields | {"data": {"sha256": sha256}})
        for fields, sha256 in ((first, "0"), (second, "1"))
    )
    named = differences(one, other)
    assert sorted(differences(other, one)) == sorted(named)
    assert differences(one, None) == differences(None, one) == differences(one, one) == []
    for name in named:
        key, _, part = name.partition(".")
        if part:
            left, right = first[key], second[key]
            assert isinstance(left, dict)
            assert isinstance(right, dict)
            assert left.get(part) != right.get(part)
        else:
            assert first.get(key) != second.get(key)
    same = {key: second.get(key) for key in {name.partition(".")[0] for name in named}}
    known = {key: value for key, value in (first | same).items() if value is not None or key == "adapter"}
    assert differences(PredictionIdentity.model_validate(known), other) == []


@given(IDENTITIES)
def test_an_identity_is_stored_as_it_was_read(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, object]
) -> None:
    path = put(str(tmp_path_factory.mktemp("made") / "one.jsonl"), identity=fields)
    identity = read_identity(path)
    assert identity is not None
    assert identity.to_json() == fields
    assert (identity.label, identity.is_baseline) == (
        f"{fields['engine']}{'' if fields['adapter'] is not None else '.untuned'}",
        fields["adapter"] is None,
    )
