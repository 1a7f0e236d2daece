"""Writing a submission: the sample's format, every summary as it is, and nothing to complain of afterwards."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises
from submissions import GOOD, IDS, PLAIN_GOOD, PLAIN_SAMPLE, SAMPLE, TEXTS, kinds_and_lines, sample_of

from llm_summ.core.errors import DataError, PredictionError, RunError
from llm_summ.core.files import file_sha256
from llm_summ.data import dialogue_hash, read_dialogues
from llm_summ.data.source import resolve_source
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run
from llm_summ.submit import Texts, check_submission, data_of, file_texts, read_sample, run_texts, write_submission

BY_ID = dict(zip(IDS, TEXTS, strict=True))
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(
    folder: Path, by_id: dict[str, str], sample: str = SAMPLE, *, allow_empty: bool = False, force: bool = False
) -> bytes:
    out = folder / "out.csv"
    texts = Texts(folder / "texts.csv", by_id)
    write_submission(texts, sample_of(folder, sample), out, allow_empty=allow_empty, force=force)
    return out.read_bytes()


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (SAMPLE, GOOD),
        (PLAIN_SAMPLE, PLAIN_GOOD),
        (SAMPLE.replace("\n", "\r\n"), GOOD.replace("\n", "\r\n")),
        ("\ufeff" + SAMPLE, "\ufeff" + GOOD),
        (SAMPLE[:-1], GOOD[:-1]),
    ],
    ids=["index", "no index", "CRLF", "byte order mark", "no final line end"],
)
def test_the_format_is_the_samples(tmp_path: Path, sample: str, expected: str) -> None:
    backwards = dict(reversed(BY_ID.items()))
    assert written(tmp_path, backwards, sample) == expected.encode()


def test_other_columns_and_their_order_are_the_samples(tmp_path: Path) -> None:
    sample = 'summary,fname,set\n.,b,"public, 1"\n.,a,private\n'
    texts = {"a": "첫째, 그리고 둘째입니다.", "b": '그는 "네"라고 합니다.'}
    expected = 'summary,fname,set\n"그는 ""네""라고 합니다.",b,"public, 1"\n"첫째, 그리고 둘째입니다.",a,private\n'
    assert written(tmp_path, texts, sample) == expected.encode()


def test_a_submission_is_utf_8_though_its_sample_is_cp949(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sample_submission.csv"
    path.write_bytes(SAMPLE.encode("cp949"))
    sample = read_sample(path)
    said = capsys.readouterr().err
    assert plain(said) == snapshot(
        "…/sample_submission.csv: read as CP949 (it is not UTF-8)\n"
        "…/sample_submission.csv: the submission is written in UTF-8 nevertheless\n"
    )
    write_submission(Texts(tmp_path / "texts.csv", BY_ID), sample, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == GOOD.encode()
    assert check_submission(tmp_path / "out.csv", sample).findings == ()


WORDS = st.sampled_from(
    [
        "#Person1#",
        "#Person2#의",
        "민수는",
        '"네"라고',
        "사과,",
        "배,",
        "#Email#로",
        "'병원'에서",
        "3시에",
        "회의를",
        "“좋아”",
    ]
)
SENTENCES = st.lists(WORDS, min_size=3, max_size=30).map(lambda words: " ".join(["그는", *words, "말합니다."]))


@FUZZ
@given(st.lists(SENTENCES, min_size=6, max_size=6, unique=True), st.sampled_from([SAMPLE, PLAIN_SAMPLE]))
def test_nothing_is_found_in_what_was_written(tmp_path: Path, texts: list[str], sample: str) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(written(tmp_path, dict(zip(IDS, texts, strict=True)), sample, force=True))
    found = kinds_and_lines(check_submission(path, sample_of(tmp_path, sample)))
    # A random row of words may be long, or the same again and again.
    assert found.keys() <= {"repetition", "long-summary"}, found
    assert ("long-summary" in found) == any(len(text) > 400 for text in texts)


@FUZZ
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=6, max_size=6))
def test_every_text_comes_back(tmp_path: Path, texts: list[str]) -> None:
    rows = rows_of(written(tmp_path, dict(zip(IDS, texts, strict=True)), allow_empty=True, force=True))
    assert [row[:2] for row in rows] == [["", "fname"], *([str(at), one] for at, one in enumerate(IDS))]
    for row, text in zip(rows[1:], texts, strict=True):
        assert row[2] == text or (len(text.splitlines()) >= 1 and row[2].split() == text.split())
        assert len(row[2].splitlines()) <= 1


def test_line_breaks_become_spaces_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = BY_ID | {"test_1": "민수는 갑니다. \r\n\r\n영희는 옵니다.\n", "test_2": " 그대로  둡니다. "}
    rows = rows_of(written(tmp_path, texts))
    assert rows[2][2] == "민수는 갑니다. 영희는 옵니다."
    assert rows[3][2] == " 그대로  둡니다. "
    assert plain(capsys.readouterr().err) == snapshot(
        "…/texts.csv: line breaks became spaces in 1 summary (test_1)\n"
    )


def test_ids_that_the_sample_lacks_are_left_out_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(tmp_path, {"dev_0": "하나.", **BY_ID, "dev_1": "둘."}) == GOOD.encode()
    assert plain(capsys.readouterr().err) == snapshot(
        "…/texts.csv: 2 ids are not in …/sample_submission.csv and are left out (dev_0, dev_1)\n"
    )


def test_missing_ids_are_refused(tmp_path: Path) -> None:
    with raises(PredictionError) as error:
        written(tmp_path, {one: BY_ID[one] for one in IDS if one not in ("test_0", "test_4")})
    assert error.message == snapshot(
        "…/texts.csv: lacks 2 of the 6 ids of …/sample_submission.csv (test_0, test_4); generate them, or "
        "name the predictions of the sample's rows"
    )
    with raises(PredictionError) as error:
        written(tmp_path, {f"test_{at}": text for at, text in enumerate(TEXTS)})
    assert error.message == snapshot(
        "…/texts.csv: its ids were made by counting, and from test_3 on they belong to other rows "
        "(…/sample_submission.csv has test_4 there); take each id from the data"
    )
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("empty", ["", " ", ".", "…!", "#", "nan", " None."])
def test_empty_summaries_are_refused_or_written_as_they_are(tmp_path: Path, empty: str) -> None:
    texts = BY_ID | {"test_2": empty}
    with raises(PredictionError) as error:
        written(tmp_path, texts)
    assert error.message == snapshot(
        "…/texts.csv: 1 summary (test_2) with no text, or only a word such as nan: refused, or it scores "
        "0; generate again, or write them as they are: --allow-empty"
    )
    assert rows_of(written(tmp_path, texts, allow_empty=True))[3][2] == empty


def test_force_replaces_a_file_and_no_more(tmp_path: Path) -> None:
    written(tmp_path, BY_ID)
    empty = BY_ID | {"test_2": ""}
    with raises(PredictionError) as error:
        written(tmp_path, empty, force=True)
    assert error.message == snapshot(
        "…/texts.csv: 1 summary (test_2) with no text, or only a word such as nan: refused, or it scores "
        "0; generate again, or write them as they are: --allow-empty"
    )
    with raises(DataError) as error:
        written(tmp_path, empty, allow_empty=True)
    assert error.message == snapshot(
        "--out …/out.csv: is there already; choose another name, or replace it: --force"
    )
    assert rows_of(written(tmp_path, empty, allow_empty=True, force=True))[3][2] == ""


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    assert written(tmp_path, BY_ID) == written(tmp_path, BY_ID)
    other = BY_ID | {"test_0": "다른 요약을 여기에 적습니다."}
    with raises(DataError) as error:
        written(tmp_path, other)
    assert error.message == snapshot(
        "--out …/out.csv: is there already; choose another name, or replace it: --force"
    )
    assert (tmp_path / "out.csv").read_bytes() == GOOD.encode()
    assert written(tmp_path, other, force=True) != GOOD.encode()
    sample = sample_of(tmp_path)
    for source, message in (
        (sample.path, snapshot("--out …/sample_submission.csv: is one of the input files; choose another name")),
        (tmp_path / "texts.csv", snapshot("--out …/texts.csv: is one of the input files; choose another name")),
        (tmp_path / "test.csv", snapshot("--out …/test.csv: is one of the input files; choose another name")),
    ):
        source.touch()
        with raises(DataError) as error:
            write_submission(
                Texts(tmp_path / "texts.csv", BY_ID, data=tmp_path / "test.csv"), sample, source, force=True
            )
        assert error.message == message


def make_run(folder: Path, test: str | None = "sample:test") -> Run:
    """Make a run with raw predictions for the bundled test data."""
    recipe = Recipe(model=ModelFields(base="x"), data=DataFields(train="sample:train", test=test))
    run = create_run(folder / "runs" / "mine", recipe, "prompt", Manifest())
    file = PredictionFile(run.predictions / "sample-test.hf.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter="abc"))
    with file.appending() as out:
        for dialogue in read_dialogues("sample:test"):
            text = f"  {dialogue.id}의\n요약을 적습니다. "
            out.add(Prediction(dialogue.id, dialogue_hash(dialogue.text), text, 9, "stop"))
    return run


def test_a_runs_summaries_are_post_processed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    wanted = {dialogue.id: f"{dialogue.id}의 요약을 적습니다." for dialogue in read_dialogues("sample:test")}
    texts = run_texts(run, data_of(run, None))
    raw = run.predictions / "sample-test.hf.jsonl"
    spoken = {dialogue.id: dialogue.text for dialogue in read_dialogues("sample:test")}
    assert texts == Texts(raw, wanted, run, "hf", resolve_source("sample:test"), spoken)
    sample = sample_of(tmp_path)
    assert file_texts(raw, None, sample) == file_texts(raw, "sample:test", sample) == texts
    with raises(PredictionError) as error:
        run_texts(run, "sample:dev")
    assert error.message == snapshot(
        "…/runs/mine: no predictions for the dialogues of sample:dev; make them: llm-summ generate --run "
        "…/runs/mine --data sample:dev"
    )
    with raises(PredictionError) as error:
        file_texts(raw, "sample:dev", sample)
    assert error.message == snapshot(
        "…/runs/mine/predictions/sample-test.hf.jsonl: lacks 32 of the 32 ids of sample:dev (dev_0, "
        "dev_1, dev_2, dev_3, dev_5, …) and has 32 ids that are not in sample:dev (test_0, test_1, "
        "test_2, test_3, test_4, …); expected exactly the ids of sample:dev"
    )


def test_a_run_without_test_data(tmp_path: Path) -> None:
    run = make_run(tmp_path, test=None)
    assert data_of(run, "sample:test") == "sample:test"
    with raises(RunError) as error:
        data_of(run, None)
    assert error.message == snapshot(
        "…/runs/mine/recipe.yaml: no data.test; name the data of the submission: --data FILE"
    )


def test_a_plain_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(
        "".join(json.dumps({"fname": one, "summary": f" {text}"}) + "\n" for one, text in BY_ID.items()), "utf-8"
    )
    assert file_texts(path, None, sample_of(tmp_path)) == Texts(
        path, {one: f" {text}" for one, text in BY_ID.items()}
    )


@pytest.mark.parametrize("source", [None, "sample:test"])
def test_raw_predictions_away_from_their_run_are_taken_as_they_stand_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str | None
) -> None:
    run, path = make_run(tmp_path), tmp_path / "moved.jsonl"
    (run.predictions / "sample-test.hf.jsonl").rename(path)
    ids = [dialogue.id for dialogue in read_dialogues("sample:test")]
    sample = sample_of(tmp_path, "fname,summary\n" + "".join(f"{one},-\n" for one in ids))
    texts = file_texts(path, source, sample)
    assert (texts.run, {text[:2] for text in texts.by_id.values()}) == (None, {"  "})
    assert plain(capsys.readouterr().err) == snapshot(
        "…/moved.jsonl: raw predictions outside their run: used as they are, without its post-processing\n"
    )


def test_a_runs_submissions_are_noted(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    texts = run_texts(run, "sample:test")
    sample = sample_of(tmp_path, "fname,summary\n" + "".join(f"{one},-\n" for one in texts.by_id))
    own, other = run.path / "submission.csv", tmp_path / "elsewhere.csv"
    for out in (own, other):
        write_submission(texts, sample, out)
    write_submission(Texts(tmp_path / "texts.csv", texts.by_id), sample, tmp_path / "plain.csv")
    notes = [json.loads(line) for line in run.submissions_path.read_text("utf-8").splitlines()]
    assert [note["out"] for note in notes] == [str(own), str(other)]
    for note in notes:
        assert dt.datetime.fromisoformat(note["written"]).utcoffset() == dt.timedelta(0)
        assert note["sha256"] == file_sha256(own) == file_sha256(other)
        assert (note["predictions"], note["engine"]) == ("sample-test.hf.jsonl", "hf")


def test_a_runs_own_submission_is_replaced_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    texts = run_texts(run, "sample:test")
    sample = sample_of(tmp_path, "fname,summary\n" + "".join(f"{one},-\n" for one in texts.by_id))
    own = run.path / "submission.csv"
    write_submission(texts, sample, own)
    write_submission(texts, sample, own)
    assert "replaces" not in capsys.readouterr().err
    later = Texts(texts.path, dict.fromkeys(texts.by_id, "새 요약을 적습니다."), run, "hf")
    write_submission(later, sample, own)
    assert plain(capsys.readouterr().err) == snapshot("…/runs/mine/submission.csv: replaces another file\n")
    assert "새 요약" in own.read_text("utf-8")
