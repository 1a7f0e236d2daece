"""Raw predictions on disk: continued under the same identity, set aside under another, never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PredictionError
from llm_summ.predictions.identity import DataIdentity, DecodingIdentity, PredictionIdentity
from llm_summ.predictions.prediction import FinishReason, Prediction
from llm_summ.predictions.store import PredictionFile, take_over

STORED = {"engine": "hf", "adapter": "abc", "prompt": {"examples": 2, "sha256": "9"}, "revision": None}
IDENTITY = PredictionIdentity.model_validate(STORED)


def changed(**fields: Any) -> PredictionIdentity:
    return PredictionIdentity.model_validate(STORED | fields)


FIRST = Prediction("dev_0", "0" * 16, " 요약\n둘\u2028 ", 7, "stop")
SECOND = Prediction("dev_2", "1" * 16, "", 160, "length")


@pytest.fixture
def file(tmp_path: Path) -> PredictionFile:
    return PredictionFile(tmp_path / "predictions" / "dev.v2.hf.jsonl")


def fill(file: PredictionFile, identity: PredictionIdentity, *predictions: Prediction) -> None:
    file.begin(identity)
    with file.appending() as out:
        for prediction in predictions:
            out.add(prediction)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_file_begins_empty_with_its_identity(file: PredictionFile) -> None:
    assert file.begin(IDENTITY) == []
    assert file.identity() == IDENTITY
    assert json.loads(file.identity_path.read_text(encoding="utf-8")) == STORED
    assert file.identity_path.name == "dev.v2.hf.json"


def test_texts_come_back_as_they_were(file: PredictionFile) -> None:
    fill(file, IDENTITY, FIRST, SECOND)
    assert file.read() == [FIRST, SECOND]


def test_a_line_is_an_object_that_other_programs_can_read(file: PredictionFile) -> None:
    fill(file, IDENTITY, FIRST)
    assert json.loads(file.path.read_text(encoding="utf-8")) == {
        "fname": "dev_0",
        "dialogue": "0" * 16,
        "summary": " 요약\n둘\u2028 ",
        "tokens": 7,
        "finish_reason": "stop",
        "sample": 0,
        "logprob": None,
    }


def test_a_prediction_is_on_disk_when_it_was_added(file: PredictionFile) -> None:
    file.begin(IDENTITY)
    with file.appending() as out:
        out.add(FIRST)
        assert file.read() == [FIRST]
        out.add(SECOND)
        assert file.read() == [FIRST, SECOND]


def test_the_same_identity_goes_on(file: PredictionFile) -> None:
    fill(file, IDENTITY, FIRST)
    assert file.begin(changed()) == [FIRST]
    with file.appending() as out:
        out.add(SECOND)
    assert file.read() == [FIRST, SECOND]
    assert sorted(everything(file.path.parent)) == ["dev.v2.hf.json", "dev.v2.hf.jsonl"]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_made_again(file: PredictionFile, cut: int) -> None:
    fill(file, IDENTITY, FIRST, SECOND)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-cut])
    assert file.begin(IDENTITY) == [FIRST]
    with file.appending() as out:
        out.add(SECOND)
    assert file.path.read_bytes() == whole


def test_another_identity_sets_the_old_file_aside_unchanged(file: PredictionFile) -> None:
    fill(file, IDENTITY, FIRST)
    before = everything(file.path.parent)
    other = changed(adapter=None)
    assert file.begin(other) == []
    assert file.identity() == other
    assert not file.path.exists()
    after = everything(file.path.parent)
    del after["dev.v2.hf.json"]
    assert sorted(after.values()) == sorted(before.values())
    [aside] = [PredictionFile(path) for path in (file.path.parent / "earlier").glob("*.jsonl")]
    assert aside.identity() == IDENTITY
    assert aside.read() == [FIRST]


def test_reading_kept_predictions_changes_nothing(file: PredictionFile) -> None:
    assert file.kept(IDENTITY) == []
    assert everything(file.path.parent) == {}
    fill(file, IDENTITY, FIRST)
    before = everything(file.path.parent)
    assert file.kept(changed()) == [FIRST]
    assert file.kept(changed(engine="other")) == []
    assert everything(file.path.parent) == before


def test_nothing_is_lost_however_often_identities_change(file: PredictionFile) -> None:
    other = changed(engine="vllm")
    for number in range(6):
        fill(file, (IDENTITY, other)[number % 2], Prediction(f"dev_{number}", "0" * 16, "x", 1, "stop"))
    kept = [PredictionFile(path) for path in file.path.parent.rglob("*.jsonl")]
    assert sorted(row.fname for one in kept for row in one.read()) == [f"dev_{number}" for number in range(6)]
    assert {identity.engine for one in kept if (identity := one.identity())} == {"hf", "vllm"}
    assert len(kept) == 6


@pytest.mark.parametrize("identity", [None, b"", b'{"engine": "h', b"\xff", b"[]", b"null", b'{"engine": "hf"}'])
def test_predictions_of_unknown_origin_are_set_aside_too(file: PredictionFile, identity: bytes | None) -> None:
    fill(file, IDENTITY, FIRST)
    if identity is None:
        file.identity_path.unlink()
    else:
        file.identity_path.write_bytes(identity)
    assert file.identity() is None
    assert file.begin(IDENTITY) == []
    [aside] = [PredictionFile(path) for path in (file.path.parent / "earlier").glob("*.jsonl")]
    assert aside.read() == [FIRST]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"fname": "a", "summary": "x"}',
            snapshot("…/predictions/dev.v2.hf.jsonl:2: not a prediction of `llm-summ generate`"),
        ),
        (
            '{"fname": "a", "dialogue": "0", "summary": "x", "tokens": 1, "finish_reason": "stop", "more": 1}',
            snapshot("…/predictions/dev.v2.hf.jsonl:2: not a prediction of `llm-summ generate`"),
        ),
        ("[1]", snapshot("…/predictions/dev.v2.hf.jsonl:2: found list; expected a JSON object a line")),
        (
            '{"fname": ',
            snapshot("…/predictions/dev.v2.hf.jsonl:2: not JSON in UTF-8 (…); expected one JSON object a line"),
        ),
    ],
)
def test_a_line_that_is_no_prediction_is_named(file: PredictionFile, line: str, message: str) -> None:
    fill(file, IDENTITY, FIRST)
    with file.path.open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    with raises(PredictionError) as error:
        file.read()
    assert error.message == message


def of(limit: int, data: str = "d", engine: str = "hf", beams: int = 1) -> PredictionIdentity:
    return PredictionIdentity(
        engine=engine,
        adapter="abc",
        decoding=DecodingIdentity(beams=beams) if beams > 1 else "greedy",
        max_new_tokens=limit,
        data=DataIdentity(source="dev.csv", sha256=data),
    )


def test_texts_that_keep_to_another_limit_are_taken_over(tmp_path: Path) -> None:
    def prediction(name: str, tokens: int, finish: FinishReason) -> Prediction:
        return Prediction(name, "0" * 16, f"{name} 요약", tokens, finish)

    short, long = prediction("a", 30, "stop"), prediction("b", 90, "stop")
    there = PredictionFile(tmp_path / "predictions" / "dev.hf.jsonl")
    fill(there, of(100), short, long, prediction("c", 100, "length"))
    for data, identity, expected in (
        ("lower", of(80), [short]),
        ("equal", of(100), there.read()),
        ("higher", of(120), [short, long]),
        ("other data", of(80, "e"), []),
        ("other engine", of(80, engine="vllm"), []),
    ):
        file = PredictionFile(tmp_path / "sweeps" / f"{data}.jsonl")
        take_over(file, identity, [tmp_path / "predictions", tmp_path / "sweeps"])
        assert file.kept(identity) == expected, data
        take_over(file, identity, [tmp_path / "predictions", tmp_path / "sweeps"])
        assert file.kept(identity) == expected, data


def test_beams_are_taken_over_under_the_same_limit_only(tmp_path: Path) -> None:
    """Beams that are cut off compete with those that ended: another limit gives another text."""
    fill(PredictionFile(tmp_path / "predictions" / "dev.hf.beam4.jsonl"), of(100, beams=4), FIRST)
    for limit, expected in ((100, [FIRST]), (120, [])):
        file = PredictionFile(tmp_path / "sweeps" / f"{limit}.jsonl")
        take_over(file, of(limit, beams=4), [tmp_path / "predictions"])
        assert file.kept(of(limit, beams=4)) == expected


def test_fields_of_another_version_are_part_of_the_identity(file: PredictionFile) -> None:
    """Fields unknown to a version are kept and compared; a field that a file lacks does not have its default."""
    later = changed(paged=True)
    fill(file, later, FIRST)
    assert json.loads(file.identity_path.read_text(encoding="utf-8")) == STORED | {"paged": True}
    assert file.kept(later) == [FIRST]
    assert file.kept(IDENTITY) == []
    assert file.kept(changed(paged=True, version=None)) == []


def test_a_damaged_file_is_not_taken_over(tmp_path: Path) -> None:
    there = PredictionFile(tmp_path / "predictions" / "dev.hf.jsonl")
    fill(there, of(100), FIRST)
    with there.path.open("a", encoding="utf-8") as out:
        out.write('{"no": "prediction"}\n')
    file = PredictionFile(tmp_path / "sweeps" / "dev.jsonl")
    take_over(file, of(100), [tmp_path / "predictions"])
    assert not file.path.exists()


@pytest.mark.parametrize(
    "changed",
    [{"sample": -0.5}, {"sample": "0"}, {"logprob": "x"}, {"logprob": [1]}, {"more": 1}, {"tokens": None}],
)
def test_a_line_that_is_not_a_prediction(file: PredictionFile, changed: dict[str, Any]) -> None:
    fill(file, IDENTITY, FIRST)
    line = json.loads(file.path.read_text(encoding="utf-8")) | changed
    file.path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with raises(PredictionError) as error:
        file.read()
    assert error.message == snapshot("…/predictions/dev.v2.hf.jsonl:1: not a prediction of `llm-summ generate`")


def test_lines_without_the_later_fields_are_read(file: PredictionFile) -> None:
    fill(file, IDENTITY, FIRST)
    line = json.loads(file.path.read_text(encoding="utf-8"))
    del line["sample"], line["logprob"]
    file.path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert file.read() == [FIRST]
