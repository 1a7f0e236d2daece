"""Evaluation: which predictions are scored, and that nothing else is."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError, PredictionError
from llm_summ.data import dialogue_hash
from llm_summ.evaluate.evaluation import Evaluation, evaluate_file, evaluate_run
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import FinishReason, Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import DataFields, ModelFields, PostStep, Recipe, bundled_dir
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run

PROMPT = (bundled_dir("prompts") / "plain.md").read_text(encoding="utf-8")
DIALOGUES = {
    "dev_0": "#Person1#: 점심 먹었어요?\n#Person2#: 아직이요.",
    "dev_3": "#Person1#: 회의는 몇 시죠?\n#Person2#: 세 시요.",
    "dev_4": "#Person1#: 비가 와요.\n#Person2#: 우산 있어요?",
}
SUMMARIES = {
    "dev_0": "#Person2#는 점심을 먹지 않았습니다.",
    "dev_3": "회의는 세 시입니다.",
    "dev_4": "#Person1#은 비가 온다고 말합니다.",
}
WRONG = dict.fromkeys(DIALOGUES, "가나다라마바사")


def write_data(path: Path, dialogues: Mapping[str, str] = DIALOGUES, line_end: str = "\n") -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["fname", "dialogue", "summary"])
        for identity, text in dialogues.items():
            writer.writerow([identity, text.replace("\n", line_end), SUMMARIES[identity]])
    return str(path)


def write_summaries(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("fname", "summary"), *rows])
    return path


def predict(
    run: Run,
    name: str,
    summaries: Mapping[str, str] = SUMMARIES,
    *,
    adapter: str | None = "abc",
    finish: FinishReason = "stop",
    dialogues: Mapping[str, str] = DIALOGUES,
    age: int = 0,
) -> PredictionFile:
    file = PredictionFile(run.predictions / f"{name}.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter=adapter))
    with file.appending() as out:
        for identity, text in summaries.items():
            out.add(Prediction(identity, dialogue_hash(dialogues[identity]), text, 9, finish))
    modified = file.path.stat().st_mtime - age
    os.utime(file.path, (modified, modified))
    return file


@pytest.fixture
def data(in_tmp: Path) -> str:
    return write_data(Path("dev.csv"))


@pytest.fixture
def run(in_tmp: Path) -> Run:
    return make_run("mine")


def make_run(name: str, post: Sequence[PostStep] = ("strip", "cut_unfinished"), dev: str = "sample:dev") -> Run:
    recipe = Recipe(model=ModelFields(base="x"), data=DataFields(train="sample:train", dev=dev), post=list(post))
    return create_run(Path("runs") / name, recipe, PROMPT, Manifest())


def scores(result: Evaluation) -> tuple[float, ...]:
    return (round(result.score.final, 4), round(result.other.final, 4))


def test_the_same_text_scores_100_and_is_kept_in_the_run(run: Run, data: str) -> None:
    file = predict(run, "dev.hf")
    result = evaluate_run(run, data)
    assert scores(result) == (100, 100)
    assert (result.predictions, result.data, result.score.rows) == (file.path, data, 3)
    kept = json.loads((run.scores / "dev.hf.json").read_text(encoding="utf-8"))
    assert kept.pop("scored").endswith("+00:00")
    assert kept == json.loads(json.dumps(result.to_json()))


def test_predictions_are_found_by_their_content_and_not_by_their_name(run: Run, data: str) -> None:
    right = predict(run, "some-other-name.vllm", age=100)
    predict(run, "dev.hf", WRONG, dialogues=DIALOGUES | {"dev_3": "#Person1#: 다른 대화"})
    result = evaluate_run(run, data)
    assert result.predictions == right.path
    assert scores(result) == (100, 100)


def test_rows_are_matched_by_id_and_not_by_their_order(run: Run, data: str) -> None:
    predict(run, "dev.hf", dict(reversed(SUMMARIES.items())))
    assert scores(evaluate_run(run, data)) == (100, 100)


def test_a_file_of_more_dialogues_covers_a_part_of_them(run: Run, in_tmp: Path) -> None:
    predict(run, "all.hf")
    part = write_data(Path("part.csv"), {"dev_3": DIALOGUES["dev_3"]})
    result = evaluate_run(run, part)
    assert result.score.rows == 1
    assert scores(result) == (100, 100)


def test_a_spreadsheets_line_ends_make_no_other_dialogue(run: Run, in_tmp: Path) -> None:
    predict(run, "dev.hf")
    assert scores(evaluate_run(run, write_data(Path("saved.csv"), line_end="\r\n"))) == (100, 100)


def test_the_newest_of_the_fitting_files_is_taken_and_named(
    run: Run, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(run, "a", WRONG, age=50)
    newest = predict(run, "b", age=10)
    predict(run, "c", WRONG, age=100)
    assert evaluate_run(run, data).predictions == newest.path
    assert plain(capsys.readouterr().err) == snapshot(
        "Predictions: runs/mine/predictions/b.jsonl (newest of 3 that fit)\n"
    )


def test_the_base_models_own_summaries_are_taken_only_when_there_are_no_others(run: Run, data: str) -> None:
    untuned = predict(run, "dev.hf.untuned", WRONG, adapter=None)
    assert evaluate_run(run, data).predictions == untuned.path
    tuned = predict(run, "dev.hf", age=1000)
    assert evaluate_run(run, data).predictions == tuned.path


def test_a_torn_last_line_is_a_missing_row(run: Run, data: str) -> None:
    file = predict(run, "dev.hf")
    file.path.write_bytes(file.path.read_bytes()[:-3])
    with raises(PredictionError) as error:
        evaluate_run(run, data)
    assert error.message == snapshot(
        "runs/mine/predictions/dev.hf.jsonl: has 2 of the 3 dialogues of dev.csv; make the others: "
        "llm-summ generate --run mine --data dev.csv"
    )


def test_without_predictions_it_says_what_makes_them(run: Run, data: str) -> None:
    predict(run, "other", dialogues={identity: text + "!" for identity, text in DIALOGUES.items()})
    with raises(PredictionError) as error:
        evaluate_run(run, data)
    assert error.message == snapshot(
        "runs/mine: no predictions for the dialogues of dev.csv; make them: llm-summ generate --run mine "
        "--data dev.csv"
    )
    with raises(PredictionError) as error:
        evaluate_run(run, "sample:dev")
    assert error.message == snapshot(
        "runs/mine: no predictions for the dialogues of sample:dev; make them: llm-summ generate --run "
        "mine --data sample:dev"
    )


def test_raw_predictions_are_post_processed_as_the_recipe_says_and_stay_as_they_are(run: Run, data: str) -> None:
    raw = {identity: f"  {summary} 그리고 남은" for identity, summary in SUMMARIES.items()}
    file = predict(run, "dev.hf", raw, finish="length")
    before = file.path.read_bytes()
    for result in (evaluate_run(run, data), evaluate_file(file.path, data)):
        assert scores(result) == (100, 100)
        assert result.summaries.post == {"strip": 3, "cut_unfinished": 3}
        assert result.by_length == list(DIALOGUES)
        assert result.to_json()["signature"].endswith("|post:strip+cut_unfinished")
    assert file.path.read_bytes() == before


def test_a_finished_text_is_not_cut(run: Run, data: str) -> None:
    raw = {identity: f"{summary} 그리고 남은" for identity, summary in SUMMARIES.items()}
    predict(run, "dev.hf", raw)
    result = evaluate_run(run, data)
    assert result.score.final < 99
    assert result.by_length == []
    assert result.summaries.post == {"strip": 0, "cut_unfinished": 0}


def test_a_recipe_without_steps_has_a_signature_that_says_so(in_tmp: Path, data: str) -> None:
    bare = make_run("bare", post=())
    predict(bare, "dev.hf")
    assert evaluate_run(bare, data).to_json()["signature"].endswith("|post:none")


def test_a_csv_is_scored_as_it_stands(data: str) -> None:
    rows = [(identity, f"{summary} 그리고 남은") for identity, summary in SUMMARIES.items()]
    result = evaluate_file(write_summaries(Path("submission.csv"), rows), data)
    assert 0 < result.score.final < 99
    assert (result.summaries.post, result.by_length) == ({}, None)
    assert result.to_json()["signature"].endswith("|post:none")
    exact = evaluate_file(write_summaries(Path("submission.csv"), list(SUMMARIES.items())), data)
    assert scores(exact) == (100, 100)


def test_a_jsonl_of_another_program_is_scored_as_it_stands(data: str) -> None:
    path = Path("out.jsonl")
    lines = [json.dumps({"fname": identity, "summary": text}) for identity, text in SUMMARIES.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert scores(evaluate_file(path, data)) == (100, 100)


@pytest.mark.parametrize("with_identity", [True, False])
def test_raw_predictions_away_from_their_run_are_scored_as_they_stand_and_it_is_said(
    run: Run, data: str, capsys: pytest.CaptureFixture[str], with_identity: bool
) -> None:
    raw = {identity: f"  {summary} 그리고 남은" for identity, summary in SUMMARIES.items()}
    file, moved = predict(run, "dev.hf", raw, finish="length"), Path("moved.jsonl")
    file.path.rename(moved)
    if with_identity:
        file.identity_path.rename("moved.json")
    result = evaluate_file(moved, data)
    assert plain(capsys.readouterr().err) == snapshot(
        "moved.jsonl: raw predictions outside their run: used as they are, without its post-processing\n"
    )
    assert result.score.final < 99
    assert (result.summaries.post, result.by_length) == ({}, list(DIALOGUES))
    assert (result.summaries.raw.texts, result.summaries.run) == (result.summaries.texts, None)
    assert result.summaries.engine == ("hf" if with_identity else "unknown")
    assert result.to_json()["signature"].endswith("|post:none")


def test_raw_predictions_of_other_dialogues_are_refused_wherever_they_lie(run: Run, data: str) -> None:
    file = predict(run, "dev.hf", dialogues=DIALOGUES | {"dev_3": "#Person1#: 다른 대화"})
    file.path.rename("moved.jsonl")
    with raises(PredictionError) as error:
        evaluate_file(Path("moved.jsonl"), data)
    assert error.message == snapshot(
        "moved.jsonl: made from other dialogues than those of dev.csv (1 differs: dev_3); make them: "
        "llm-summ generate --data dev.csv"
    )


def test_nothing_is_written_for_a_file(data: str, in_tmp: Path) -> None:
    path = write_summaries(Path("submission.csv"), list(SUMMARIES.items()))
    evaluate_file(path, data)
    assert sorted(other.name for other in in_tmp.iterdir()) == ["dev.csv", "submission.csv"]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (
            ["dev_0", "dev_3"],
            snapshot(
                "submission.csv: lacks 1 of the 3 ids of dev.csv (dev_4); expected exactly the ids of dev.csv"
            ),
        ),
        (
            ["dev_0", "dev_3", "dev_4", "dev_5"],
            snapshot(
                "submission.csv: has 1 id that is not in dev.csv (dev_5); expected exactly the ids of dev.csv"
            ),
        ),
        # ids made by counting
        (
            ["dev_0", "dev_1", "dev_2"],
            snapshot(
                "submission.csv: its ids were made by counting, and from dev_1 on they belong to other rows "
                "(dev.csv has dev_3 there); take each id from the data"
            ),
        ),
        (
            [],
            snapshot(
                "submission.csv: lacks 3 of the 3 ids of dev.csv (dev_0, dev_3, dev_4); expected exactly the ids "
                "of dev.csv"
            ),
        ),
    ],
)
def test_other_ids_are_refused_in_one_line(data: str, ids: list[str], said: str) -> None:
    path = write_summaries(Path("submission.csv"), [(identity, "x") for identity in ids])
    with raises(PredictionError) as error:
        evaluate_file(path, data)
    assert error.message == said


def test_of_many_ids_the_first_are_shown(data: str) -> None:
    rows = [(identity, "x") for identity in [*DIALOGUES, *(f"x_{number}" for number in range(300))]]
    with raises(PredictionError) as error:
        evaluate_file(write_summaries(Path("submission.csv"), rows), data)
    assert error.message == snapshot(
        "submission.csv: has 300 ids that are not in dev.csv (x_0, x_1, x_2, x_3, x_4, …); expected "
        "exactly the ids of dev.csv"
    )


def test_a_runs_file_of_other_dialogues_with_the_same_ids_is_refused(run: Run, data: str) -> None:
    file = predict(run, "dev.hf", dialogues=DIALOGUES | {"dev_3": "#Person1#: 다른 대화"})
    with raises(PredictionError) as error:
        evaluate_file(file.path, data)
    assert error.message == snapshot(
        "runs/mine/predictions/dev.hf.jsonl: made from other dialogues than those of dev.csv (1 differs: "
        "dev_3); make them: llm-summ generate --run mine --data dev.csv"
    )


def test_empty_summaries_are_named_and_count_as_nothing(run: Run, data: str) -> None:
    predict(run, "dev.hf", SUMMARIES | {"dev_3": "", "dev_4": " \n"})
    result = evaluate_run(run, data)
    assert result.empty == ["dev_3", "dev_4"]
    assert scores(result) == (33.3333, 33.3333)
    rows = list((SUMMARIES | {"dev_0": ""}).items())
    by_file = evaluate_file(write_summaries(Path("submission.csv"), rows), data)
    assert by_file.empty == ["dev_0"]
    assert scores(by_file) == (66.6667, 66.6667)


def test_lengths_are_means_in_characters(data: str) -> None:
    path = write_summaries(Path("submission.csv"), [("dev_0", "하나"), ("dev_3", ""), ("dev_4", "하나둘셋")])
    result = evaluate_file(path, data)
    assert result.lengths.summary == 2
    assert result.lengths.reference == sum(map(len, SUMMARIES.values())) / 3


def test_data_without_references_cannot_be_scored(run: Run, in_tmp: Path) -> None:
    Path("test.csv").write_text("fname,dialogue\ntest_0,x\n", encoding="utf-8")
    with raises(DataError) as error:
        evaluate_run(run, "test.csv")
    assert error.message == snapshot(
        "test.csv: no column summary (or summary1, summary2 …); found fname, dialogue; this command needs "
        "references"
    )
