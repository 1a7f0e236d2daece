"""Reading a pool: accepted files and errors."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from pools import write_jsonl
from test_evaluate import DIALOGUES, SUMMARIES, make_run, predict, write_data

from llm_summ.core.errors import PredictionError
from llm_summ.core.files import write_json
from llm_summ.data import dialogue_hash
from llm_summ.runs.run import Run
from llm_summ.select.pool import dev_files, read_pool, run_files

IDS = tuple(DIALOGUES)
MOVED = "{}: raw predictions outside their run: used as they are, without its post-processing\n"


def write_rows(path: str, rows: Sequence[Sequence[object]], header: Sequence[str] = ("fname", "summary")) -> Path:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return Path(path)


def sampled(path: str, texts: int = 2, **changes: object) -> Path:
    """Write a candidate file with its samples out of order; `changes` are made to its last line."""
    rows: list[dict[str, object]] = [
        {
            "fname": identity,
            "dialogue": dialogue_hash(DIALOGUES[identity]),
            "summary": f" {identity}의 {sample}번. 그리",
            "tokens": 4,
            "finish_reason": "length",
            "sample": sample,
            "logprob": -2.0 - 4 * sample,
        }
        for identity in reversed(IDS)
        for sample in reversed(range(texts))
    ]
    rows[-1] = {key: value for key, value in (rows[-1] | changes).items() if value is not ...}
    return write_jsonl(path, rows)


def refusal(*paths: Path, source: str | None = None) -> str:
    with raises(PredictionError) as error:
        read_pool(paths, source)
    return error.message


@pytest.fixture
def data(in_tmp: Path) -> str:
    return write_data(Path("dev.csv"))


def test_the_rows_are_in_the_order_of_the_data_or_else_of_the_first_file(data: str) -> None:
    one = write_rows("one.csv", [(identity, SUMMARIES[identity]) for identity in reversed(IDS)])
    two = write_rows("two.csv", [(identity, f"둘째 {identity}") for identity in IDS])
    pool = read_pool([one, two], data)
    assert pool.ids == IDS
    assert pool.candidates() == [[SUMMARIES[identity], f"둘째 {identity}"] for identity in IDS]
    assert [member.name for member in pool.members] == ["A one.csv", "B two.csv"]
    assert read_pool([one, two]).ids == IDS[::-1]


def test_samples_are_in_the_order_of_their_numbers_with_the_log_probability_of_a_token(data: str) -> None:
    [member] = read_pool([sampled("many.jsonl")], data).members
    assert member.texts[0] == (" dev_0의 0번. 그리", " dev_0의 1번. 그리")
    assert member.confidence == ((-0.5, -1.5),) * 3
    assert (member.each, member.post) == (2, ())


def test_a_csv_may_have_several_texts_for_an_id_in_any_place(data: str) -> None:
    path = write_rows("two.csv", [(identity, f"{number}번") for number in (1, 2) for identity in IDS])
    assert read_pool([path], data).candidates() == [["1번", "2번"]] * 3
    columns = ("fname", "summary", "sample", "logprob", "tokens")
    path = write_rows("more.csv", [(one, f"{at}", at, -3, 2) for at in (1, 0) for one in IDS], columns)
    [member] = read_pool([path], data).members
    assert member.texts == (("0", "1"),) * 3
    assert member.confidence == ((-1.5, -1.5),) * 3


def test_raw_predictions_are_post_processed_by_their_run(data: str) -> None:
    make_run("mine")
    path = sampled("runs/mine/candidates/dev.hf.sample.jsonl")
    [member] = read_pool([path], data).members
    assert member.texts[0] == ("dev_0의 0번.", "dev_0의 1번.")
    assert member.post == ("strip", "cut_unfinished")


def test_a_step_that_needs_the_dialogues_has_them_or_asks_for_them(data: str) -> None:
    make_run("mine", ["repair_speakers"])
    path = write_jsonl(
        "runs/mine/candidates/dev.hf.n2.jsonl",
        [
            {
                "fname": one,
                "dialogue": dialogue_hash(DIALOGUES[one]),
                "summary": f"{text} {sample}",
                "tokens": 4,
                "finish_reason": "stop",
                "sample": sample,
            }
            for one, text in SUMMARIES.items()
            for sample in (0, 1)
        ],
    )
    assert read_pool([path], data).candidates()[1] == ["회의는 세 시입니다. 0", "회의는 세 시입니다. 1"]
    assert refusal(path) == snapshot(
        "runs/mine/candidates/dev.hf.n2.jsonl: the post-processing of its run (repair_speakers) needs the "
        "dialogues; name them: --data FILE"
    )


def test_raw_predictions_outside_their_run_are_used_as_they_are_with_a_notice(
    data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_pool([sampled("many.jsonl")], data).candidates()[0][0].startswith(" ")
    assert capsys.readouterr().err == MOVED.format("many.jsonl")


def test_a_finish_reason_does_not_make_raw_predictions(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Other programs write that field too; raw predictions are a JSONL, not a table that was made from one."""
    make_run("mine")
    rows = [{"fname": one, "summary": f" {text}", "finish_reason": "stop"} for one, text in SUMMARIES.items()]
    foreign = write_jsonl("runs/mine/predictions/foreign.jsonl", rows)
    columns = ("fname", "summary", "finish_reason")
    table = write_rows("runs/mine/predictions/table.csv", [list(row.values()) for row in rows], columns)
    for path in (foreign, table):
        [member] = read_pool([path], data).members
        assert (member.texts[0], member.post) == ((f" {SUMMARIES['dev_0']}",), ())
    assert capsys.readouterr().err == ""


def test_a_runs_files_are_found_by_their_content(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("mine")
    predict(run, "dev.vllm")
    predict(run, "dev.vllm.untuned", adapter=None)
    predict(run, "dev.other", adapter=None)
    predict(run, "my.untuned.vllm")  # a floor is recognised by its identity, not by its name
    predict(run, "test.vllm", dialogues=DIALOGUES | {"dev_3": "#Person1#: 다른 대화"})
    predict(run, "dev.hf", {"dev_0": "하나"})
    many = sampled("runs/mine/candidates/dev.vllm.sample.jsonl")
    tuned = [run.predictions / f"{name}.jsonl" for name in ("dev.vllm", "my.untuned.vllm")]
    assert run_files(run, data) == [*tuned, many]
    assert plain(capsys.readouterr().err) == snapshot(
        "runs/mine/predictions/dev.hf.jsonl: lacks 2 of the 3 ids of dev.csv (dev_3, dev_4); expected "
        "exactly the ids of dev.csv; left out\n"
        "runs/mine/predictions/dev.other.jsonl: a floor, written without an adapter; left out\n"
        "runs/mine/predictions/dev.vllm.untuned.jsonl: a floor, written without an adapter; left out\n"
    )


def test_a_run_without_predictions_names_the_command_that_makes_them(data: str) -> None:
    with raises(PredictionError) as error:
        run_files(make_run("mine"), data)
    assert error.message == snapshot(
        "runs/mine: no predictions for the dialogues of dev.csv; make them: llm-summ generate --run mine "
        "--data dev.csv"
    )


TEST = {"test_1": "#Person1#: 잘 가요.\n#Person2#: 네.", "test_2": "#Person1#: 누구세요?"}


def generated(run: Run, name: str, dialogues: Mapping[str, str], identity: Mapping[str, object] | None) -> Path:
    """Write predictions of a run for dialogues with an identity; None: the identity is not known."""
    rows: list[dict[str, object]] = [
        {
            "fname": one,
            "dialogue": dialogue_hash(text),
            "summary": f"{one} 요약.",
            "tokens": 4,
            "finish_reason": "stop",
        }
        for one, text in dialogues.items()
    ]
    path = write_jsonl(str(run.predictions / f"{name}.jsonl"), rows)
    if identity is not None:
        write_json(path.with_suffix(".json"), {"engine": "vllm", "adapter": "abc", **identity})
    return path


@pytest.fixture
def other_data(in_tmp: Path) -> str:
    return str(write_rows("test.csv", list(TEST.items()), ("fname", "dialogue")))


def test_the_dev_file_of_a_runs_file_is_the_one_that_was_generated_in_the_same_way(
    data: str, other_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files may have any names; the file that differs least is taken, but not a floor or another prompt."""
    run = make_run("mine")
    sampled_once = {"n": 2, "temperature": 0.5, "seed": 1}
    setups: list[dict[str, object]] = [
        {"version": "1"},
        {"engine": "hf"},
        {"prompt": {"sha256": "9"}},
        {"decoding": sampled_once},
    ]
    files = [generated(run, f"one-{at}", TEST, setup) for at, setup in enumerate(setups)]
    setups[3] = {"decoding": {**sampled_once, "seed": 2}}
    others = [generated(run, f"other-{at}", DIALOGUES, setup) for at, setup in enumerate(setups)]
    generated(run, "floor", DIALOGUES, {"adapter": None})
    generated(run, "later", DIALOGUES, {"version": "2"})
    generated(run, "hotter", DIALOGUES, {"decoding": {**sampled_once, "temperature": 0.7}})
    assert dev_files(files, other_data, data) == list(zip(files, others, strict=True))
    assert capsys.readouterr().err == ""
    others[0].unlink()  # a file of another engine version is better than none; `select` warns
    assert dev_files(files[:1], other_data, data) == [(files[0], run.predictions / "later.jsonl")]
    others[2].unlink()
    assert dev_files(files[1:3], other_data, data) == [(files[1], others[1])]
    assert plain(capsys.readouterr().err) == snapshot(
        "runs/mine/predictions/one-2.jsonl: no file next to it was generated for dev.csv with the same "
        "engine, prompt and decoding; left out: generate it for dev.csv too, or name FILEs and --dev-pool\n"
    )
    with raises(PredictionError) as error:
        dev_files(files[2:3], other_data, data)
    assert error.message == snapshot(
        "no file of test.csv has a matching file for dev.csv; generate one for each with dev.csv, or name "
        "FILEs and --dev-pool"
    )


def test_a_file_without_an_identity_is_paired_by_its_name(
    data: str, other_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("mine")
    names = ["vllm", "hf", "hf.prompt-expert-1a2b3c"]
    files = [generated(run, f"test.{name}", TEST, None if name == "vllm" else {}) for name in names]
    others = [generated(run, f"dev.{name}", DIALOGUES, {} if name == "vllm" else None) for name in names[:2]]
    files[2].with_suffix(".json").unlink()
    assert dev_files(files[::2], other_data, data) == [(files[0], others[0])]
    assert plain(capsys.readouterr().err) == snapshot(
        "runs/mine/predictions/test.hf.prompt-expert-1a2b3c.jsonl: dev.hf.prompt-expert-1a2b3c.jsonl: no "
        "such file; left out: generate it for dev.csv too, or name FILEs and --dev-pool\n"
    )
    others[0].unlink()
    assert dev_files(files[1:2], other_data, data) == [(files[1], others[1])]
    with raises(PredictionError) as error:
        dev_files(files[:1], "other.csv", data)
    assert error.message == snapshot(
        "no file of other.csv has a matching file for dev.csv; generate one for each with dev.csv, or "
        "name FILEs and --dev-pool"
    )
    assert plain(capsys.readouterr().err) == snapshot(
        "runs/mine/predictions/test.vllm.jsonl: has no identity next to it and is not named after "
        "other.csv, so its file for dev.csv is not known; left out: generate it for dev.csv too, or name "
        "FILEs and --dev-pool\n"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sample": 1},
            snapshot(
                "many.jsonl:6: dev_0: found the samples 1, 1; expected a different number for each text of a "
                "dialogue"
            ),
        ),
        ({"sample": -1}, snapshot("many.jsonl:6: sample: found -1; expected a whole number from 0 on")),
        ({"sample": "a"}, snapshot("many.jsonl:6: sample: found 'a'; expected a number")),
        ({"sample": True}, snapshot("many.jsonl:6: sample: found 'True'; expected a number")),
        (
            {"tokens": None},
            snapshot("many.jsonl:6: logprob without tokens; expected the number of tokens that it sums over"),
        ),
        (
            {"dialogue": "0" * 16},
            snapshot(
                "many.jsonl: made from other dialogues than those of dev.csv (1 differs: dev_0); generate from "
                "the same data"
            ),
        ),
        (
            {"fname": "dev_4", "sample": 2},
            snapshot(
                "many.jsonl:6: found 3 texts for dev_4, and 2 for others; expected the same number for every id"
            ),
        ),
        ({"summary": 3}, snapshot("many.jsonl:6: summary: found int; expected a text")),
    ],
)
def test_what_does_not_fit_is_one_line(data: str, changes: dict[str, object], message: str) -> None:
    line = refusal(sampled("many.jsonl", **changes), source=data)
    assert plain(line) == message


@pytest.mark.parametrize("changes", [{"logprob": ...}, {"logprob": None}, {"tokens": 0}])
def test_a_line_without_its_probability_leaves_out_all_of_them(
    data: str, changes: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """The texts can still be chosen from."""
    [member] = read_pool([sampled("many.jsonl", **changes)], data).members
    assert member.confidence is None
    assert member.each == 2
    assert plain(capsys.readouterr().err) == snapshot(
        "many.jsonl:6: no logprob (lines without: 1); all of the file's are ignored\n"
        "many.jsonl: raw predictions outside their run: used as they are, without its post-processing\n"
    )


def test_files_that_do_not_fit_each_other_are_refused(data: str) -> None:
    whole = write_rows("whole.csv", [(identity, "요약") for identity in IDS])
    part = write_rows("part.csv", [("dev_0", "요약"), ("dev_9", "요약")])
    assert refusal(whole, part, source=data) == snapshot(
        "part.csv: lacks 2 of the 3 ids of dev.csv (dev_3, dev_4) and has 1 id that is not in dev.csv "
        "(dev_9); expected exactly the ids of dev.csv"
    )
    assert refusal(whole, part) == snapshot(
        "part.csv: lacks 2 of the 3 ids of whole.csv (dev_3, dev_4) and has 1 id that is not in whole.csv "
        "(dev_9); expected exactly the ids of whole.csv"
    )
    counted = write_rows("counted.csv", [(f"dev_{number}", "요약") for number in range(3)])
    assert refusal(whole, counted, source=data) == snapshot(
        "counted.csv: its ids were made by counting, and from dev_1 on they belong to other rows (dev.csv "
        "has dev_3 there); take each id from the data"
    )
    first, second = sampled("first.jsonl"), sampled("second.jsonl", dialogue="f" * 16)
    assert refusal(first, second) == snapshot(
        "second.jsonl: made from other dialogues than those of first.jsonl (1 differs: dev_0); generate "
        "from the same data"
    )


def test_a_duplicate_id_is_refused(data: str) -> None:
    path = write_rows("twice.csv", [(identity, "요약") for identity in (*IDS, "dev_0")])
    assert refusal(path, source=data) == snapshot(
        "twice.csv:5: found 2 texts for dev_0, and 1 for others; expected the same number for every id"
    )


def test_missing_and_empty_files_are_refused(data: str) -> None:
    assert refusal() == snapshot("found no prediction file; expected at least one")
    assert refusal(Path("nowhere.csv")) == snapshot(
        "nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"
    )
    assert refusal(write_rows("empty.csv", [])) == snapshot(
        "empty.csv: no rows; expected a summary for every dialogue"
    )
    assert refusal(write_rows("other.csv", [("a", "b")], ("id", "text"))) == snapshot(
        "other.csv: no column fname, summary; found id, text; expected fname, summary"
    )
