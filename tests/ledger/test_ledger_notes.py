"""Leaderboard scores: noted, linked to the submission, and compared with the local scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from ledger_runs import OTHER, SIGNATURE, both, entry, give_score, lines, make, runs, submit
from messages import plain, raises

from llm_summ.core.errors import InputError, RunError
from llm_summ.core.files import file_sha256
from llm_summ.ledger import Agreement, note_score, read_ledger
from llm_summ.runs.run import RUNS, mark_latest, open_run


def agreement() -> Agreement:
    found = read_ledger(RUNS).agreement
    assert found is not None
    return found


def test_a_score_is_of_the_last_submission(in_tmp: Path) -> None:
    run = make("a")
    submit(run, "first")
    sha256 = submit(run, "second")
    (run.path / "submission.csv").write_text("edited since", encoding="utf-8")
    noted, fresh = note_score(run, "51.24", "공개 점수")
    assert fresh
    assert (noted.score, noted.submission_sha256, noted.note) == (51.24, sha256, "공개 점수")
    assert entry("a").leaderboard == (noted,)
    assert json.loads((run.path / "leaderboard.json").read_text(encoding="utf-8")) == [noted.model_dump()]


def test_without_a_record_the_submission_is_not_known(in_tmp: Path) -> None:
    run = make("a")
    (run.path / "submission.csv").write_text("of any run", encoding="utf-8")
    assert note_score(run, "50")[0].submission_sha256 is None
    assert (
        "a: no submission of it is recorded; name the file that you submitted: --submission FILE\n"
        in runs("--add-lb", "a", "51")[2]
    )


def test_the_submission_may_be_named(in_tmp: Path) -> None:
    run = make("a")
    submit(run, "x")
    path = Path("앙상블.csv")
    path.write_text("fname,summary\n", encoding="utf-8")
    code, _, told = runs("--add-lb", "a", "50", "--submission", str(path))
    assert code == 0
    assert plain(told) == snapshot(
        "a: 50.00 of the submission 3c4c866f noted\n"
        "앙상블.csv: not a submission that `submit` wrote of this run; its engine is not known\n"
        "To remove a score, edit runs/a/leaderboard.json\n"
    )
    assert [note.submission_sha256 for note in entry("a").leaderboard] == [file_sha256(path)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no.csv",
            snapshot(
                "--submission no.csv: cannot be read (No such file or directory); expected the file that was "
                "submitted"
            ),
        ),
        (
            "runs",
            snapshot("--submission runs: cannot be read (Is a directory); expected the file that was submitted"),
        ),
    ],
)
def test_a_submission_that_is_no_file(in_tmp: Path, name: str, message: str) -> None:
    run = make("a")
    with raises(InputError) as error:
        note_score(run, "50", submission=Path(name))
    assert error.message == message
    assert not (run.path / "leaderboard.json").exists()


def test_a_score_is_noted_once_for_a_submission(in_tmp: Path) -> None:
    run = make("a")
    first, _ = note_score(run, "51.24")
    assert note_score(run, "51.240") == (first, False)
    submit(run, "x")
    assert note_score(run, "51.24")[1]
    submit(run, "y")
    assert note_score(run, "51.24")[1]
    assert not note_score(run, "51.24")[1]
    assert len(entry("a").leaderboard) == 3


def test_a_known_score_takes_a_new_note(in_tmp: Path) -> None:
    run = make("a")
    first, _ = note_score(run, "51.24", "비공개")
    note_score(run, "50")
    changed, fresh = note_score(run, "51.24", "공개")
    assert not fresh
    assert changed == first.model_copy(update={"note": "공개"})
    assert note_score(run, "51.24") == (changed, False)
    assert [(note.score, note.note) for note in entry("a").leaderboard] == [(51.24, "공개"), (50.0, None)]


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("", snapshot("--add-lb a '': not a score; expected a number from 0 to 100, such as 51.24")),
        ("x", snapshot("--add-lb a x: not a score; expected a number from 0 to 100, such as 51.24")),
        ("51,24", snapshot("--add-lb a 51,24: not a score; expected a number from 0 to 100, such as 51.24")),
        ("-0.1", snapshot("--add-lb a -0.1: not a score; expected a number from 0 to 100, such as 51.24")),
        ("100.01", snapshot("--add-lb a 100.01: not a score; expected a number from 0 to 100, such as 51.24")),
        ("nan", snapshot("--add-lb a nan: not a score; expected a number from 0 to 100, such as 51.24")),
        ("inf", snapshot("--add-lb a inf: not a score; expected a number from 0 to 100, such as 51.24")),
        ("1e9", snapshot("--add-lb a 1e9: not a score; expected a number from 0 to 100, such as 51.24")),
    ],
)
def test_what_is_no_score_is_refused(in_tmp: Path, score: str, message: str) -> None:
    run = make("a")
    with raises(InputError) as error:
        note_score(run, score)
    assert error.message == message
    assert not (run.path / "leaderboard.json").exists()


@pytest.mark.parametrize("score", ["0", "100", " 51.24 "])
def test_the_ends_are_scores(in_tmp: Path, score: str) -> None:
    assert note_score(make("a"), score)[0].score == float(score)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "leaderboard.json",
            RunError,
            snapshot(
                "runs/a/leaderboard.json: Invalid JSON: …; expected a list of objects with score, noted, "
                "submission_sha256 and note; fix it or remove it"
            ),
        ),
        (
            "submissions.jsonl",
            InputError,
            snapshot("runs/a/submissions.jsonl:1: not JSON in UTF-8 (…); expected one JSON object a line"),
        ),
    ],
)
def test_a_damaged_list_is_never_overwritten(
    in_tmp: Path, name: str, kind: type[InputError], message: str
) -> None:
    run = make("a")
    (run.path / name).write_text("[\n", encoding="utf-8")
    with raises(kind) as error:
        note_score(run, "50")
    assert error.message == message
    assert (run.path / name).read_text(encoding="utf-8") == "[\n"
    assert not (run.path / "leaderboard.json").exists() or name == "leaderboard.json"


def test_a_folder_that_is_no_run_takes_no_score(in_tmp: Path) -> None:
    (in_tmp / "notes").mkdir()
    with raises(RunError) as error:
        runs("--add-lb", "notes", "50")
    assert error.message == snapshot("notes: no recipe.yaml; expected a folder made by `llm-summ sft`")
    assert list((in_tmp / "notes").iterdir()) == []


def test_a_score_is_noted_from_the_command_line(in_tmp: Path) -> None:
    run = make("a")
    mark_latest(run)
    submit(run, "x")
    code, out, err = runs("--add-lb", "latest", "51.24")
    assert (code, out) == (0, "runs/a/leaderboard.json\n")
    assert plain(err) == snapshot(
        "a: 51.24 of the submission 2d711642 noted\nTo remove a score, edit runs/a/leaderboard.json\n"
    )
    code, out, err = runs("--add-lb", "a", "51.24")
    assert (code, out) == (0, "runs/a/leaderboard.json\n")
    assert plain(err) == snapshot(
        "a: 51.24 of the submission 2d711642 was noted on …; nothing was changed\n"
        "To remove a score, edit runs/a/leaderboard.json\n"
    )
    err = runs("--add-lb", "a", "51.24", "--note", "공개")[2]
    assert plain(err) == snapshot(
        "a: 51.24 of the submission 2d711642 was noted on …; its note is the new one\n"
        "To remove a score, edit runs/a/leaderboard.json\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--note", "x"],
            snapshot("Error: --note and --submission need --add-lb, the score that they belong to\n"),
        ),
        (
            ["--submission", "x"],
            snapshot("Error: --note and --submission need --add-lb, the score that they belong to\n"),
        ),
        (
            ["a", "--sort", "score"],
            snapshot("Error: NAME and --sort exclude each other; choose one\n"),
        ),
        (
            ["a", "--add-lb", "a", "5"],
            snapshot("Error: --add-lb notes a score; leave out NAME, --sort and --json\n"),
        ),
        (
            ["--json", "--add-lb", "a", "5"],
            snapshot("Error: --add-lb notes a score; leave out NAME, --sort and --json\n"),
        ),
    ],
)
def test_options_that_exclude_each_other(in_tmp: Path, arguments: list[str], message: str) -> None:
    code, out, err = runs(*arguments)
    assert (code, out) == (2, "")
    assert plain(err) == message


def test_equal_submissions_are_named(in_tmp: Path) -> None:
    one, other, third = make("a", hour=1), make("b", hour=2), make("c", hour=3)
    sha256 = submit(one, "x")
    submit(one, "y")  # overwrites it; it was written all the same
    submit(other, "z")
    submit(third, "x")
    assert f"c, a: the same submission (SHA-256 {sha256[:8]})" in lines()
    assert list(read_ledger(RUNS).same_submissions) == [sha256]


def test_how_local_and_leaderboard_scores_go_together(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 47), ("c", 42, 46.5)])
    assert agreement().to_json() == {
        "data": "dev.csv",
        "signature": SIGNATURE,
        "runs": [
            {"name": "a", "local": 40.0, "leaderboard": 44.0},
            {"name": "b", "local": 41.0, "leaderboard": 47.0},
            {"name": "c", "local": 42.0, "leaderboard": 46.5},
        ],
        "left_out": [],
        # ranks 1 2 3 and 1 3 2: rho = 1 - 6 * (0 + 1 + 1) / (3 * 8); every order of three has |rho| of 0.5 or 1
        "spearman": {"rho": pytest.approx(0.5), "p": pytest.approx(1), "n": 3},
        "mean_difference": pytest.approx((4 + 6 + 4.5) / 3),
    }


# All scores in the same order: 2 of the n! orders are as far from chance.
@pytest.mark.parametrize(
    ("n", "said"),
    [
        (3, "(n 3, p 0.333, too few to tell)"),
        (4, "(n 4, p 0.083, too few to tell)"),
        (5, "(n 5, p 0.017)"),
        (9, "(n 9)"),
    ],
)
def test_what_a_perfect_order_of_few_runs_says(in_tmp: Path, n: int, said: str) -> None:
    both([(f"r{at}", 40 + at, 44 + at) for at in range(n)])
    assert lines()[-1] == (
        f"leaderboard against local scores (dev.csv): Spearman's rank correlation 1.00 {said}, "
        "mean difference +4.00; the last score noted of each run"
    )


def test_a_side_that_is_constant_has_no_order(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 44), ("c", 42, 44)])
    assert lines()[-1].endswith(
        "no rank correlation, since one side is constant, mean difference +3.00; the last score noted of each run"
    )


@pytest.mark.parametrize(("there", "said"), [(0, None), (1, "1 run has both"), (2, "2 runs have both")])
def test_how_many_runs_are_missing(in_tmp: Path, there: int, said: str | None) -> None:
    both([("a", 40, 44), ("b", 41, 45)][:there])
    give_score(make("local-only", hour=1), 39)
    found = [line for line in lines() if line.startswith("leaderboard")]
    more = f"the correlation needs {3 - there} more"
    line = f"leaderboard against local scores: {said}, of the same data and signature; {more}"
    assert found == ([] if said is None else [line])


def test_scores_that_are_not_comparable_are_left_out(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 45), ("c", 42, 46)])
    other = make("other-signature", hour=3)
    give_score(other, 10, signature=OTHER)
    give_score(other, 99, name="dev.vllm.untuned")
    note_score(other, "47")
    note_score(make("no-score", hour=1), "48")
    assert [name for name, _, _ in agreement().runs] == ["a", "b", "c"]
    assert lines()[-1] == (
        "  left out, without a local score of the same data, signature and engine: other-signature, no-score"
    )
    assert "(dev.csv, signature A)" in lines()[-2]


def test_the_local_score_is_of_the_engine_that_was_handed_in(in_tmp: Path) -> None:
    both([("a", 40, 44), ("b", 41, 45), ("c", 42, 46)])
    for name in ("a", "b", "c"):
        give_score(open_run(RUNS, name), 30, name="dev.hf", hour=13)  # the newest
    submit(open_run(RUNS, "a"), "x", engine="vllm")
    note_score(open_run(RUNS, "a"), "48")
    submit(open_run(RUNS, "b"), "y", engine="hf")
    note_score(open_run(RUNS, "b"), "47")
    assert agreement().runs == (("a", 40.0, 48.0), ("b", 30.0, 47.0), ("c", 30.0, 46.0))


def test_a_named_submission_has_the_engine_that_is_recorded(in_tmp: Path) -> None:
    run = make("a")
    give_score(run, 40, name="dev.vllm", hour=11)
    give_score(run, 30, name="dev.hf", hour=12)
    submit(run, "x", engine="vllm")
    Path("mine.csv").write_text("x", encoding="utf-8")
    submit(run, "y", engine="hf")
    note_score(run, "48", submission=Path("mine.csv"))
    assert agreement().runs == (("a", 40.0, 48.0),)


def test_an_engine_without_a_local_score_has_no_pair(in_tmp: Path) -> None:
    run = make("a")
    give_score(run, 40, name="dev.vllm")
    submit(run, "x", engine="hf")
    note_score(run, "48")
    assert (agreement().runs, agreement().left_out) == ((), ("a",))


def test_an_engine_that_is_not_recorded_is_paired_with_the_newest_score(in_tmp: Path) -> None:
    run = make("a")
    give_score(run, 40, name="dev.vllm", hour=11)
    give_score(run, 30, name="dev.hf", hour=12)
    submit(run, "x", engine=None)
    note_score(run, "48")
    assert agreement().runs == (("a", 30.0, 48.0),)
    assert runs("a")[0] == 0
