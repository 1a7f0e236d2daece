"""The command line, as a user runs it: its exit code, and what it prints where."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Result, llm_summ, llm_summ_process, refused
from inline_snapshot import snapshot
from messages import lines_with, plain

from llm_summ import __version__
from llm_summ.data import dialogue_hash, read_dialogues
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import DataFields, ModelFields, Recipe, bundled_dir
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run, mark_latest

PROMPT = (bundled_dir("prompts") / "plain.md").read_text(encoding="utf-8")
HEAVY = {"torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "vllm", "accelerate", "safetensors"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a finished run that has predictions for sample:dev, one of them empty."""
    folder = tmp_path_factory.mktemp("project")
    recipe = Recipe(model=ModelFields(base="x"), data=DataFields(train="sample:train", dev="sample:dev"))
    run = create_run(folder / "runs" / "mine", recipe, PROMPT, Manifest())
    mark_latest(run)
    file = PredictionFile(run.predictions / "sample-dev.hf.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter="abc"))
    with file.appending() as out:
        for number, dialogue in enumerate(read_dialogues("sample:dev")):
            text = dialogue.references[0] if number else ""
            out.add(Prediction(dialogue.id, dialogue_hash(dialogue.text), text, 9, "stop"))
    return folder


@pytest.fixture
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], *([name, "--help"] for name in ("sft", "generate", "eval", "data"))]
)
def test_help_is_given(arguments: list[str]) -> None:
    result = llm_summ(*arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Usage: ")


@pytest.mark.parametrize("arguments", [["--help"], ["sft", "--help"], ["eval", "sample:dev", "--json"]])
def test_what_is_cheap_loads_no_heavy_library(there: Path, arguments: list[str]) -> None:
    result = llm_summ_process(*arguments, python=("-X", "importtime"))
    assert result.code == 0
    loaded = set(re.findall(r"^import time:.*\| +([\w.]+)$", result.err, re.MULTILINE))
    assert "llm_summ.cli" in loaded
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()


def test_the_version() -> None:
    result = llm_summ("--version")
    assert (result.code, result.out) == (0, f"llm-summ, version {__version__}\n")


def test_a_score_is_a_table_on_stdout_and_the_rest_on_stderr(there: Path) -> None:
    result = llm_summ("eval", "sample:dev")
    assert result.code == 0
    assert plain(result.err) == snapshot(
        "Run: runs/mine (the latest)\n"
        "Predictions: runs/mine/predictions/sample-dev.hf.jsonl\n"
        "warning: 1 of 32 summaries are empty (dev_0): they score 0, and a submission may be refused\n"
    )
    for shown in ("rouge 1.0.1", "rouge-score 0.1.2", "R-1", "R-2", "R-L", "final"):
        assert shown in result.out
    assert lines_with(result.out, "sample:dev: ", "(dev_0)", "rows changed: ") == snapshot(
        "sample:dev: 32 dialogues, 3 references each\n"
        "empty      1 of 32 (dev_0) count as 0\n"
        "post       rows changed: strip 0, join_lines 0, collapse_whitespace 0, cut_unfinished 0"
    )
    assert re.search(r"^signature  \S+\|post:strip\+\S+$", result.out, re.MULTILINE)


def test_json_and_the_table_agree(there: Path) -> None:
    table, result = llm_summ("eval", "sample:dev").out, llm_summ("eval", "sample:dev", "--json")
    assert result.code == 0
    value = json.loads(result.out)
    assert value["rows"] == 32
    assert value["references"] == [3, 3]
    assert value["empty"] == ["dev_0"]
    assert value["data"] == "sample:dev"
    for score in (value, value["rouge-score"]):
        row = " ".join(rf"[│┃]?\s+{score[name]:.2f}" for name in ("rouge1", "rouge2", "rougeL", "final"))
        assert re.search(row.replace(" ", r"\s*"), table)
    assert value["signature"] in table
    kept = (there / "runs" / "mine" / "scores" / "sample-dev.hf.json").read_text(encoding="utf-8")
    scored = json.loads(kept)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", scored.pop("scored"))
    assert scored == value


def test_a_file_can_be_scored_without_any_run(in_tmp: Path) -> None:
    """Brackets and colons in a path or an id are no markup."""
    folder = Path("my[/bold]:smile:")
    folder.mkdir(parents=True)
    data, predictions = folder / "dev.csv", folder / "out.csv"
    data.write_text("fname,dialogue,summary\n[/x],대화,요약입니다.\nb,대화,요약입니다.\n", encoding="utf-8")
    predictions.write_text("fname,summary\nb,요약입니다.\n[/x],\n", encoding="utf-8")
    result = llm_summ("eval", str(data), "--predictions", str(predictions))
    assert result.code == 0
    [warning] = result.err.splitlines()
    assert plain(warning) == snapshot(
        "warning: 1 of 2 summaries are empty ([/x]): they score 0, and a submission may be refused"
    )
    assert lines_with(result.out, "dev.csv: ", "([/x])") == snapshot(
        "my[/bold]:smile:/dev.csv: 2 dialogues, 1 reference each\nempty      1 of 2 ([/x]) count as 0"
    )
    assert "50.00" in result.out


@pytest.mark.parametrize("command", [["eval", "sample:dev"], ["generate"]])
def test_without_a_run_the_error_says_how_to_make_one(in_tmp: Path, command: list[str]) -> None:
    assert refused(llm_summ(*command)) == snapshot(
        "runs: no finished run here; make one with `llm-summ sft recipes/qlora.yaml`, "
        "or change to the folder that has it"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "sample:dev", "--run", "mien"], snapshot("--run mien: no such run in runs; did you mean mine?")),
        (
            ["eval", "sample:dev", "--run", "mine", "--predictions", "nowhere.csv", "--debug"],
            None,  # click's own error, below
        ),
        (
            ["eval", "sample:dev", "--predictions", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
        (
            ["eval", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
        (
            ["sft", "qlroa"],
            snapshot("qlroa: no such file; expected a recipe in YAML; did you mean recipes/qlora.yaml?"),
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(there: Path, arguments: list[str], said: str | None) -> None:
    result = llm_summ(*arguments)
    if said is None:
        assert result.code == 2
        assert plain(result.err) == snapshot("Error: --run and --predictions exclude each other; choose one\n")
        assert "Traceback" not in result.err
        return
    lines = [line for line in result.err.splitlines() if not line.startswith("Run: ")]
    assert refused(Result(result.code, result.out, "\n".join(lines))) == said


def test_several_errors_of_a_recipe_are_a_line_each(in_tmp: Path) -> None:
    Path("mine.yaml").write_text("model:\n  base: x\nsead: 1\n", encoding="utf-8")
    result = llm_summ("sft", "mine.yaml", "--dry-run", "--set", "train.lerning_rate=1")
    assert (result.code, result.out) == (2, "")
    assert sorted(plain(result.err).splitlines()) == snapshot(
        [
            "llm-summ: --set train.lerning_rate=1: train.lerning_rate: unknown field; did you mean learning_rate?",
            "llm-summ: mine.yaml: data: missing; give it a value",
            "llm-summ: mine.yaml:3: sead: unknown field; did you mean seed?",
        ]
    )


@pytest.mark.parametrize(
    "arguments", [["evaluate"], ["eval"], ["eval", "x", "--nope"], ["generate", "--engine", "x"]]
)
def test_a_wrong_command_line_is_exit_code_2(in_tmp: Path, arguments: list[str]) -> None:
    result = llm_summ(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Error: " in result.err
    assert "Traceback" not in result.err


def test_debug_shows_where_an_error_comes_from(in_tmp: Path) -> None:
    result = llm_summ("eval", "sample:dev", "--debug")
    assert result.code != 0
    assert "Traceback (most recent call last)" in result.err
    assert "RunError: runs: no finished run here" in result.err


def test_the_sample_is_written_where_one_says(in_tmp: Path) -> None:
    result = llm_summ("data", "sample", "my/sample")
    assert (result.code, result.err) == (0, "")
    written = [Path(line) for line in result.out.splitlines()]
    assert [path.name for path in written] == ["README.md", "dev.csv", "test.csv", "train.csv"]
    assert read_dialogues("my/sample/dev.csv") == read_dialogues("sample:dev")
    assert refused(llm_summ("data", "sample", "my/sample")) == snapshot(
        "my/sample/README.md: is there already; choose an empty folder"
    )


def test_a_folder_that_cannot_be_made_is_one_line(in_tmp: Path) -> None:
    Path("file").write_text("x", encoding="utf-8")
    told = refused(llm_summ("data", "sample", "file/folder"))
    assert plain(told) == snapshot("file/folder: cannot be made (Not a directory); choose another folder")


def test_a_reader_that_goes_away_is_no_error(there: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_summ", "eval", "sample:dev"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in said
    assert "Broken pipe" not in said


def test_the_console_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("llm-summ")
    done = subprocess.run([script, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"llm-summ, version {__version__}\n")


def test_a_run_can_be_named(there: Path) -> None:
    assert Run(Path("runs/mine")).recipe_path.is_file()
    result = llm_summ("eval", "sample:dev", "--run", "mine", "--json")
    assert result.code == 0
    found, warning = result.err.splitlines()
    assert found == "Predictions: runs/mine/predictions/sample-dev.hf.jsonl"
    assert plain(warning) == snapshot(
        "warning: 1 of 32 summaries are empty (dev_0): they score 0, and a submission may be refused"
    )
