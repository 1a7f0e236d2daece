"""One evaluation: the stored score, the JSON, and the details next to the score."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain
from rouge_score.rouge_scorer import RougeScorer
from test_evaluate import DIALOGUES, SUMMARIES, WRONG, make_run, predict, write_data, write_summaries

from llm_summ.evaluate.baselines import TEMPLATE
from llm_summ.evaluate.evaluation import Evaluation, evaluate_file, evaluate_run
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore, score_corpus
from llm_summ.score.corpus import FIGURES
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.verify import Difference

PARTLY = {
    "dev_0": "#Person2#는 점심을 아직 먹지 않았습니다.",
    "dev_3": "회의는 네 시에 시작합니다.",
    "dev_4": "우산이 없습니다.",
}
OTHERS = [
    Metric("rouge-score"),
    Metric(tokens="space"),
    Metric(tokens="character"),
    Metric(aggregate="max"),
    Metric("rouge-score", "character", "max"),
]


@pytest.fixture
def data(in_tmp: Path) -> str:
    return write_data(Path("dev.csv"))


@pytest.fixture
def run(in_tmp: Path) -> Run:
    return make_run("mine")


def evaluated(
    summaries: dict[str, str],
    data: str,
    metric: Metric = COMPETITION,
    *,
    explained: bool = False,
    verified: bool = False,
) -> Evaluation:
    path = write_summaries(Path("out.csv"), list(summaries.items()))
    return evaluate_file(path, data, metric, explained=explained, verified=verified)


def kept(run: Run) -> list[str]:
    return sorted(path.name for path in run.scores.iterdir()) if run.scores.is_dir() else []


@pytest.mark.parametrize("metric", OTHERS)
def test_only_the_competitions_score_is_kept_in_the_run(run: Run, data: str, metric: Metric) -> None:
    predict(run, "dev.hf")
    evaluate_run(run, data, metric)
    assert kept(run) == []
    evaluate_run(run, data)
    assert kept(run) == ["dev.hf.json"]
    before = (run.scores / "dev.hf.json").read_bytes()
    evaluate_run(run, data, metric)
    assert (run.scores / "dev.hf.json").read_bytes() == before


def test_the_base_models_score_is_kept_under_a_name_of_its_own(run: Run, data: str) -> None:
    predict(run, "dev.hf.untuned", WRONG, adapter=None)
    untuned = evaluate_run(run, data)
    assert untuned.to_json()["untuned"] is True
    predict(run, "dev.hf")
    tuned = evaluate_run(run, data)
    assert tuned.to_json()["untuned"] is False
    assert kept(run) == ["dev.hf.json", "dev.hf.untuned.json"]
    finals = [json.loads((run.scores / name).read_text(encoding="utf-8"))["final"] for name in kept(run)]
    assert finals == [tuned.score.final, untuned.score.final]
    assert round(finals[0]) == 100
    assert finals[1] == 0


def test_the_score_of_the_sample_is_kept_under_a_name_that_any_system_takes(in_tmp: Path) -> None:
    from llm_summ.data import read_dialogues

    run = make_run("mine")
    rows = {dialogue.id: dialogue for dialogue in read_dialogues("sample:dev")}
    predict(
        run,
        "any",
        {identity: row.references[0] for identity, row in rows.items()},
        dialogues={identity: row.text for identity, row in rows.items()},
    )
    evaluate_run(run, "sample:dev")
    assert kept(run) == ["sample-dev.hf.json"]


def test_a_score_that_cannot_be_kept_is_given_all_the_same(
    run: Run, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(run, "dev.hf")
    run.scores.write_text("a file is here", encoding="utf-8")
    assert round(evaluate_run(run, data).score.final, 4) == 100
    assert plain(capsys.readouterr().err) == snapshot(
        "Predictions: runs/mine/predictions/dev.hf.jsonl\n"
        "the score is not stored: runs/mine/scores: cannot be written (File exists); a file is where its "
        "folder should be: choose another folder\n"
    )


def test_the_json_has_everything(data: str) -> None:
    value = json.loads(json.dumps(evaluated(PARTLY, data).to_json()))
    assert set(value) == {
        *(
            "data",
            "data_sha256",
            "predictions",
            "engine",
            "untuned",
            "rows",
            "references",
            "rouge1",
            "rouge2",
            "rougeL",
        ),
        *("final", "interval", "intervals", "signature", "rouge-score", "post", "empty", "by_length", "floors"),
        *(
            "lengths",
            "fidelity",
            "groups",
            "leaderboard",
            "worst",
            "explain",
            "verify",
            "metrics",
            "per_row",
            "warnings",
        ),
    }
    assert (value["data"], value["predictions"], value["rows"], value["references"]) == (
        "dev.csv",
        "out.csv",
        3,
        [1, 1],
    )
    assert set(value["intervals"]) == set(FIGURES)
    assert value["interval"] == value["intervals"]["final"]
    assert value["interval"]["low"] <= value["final"] <= value["interval"]["high"]
    assert [row["fname"] for row in value["per_row"]] == list(DIALOGUES)
    for figure in FIGURES:
        assert sum(row[figure] for row in value["per_row"]) / 3 == pytest.approx(value[figure])
    assert (value["leaderboard"]["public_rows"], value["leaderboard"]["private_rows"]) == (2, 1)
    assert (value["explain"], value["verify"], value["by_length"]) == (None, [], None)
    # the worst first, and each its own text
    finals = {row["fname"]: row["final"] for row in value["per_row"]}
    assert [row["id"] for row in value["worst"]] == sorted(finals, key=lambda identity: finals[identity])
    assert [row["summary"] for row in value["worst"]] == [PARTLY[row["id"]] for row in value["worst"]]


def test_the_other_package_is_in_the_json_under_its_name(data: str) -> None:
    ours = evaluated(PARTLY, data).to_json()
    theirs = evaluated(PARTLY, data, Metric("rouge-score")).to_json()
    assert ours["rouge-score"] == {key: theirs[key] for key in (*FIGURES, "signature")}
    assert theirs["rouge"] == {key: ours[key] for key in (*FIGURES, "signature")}
    assert ours["final"] != theirs["final"]
    assert ours["signature"].startswith("variant:rouge|")
    assert theirs["signature"].startswith("variant:rouge-score|")


@pytest.mark.parametrize("metric", [COMPETITION, *OTHERS])
def test_the_score_is_that_of_the_metric_and_of_its_name(in_tmp: Path, metric: Metric) -> None:
    Path("dev.csv").write_text(
        "fname,dialogue,summary1,summary2\n"
        + "".join(f"{identity},대화,{text},{PARTLY[identity]}\n" for identity, text in SUMMARIES.items()),
        encoding="utf-8",
    )
    result = evaluated(SUMMARIES | {"dev_3": "회의는 세 시에 시작합니다."}, "dev.csv", metric)
    expected = score_corpus(
        result.summaries.texts,
        [(text, PARTLY[identity]) for identity, text in SUMMARIES.items()],
        variant=metric.variant,
        aggregate=metric.aggregate,
        tokenizer=metric.tokenizer,
    )
    assert result.score == expected
    assert result.signature == f"{expected.signature}|post:none"
    # The floors are of the same metric.
    assert result.baselines.final == pytest.approx(expected.final)
    references = [row.dialogue.references for row in result.rows]
    assert result.baselines.template == pytest.approx(metric.score([TEMPLATE] * 3, references).final)


def test_a_single_row_has_no_interval_and_no_leaderboard(in_tmp: Path) -> None:
    data = write_data(Path("one.csv"), {"dev_3": DIALOGUES["dev_3"]})
    result = evaluated({"dev_3": PARTLY["dev_3"]}, data)
    assert (result.intervals, result.leaderboard, result.baselines.shifted) == ({}, None, None)
    value = json.loads(json.dumps(result.to_json()))
    assert (value["interval"], value["intervals"], value["leaderboard"]) == (None, {}, None)
    assert 0 < value["final"] < 100


def test_nothing_is_explained_or_verified_unasked(data: str) -> None:
    plain = evaluated(PARTLY, data)
    assert (plain.explanation, plain.verifications) == (None, ())
    explained = evaluated(PARTLY, data, explained=True)
    assert explained.explanation is not None
    assert explained.verifications == ()
    # The first of the explained scores is the competition's, even if another metric was requested.
    other = evaluated(PARTLY, data, Metric("rouge-score", "space"), explained=True)
    assert other.explanation == explained.explanation
    assert explained.to_json()["explain"]["variants"][0]["final"] == plain.score.final


@pytest.mark.parametrize("metric", [COMPETITION, *OTHERS])
def test_both_packages_verify_the_score_and_the_asked_one_first(data: str, metric: Metric) -> None:
    result = evaluated(PARTLY, data, metric, verified=True)
    packages = [(one.package, one.version) for one in result.verifications]
    expected = [("rouge", "1.0.1"), ("rouge-score", "0.1.2")]
    assert packages == (expected if metric.variant == "rouge" else expected[::-1])
    for found in result.verifications:
        assert (found.pairs, found.empty, found.not_comparable) == (3, 0, 0)
        assert found.largest < 1e-12
    assert [one["package"] for one in result.to_json()["verify"]] == [name for name, _ in packages]


def test_empty_summaries_are_verified_too(data: str) -> None:
    result = evaluated(PARTLY | {"dev_3": ""}, data, verified=True)
    assert [(found.pairs, found.empty) for found in result.verifications] == [(3, 1), (3, 1)]
    assert all(found.largest < 1e-12 for found in result.verifications)


def test_the_corpus_score_is_verified_too(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Correct rows do not imply a correct mean."""

    def wrong(*arguments: Any, **options: Any) -> CorpusScore:
        score = score_corpus(*arguments, **options)
        return replace(score, rouge2=score.rouge2 + 0.5)

    monkeypatch.setattr("llm_summ.score.verify.score_corpus", wrong)
    for found in evaluated(PARTLY, data, verified=True).verifications:
        assert found.largest == pytest.approx(0.005)
        assert found.where == Difference(row=None, reference=None, figure="ROUGE-2 F1")
        assert found.to_json()["where"] == {"row": None, "reference": None, "figure": "ROUGE-2 F1"}


def test_empty_summaries_are_warned_of(data: str) -> None:
    assert evaluated(PARTLY, data).warnings == []
    result = evaluated(PARTLY | {"dev_3": "", "dev_4": " "}, data)
    assert result.warnings == [
        "2 of 3 summaries are empty (dev_3, dev_4): they score 0, and a submission may be refused"
    ]
    assert result.to_json()["warnings"] == result.warnings
    result = evaluated(PARTLY | {"dev_3": "nan", "dev_4": " None."}, data)
    assert result.empty == ["dev_3", "dev_4"]
    assert plain(result.warnings[0]) == snapshot(
        "2 of 3 summaries are empty (dev_3, dev_4): they score 0, and a submission may be refused"
    )


def test_tokens_that_drop_hangul_are_warned_of(data: str) -> None:
    # Only "Person2" is left of one summary, and nothing of the others, which are not empty themselves.
    [dropped] = evaluated(PARTLY, data, Metric("rouge-score", "rouge-score")).warnings
    assert plain(dropped) == snapshot(
        "--tokens rouge-score drops every Hangul letter: only digits and Latin words are compared; use "
        "mecab for Korean"
    )


def test_the_hash_is_the_data_files(data: str) -> None:
    first = evaluated(PARTLY, data)
    assert first.data_sha256 == hashlib.sha256(Path(data).read_bytes()).hexdigest()
    # The same rows with other line ends are the same score of another edition.
    second = evaluated(PARTLY, write_data(Path("dev.csv"), line_end="\r\n"))
    assert second.data_sha256 == hashlib.sha256(Path(data).read_bytes()).hexdigest()
    assert second.data_sha256 != first.data_sha256
    assert second.score == first.score


def test_rows_are_in_the_order_of_the_data(data: str) -> None:
    result = evaluated(dict(reversed(PARTLY.items())), data)
    assert [(row.dialogue.id, row.summary) for row in result.rows] == list(PARTLY.items())
    assert tuple(row.score for row in result.rows) == result.score.per_row


def test_rows_know_whether_their_generation_was_cut_off(run: Run, data: str) -> None:
    file = predict(run, "dev.hf", finish="length")
    for result in (evaluate_run(run, data), evaluate_file(file.path, data)):
        assert [row.cut_off for row in result.rows] == [True] * 3
        assert [row["cut_off"] for row in result.to_json()["worst"]] == [True] * 3
    assert [row.cut_off for row in evaluated(PARTLY, data).rows] == [None] * 3


@pytest.mark.parametrize("stem", [False, True])
def test_english_is_scored_as_rouge_score_scores_it(in_tmp: Path, stem: bool) -> None:
    references = ["The doctors were meeting at 10 o'clock.", "She has cancelled all of her meetings."]
    summaries = ["The doctor met at 10 o'clock", "She cancels the meeting!"]
    Path("dev.csv").write_text(
        "fname,dialogue,summary\n" + "".join(f"dev_{n},talk,{text}\n" for n, text in enumerate(references)),
        encoding="utf-8",
    )
    metric = Metric("rouge-score", "rouge-score-stem" if stem else "rouge-score")
    result = evaluated({f"dev_{n}": text for n, text in enumerate(summaries)}, "dev.csv", metric)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
    for text, reference, row in zip(summaries, references, result.score.per_row, strict=True):
        theirs = scorer.score(reference, text)
        assert row[:3] == pytest.approx([100 * theirs[name].fmeasure for name in FIGURES[:3]])
    # 5 of 7 and 8 words, 1 of 4 and 7; by their stems doctor, and cancel and meet, are common too
    expected = (2 * 6 / 15 + 2 * 3 / 11) if stem else (2 * 5 / 15 + 2 * 1 / 11)
    assert result.score.rouge1 == pytest.approx(100 * expected / 2)


def test_references_that_are_scored_as_predictions_are_asked_about(in_tmp: Path) -> None:
    texts = {f"dev_{n}": f"{n}번 버스를 탑니다." for n in range(60)}
    with Path("data.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(identity, "#Person1#: 버스를 타세요.", text) for identity, text in texts.items()]
        csv.writer(file).writerows([("fname", "dialogue", "summary"), *rows])
    write_summaries(Path("same.csv"), list(texts.items()))
    write_summaries(Path("half.csv"), [(one, texts[one] if n % 2 else "모릅니다.") for n, one in enumerate(texts)])
    [warning] = evaluate_file(Path("same.csv"), "data.csv").warnings
    assert plain(warning) == snapshot("60 of 60 summaries are equal to a reference: are they predictions?")
    assert evaluate_file(Path("half.csv"), "data.csv").warnings == []


def test_other_data_of_the_same_name_keep_their_score(run: Run, data: str) -> None:
    predict(run, "dev.hf")
    first = evaluate_run(run, data)
    Path("other").mkdir()
    part = dict(list(DIALOGUES.items())[:2])
    second = evaluate_run(run, write_data(Path("other/dev.csv"), part))
    kept = {path.name: json.loads(path.read_text("utf-8"))["rows"] for path in run.scores.glob("*.json")}
    assert kept == {"dev.hf.json": 3, f"dev-{second.data_sha256[:8]}.hf.json": 2}
    assert first.data_sha256 != second.data_sha256
