"""`select`, as a user runs it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import llm_summ, llm_summ_process, refused
from inline_snapshot import snapshot
from messages import lines_with, plain
from pools import write_jsonl
from test_cli import HEAVY
from test_evaluate import DIALOGUES, SUMMARIES, make_run, predict, write_data
from test_pool import write_rows

from llm_summ.data import dialogue_hash, read_dialogues, read_hypotheses
from llm_summ.runs.run import mark_latest
from llm_summ.select import Settings, select

IDS = tuple(DIALOGUES)
APPLES, PEARS = "친구가 사과를 두 개 샀다.", "친구가 배를 두 개 샀다."


def wrong_options(*arguments: str) -> str:
    result = llm_summ("select", *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert "Traceback" not in result.err
    return plain(" ".join(result.err.partition("Error: ")[2].split()))


@pytest.fixture
def files(in_tmp: Path) -> list[str]:
    """For dev_0 a.csv agrees most, for dev_3 none agree, for dev_4 b.csv and c.csv differ only in a space."""
    write_data(Path("dev.csv"))
    rows = {
        "a.csv": (APPLES, "가나", "비가 온다."),
        "b.csv": ("친구가 사과를 세 개 샀다.", "다라", "우산이 없다."),
        "c.csv": ("친구가 사과를 두 개 팔았다.", "마바", "우산이  없다."),
    }
    for name, texts in rows.items():
        write_rows(name, list(zip(IDS, texts, strict=True)))
    return list(rows)


def test_what_was_chosen_is_written_in_the_order_of_the_data(files: list[str]) -> None:
    arguments = ("select", *files, "--data", "dev.csv", "--out", "out.csv")
    result = llm_summ(*arguments)
    assert (result.code, result.err) == (0, "")
    written = read_hypotheses(Path("out.csv"))
    assert list(written.items()) == [("dev_0", APPLES), ("dev_3", "가나"), ("dev_4", "우산이 없다.")]
    lines = result.out.splitlines()
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [row[:5] for row in cells] == [
        ["A a.csv", "1", "1", "2", "2"],
        ["B b.csv", "1", "1", "1", "1"],
        ["C c.csv", "1", "1", "0", "1"],
    ]
    assert "equal      texts in 1 of 3 dialogues, only equal ones in 0" in lines
    assert "ties       1 of 3 (dev_3); the first file's text was taken" in lines
    assert "method     mbr, weights 1,1,1" in lines
    assert lines[-1] == "out.csv"
    # An existing file is overwritten only with --force, and a file of the pool never.
    assert refused(llm_summ(*arguments)) == snapshot(
        "--out out.csv: is there already; choose another name, or replace it: --force"
    )
    assert llm_summ(*arguments, "--force").code == 0
    pool = llm_summ("select", *files, "--out", "a.csv", "--force")
    assert refused(pool) == snapshot("--out a.csv: is one of the input files; choose another name")
    data = llm_summ(*arguments[:-1], "dev.csv", "--force")
    assert refused(data) == snapshot("--out dev.csv: is one of the input files; choose another name")


def test_everything_is_there_for_programs(files: list[str]) -> None:
    value = json.loads(llm_summ("select", *files, "--method", "vote", "--weights", "1,1,1", "--json").out)
    assert value["choices"][2]["member"] == "B b.csv"
    assert value["choices"][2]["score"] == 2
    assert value["undecided"] == ["dev_0", "dev_3"]
    assert value["settings"]["method"] == "vote"
    assert value["tuned"] is None
    assert value["alike"][0].keys() == {"systems", "equal", "agreement", "nearly_same"}
    assert value["alike"][0]["systems"] == ["B b.csv", "C c.csv"]


def test_a_vote_reports_where_it_was_undecided(files: list[str]) -> None:
    out = llm_summ("select", *files, "--method", "vote").out
    assert "vote       undecided in 2 of 3 (dev_0, dev_3): all texts differ; the medoid was taken" in out


def test_a_file_that_is_in_the_pool_twice_is_warned_of(files: list[str]) -> None:
    Path("copy.csv").write_bytes(Path("a.csv").read_bytes())
    result = llm_summ("select", *files, "copy.csv", "a.csv")
    assert result.code == 0
    assert plain(result.err) == snapshot(
        "warning: A a.csv and D copy.csv have the same texts: one file is in the pool twice\n"
        "warning: A a.csv and E a.csv have the same texts: one file is in the pool twice\n"
    )
    assert lines_with(result.out, "the same: ") == snapshot(
        "A a.csv and D copy.csv are the same: all 3 summaries are equal\n"
        "A a.csv and E a.csv are the same: all 3 summaries are equal\n"
        "D copy.csv and E a.csv are the same: all 3 summaries are equal"
    )


def test_a_pool_that_leaves_no_choice_is_warned_of(files: list[str]) -> None:
    assert plain(llm_summ("select", "a.csv").err) == snapshot(
        "warning: there is only one text for each dialogue: nothing to choose from\n"
    )
    assert plain(llm_summ("select", "a.csv", "b.csv").err) == snapshot(
        "warning: two texts agree equally with each other: use three files or more\n"
    )
    assert "two texts agree" not in llm_summ("select", "a.csv", "b.csv", "--method", "longest").err
    write_rows("empty.csv", [(identity, " ") for identity in IDS])
    result = llm_summ("select", "empty.csv", "empty.csv")
    assert plain(result.err) == snapshot(
        "warning: A empty.csv and B empty.csv have the same texts: one file is in the pool twice\n"
        "warning: two texts agree equally with each other: use three files or more\n"
        "warning: only empty texts in 3 of 3 (dev_0, dev_3, dev_4)\n"
    )


def candidates(path: str, texts: Sequence[str], ids: Sequence[str] = IDS) -> Path:
    rows = ({"fname": one, "summary": text, "sample": at} for one in ids for at, text in enumerate(texts))
    return write_jsonl(path, list(rows))


def test_without_files_a_runs_predictions_and_candidates_are_the_pool(in_tmp: Path) -> None:
    write_data(Path("dev.csv"))
    run = make_run("mine")
    predict(run, "dev.vllm", dict.fromkeys(IDS, PEARS))
    candidates(
        "runs/mine/candidates/dev.vllm.n3.jsonl", [APPLES, "친구가 사과를 두 개 팔았다.", "사과를 두 개 샀다."]
    )
    mark_latest(run)
    result = llm_summ("select", "--data", "dev.csv", "--out", "out.csv")
    assert result.code == 0, result.err
    assert plain(result.err) == snapshot("Run: runs/mine (the latest)\n")
    assert set(read_hypotheses(Path("out.csv")).values()) == {APPLES}
    assert "A dev.vllm.jsonl" in result.out
    named = llm_summ("select", "--run", "mine")
    assert refused(named) == snapshot(
        "runs/mine/recipe.yaml: names no data.test; name the data of the summaries: --data FILE"
    )


@pytest.fixture
def sample(in_tmp: Path) -> list[str]:
    """Write five files for sample:dev: each is a reference from which it leaves out every fifth word."""
    rows = read_dialogues("sample:dev")
    names = []
    for place in range(5):
        texts = [
            " ".join(word for at, word in enumerate(row.references[0].split()) if at % 5 != place) for row in rows
        ]
        names.append(
            str(write_rows(f"{place}.csv", [(row.id, text) for row, text in zip(rows, texts, strict=True)]))
        )
    return names


def test_settings_are_found_on_dev_data_and_reported_with_their_scores(sample: list[str]) -> None:
    pools = [option for name in sample for option in ("--dev-pool", name)]
    result = llm_summ("select", *sample, "--tune", "sample:dev", *pools, "--out", "out.csv")
    assert result.code == 0, result.err
    for line in (
        "dev alone",
        "dev without",
        "ensemble   ",
        " out of fold (",
        "best file  ",
        "difference ",
        "chosen     ",
    ):
        assert line in result.out
    value = json.loads(llm_summ("select", *sample, "--data", "sample:dev", "--tune", "sample:dev", "--json").out)
    found = value["tuned"]
    assert (found["rows"], found["folds"]) == (32, 5)
    best = max(one["alone"] for one in found["members"])
    # The reported scores are those that `eval` prints for each file.
    score = json.loads(llm_summ("eval", "sample:dev", "--predictions", "0.csv", "--json").out)["final"]
    assert found["members"][0]["alone"] == pytest.approx(score)
    assert found["fell_back"] is (found["out_of_fold"] <= best)
    assert value["settings"] == found["settings"]


def test_the_best_file_can_be_taken_alone(sample: list[str]) -> None:
    arguments = ("--data", "sample:dev", "--tune", "sample:dev", "--method", "best", "--out", "out.csv", "--json")
    value = json.loads(llm_summ("select", *sample, *arguments).out)
    best = max(value["tuned"]["members"], key=lambda one: one["alone"])["name"]
    assert read_hypotheses(Path("out.csv")) == read_hypotheses(Path(best.split()[1]))


IDENTITY: dict[str, object] = {
    "engine": "vllm",
    "adapter": "abc",
    "prompt": {"sha256": "0", "examples": 2},
    "decoding": {"n": 4, "temperature": 0.7},
    "data": {"source": "test.csv", "sha256": "1"},
}


def made(name: str, identity: dict[str, object] | None) -> str:
    """Write raw predictions for sample:dev with an identity."""
    rows = [
        {
            "fname": one.id,
            "dialogue": dialogue_hash(one.text),
            "summary": one.references[0],
            "tokens": 9,
            "finish_reason": "stop",
        }
        for one in read_dialogues("sample:dev")
    ]
    path = write_jsonl(f"{name}.jsonl", rows)
    if identity is not None:
        path.with_suffix(".json").write_text(json.dumps(identity), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"data": {"source": "dev.csv", "sha256": "2"}}, None),
        ({"adapter": "abd"}, "adapter"),
        ({"adapter": None, "engine": "hf"}, "engine, adapter"),
        ({"prompt": {"sha256": "9", "examples": 2}}, "prompt.sha256"),
        ({"decoding": {"n": 4, "temperature": 1.0}}, "decoding.temperature"),
        ({"decoding": "greedy"}, "decoding"),
        ({"budget": "5"}, "budget"),
        (None, None),
    ],
)
def test_a_dev_file_with_other_settings_gives_a_warning(
    in_tmp: Path, changes: dict[str, object] | None, fields: str | None
) -> None:
    one, dev = made("one", IDENTITY), made("dev", None if changes is None else IDENTITY | changes)
    chosen = select([Path(one)], None, Settings((1.0,)), dev="sample:dev", dev_paths=[Path(dev)], workers=1)
    wanted = (
        f"A one.jsonl and dev.jsonl were generated with different settings ({fields}): the result of --tune "
        "may not hold for both; generate both with the same settings"
    )
    assert chosen.warnings() == ([] if fields is None else [wanted])
    unlike = (
        [] if fields is None else [{"member": "A one.jsonl", "dev": "dev.jsonl", "fields": fields.split(", ")}]
    )
    assert chosen.to_json()["unlike"] == unlike


def test_files_without_an_identity_are_not_compared(in_tmp: Path) -> None:
    """A JSON file of the same name may have other content, such as the scores of `eval --json`."""
    one = made("one", IDENTITY)
    dialogues = read_dialogues("sample:dev")
    dev = str(write_rows("dev.csv", [(row.id, row.references[0]) for row in dialogues]))
    Path("dev.json").write_text(json.dumps(IDENTITY | {"adapter": "other"}), encoding="utf-8")
    scored = made("scored", {"final": 50.0})
    for other in (dev, scored):
        result = llm_summ("select", one, "--tune", "sample:dev", "--dev-pool", other)
        assert result.code == 0, result.err
        assert "generated with different settings" not in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "best"], snapshot("--method best needs --tune DEV, where the files are compared")),
        (
            ["--method", "vote", "--tune", "dev.csv"],
            snapshot("--tune finds nothing for --method vote; it is for mbr, medoid and best"),
        ),
        (["--tune", "dev.csv", "--length", "0.1"], snapshot("--tune finds --length itself: leave it out")),
        (["--dev-pool", "a.csv"], snapshot("--dev-pool is for --tune DEV")),
        (["--run", "mine"], snapshot("--run and FILEs exclude each other; choose one")),
        (["--rouge", "1,1"], snapshot("--rouge: found 2 numbers; expected three, for ROUGE-1, -2 and -L")),
        (
            ["--rouge", "1,a,1"],
            snapshot(
                "Invalid value for '--rouge': found 1,a,1; expected numbers separated by commas, such as 1,2,0.5"
            ),
        ),
        (["--method", "longest", "--length", "0.1"], snapshot("--method longest does not use --length")),
        (["--length-target", "80"], snapshot("--length-target needs --length, the weight of the prior")),
        (
            ["--method", "first"],
            snapshot(
                "Invalid value for '--method': 'first' is not one of 'mbr', 'medoid', 'vote', 'longest', "
                "'shortest', 'best'."
            ),
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(files: list[str], arguments: list[str], message: str) -> None:
    assert wrong_options(*files, *arguments) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "1,2"], snapshot("--weights: found 2 for 3 files; expected one for each, in their order")),
        (["--weights", "0,0,0"], snapshot("--weights 0,0,0: expected numbers from 0 on, and one above it")),
        (
            ["--temperature", "1"],
            snapshot(
                "--temperature: no file has log-probabilities (A a.csv, B b.csv, C c.csv); leave it out, or "
                "generate them again"
            ),
        ),
        (
            ["--tune", "dev.csv"],
            snapshot(
                "--dev-pool: found 0 files for dev.csv, and 3 in the pool; expected one for each, in their order"
            ),
        ),
        (
            ["--data", "dev.csv", "--tune", "dev.csv"],
            snapshot("dev.csv: found 3 dialogues; --tune needs 10 at least, and hundreds for a reliable result"),
        ),
        (["--out", "out.txt"], snapshot("--out out.txt: expected a name that ends in .csv")),
        (
            ["nowhere.csv"],
            snapshot("nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
        (
            ["--data", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
    ],
)
def test_an_error_is_one_line(files: list[str], arguments: list[str], message: str) -> None:
    assert refused(llm_summ("select", *files, *arguments)) == message


def test_nothing_heavy_is_loaded(files: list[str]) -> None:
    result = llm_summ_process("select", *files, python=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.err.splitlines()}
    assert "numpy" in loaded
    assert not loaded & HEAVY


def test_line_breaks_and_commas_survive(in_tmp: Path) -> None:
    text = '그는 "네, 좋아요"라고\n말했다.'
    write_rows("one.csv", [(identity, text) for identity in SUMMARIES])
    assert llm_summ("select", "one.csv", "one.csv", "--out", "out.csv").code == 0
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["summary"] for row in csv.DictReader(file)] == [text] * 3
