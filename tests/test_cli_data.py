"""The commands that look at data and prompts, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Result, llm_summ, refused
from inline_snapshot import snapshot
from messages import plain

from llm_summ.data import read_dialogues
from llm_summ.prompt import bundled_templates

ODD = """fname,dialogue,summary
a,"#Person1 : 어디 가세요?
#Person2#: 시장에 가요.",#Person3#이 시장에 갑니다.
a,,요약
"""


def ran(result: Result) -> str:
    assert result.code == 0, result
    return result.out


def test_oddities_are_told_and_repaired_on_demand(in_tmp: Path) -> None:
    Path("odd.csv").write_text(ODD, encoding="utf-8")
    out = ran(llm_summ("data", "check", "odd.csv"))
    for told in ("odd.csv: 2 rows", "broken-tag: 1 row", "odd.csv:2 a dialogue", "duplicate-id", "empty-dialogue"):
        assert told in out
    assert Path("odd.csv").read_text(encoding="utf-8") == ODD
    assert llm_summ("data", "check", "odd.csv", "--strict").code == 1
    fixed = llm_summ("data", "check", "odd.csv", "--fix", "fixed.csv")
    assert plain(fixed.err) == snapshot("fixed.csv: 1 change, listed in fixed.csv.changes.jsonl\n")
    assert Path("fixed.csv").read_text(encoding="utf-8") == ODD.replace("#Person1 : ", "#Person1#: ")
    assert refused(llm_summ("data", "check", "odd.csv", "--fix", "fixed.csv")) == snapshot(
        "fixed.csv: is there already; choose another name, nothing is overwritten"
    )


def test_clean_files_pass_the_strict_check(in_tmp: Path) -> None:
    out = ran(llm_summ("data", "check", "sample:train", "sample:dev", "sample:test", "--strict", "--json"))
    report = json.loads(out)
    assert not report["problems"]
    assert [file["rows"] for file in report["files"]] == [128, 32, 32]


def test_statistics_side_by_side(in_tmp: Path) -> None:
    out = ran(llm_summ("data", "stats", "sample:train", "sample:dev"))
    assert "│ rows" in out
    found = json.loads(ran(llm_summ("data", "stats", "sample:train", "sample:dev", "--json")))
    assert [file["rows"] for file in found] == [128, 32]
    lengths = sorted(len(dialogue.text) for dialogue in read_dialogues("sample:dev"))
    assert found[1]["measures"]["characters"]["max"] == lengths[-1]


def test_statistics_as_pictures(in_tmp: Path) -> None:
    done = llm_summ("data", "stats", "sample:dev", "--plots", "pictures")
    assert "pictures/dialogue-length.svg" in done.err
    assert Path("pictures/dialogue-length.svg").read_text(encoding="utf-8").startswith("<svg ")


def test_a_file_is_split(in_tmp: Path) -> None:
    lines = ran(llm_summ("data", "split", "sample:train", "--out", "parts", "--dev", "20")).splitlines()
    assert [line.split(",")[0] for line in lines] == ["parts/train.csv: 108 rows", "parts/dev.csv: 20 rows"]
    assert refused(llm_summ("data", "split", "sample:train", "--out", "parts")) == snapshot(
        "parts/train.csv: is there already; choose an empty folder"
    )


def test_names_that_are_no_text_are_shown_with_escapes(in_tmp: Path) -> None:
    name = "a\udce9\n.csv"
    Path(name).write_text(ODD, encoding="utf-8")
    assert "a\\udce9" in ran(llm_summ("data", "check", name))
    found = json.loads(ran(llm_summ("data", "check", name, "--json")))
    assert found["files"][0]["path"] == name


def test_a_reader_that_goes_away(in_tmp: Path) -> None:
    """`| head`: nothing is complained of, and the pictures are there."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "llm_summ", "data", "stats", "sample:dev", "--plots", "pictures"]
    for json_too in ([], ["--json"]):
        done = subprocess.run([*command, *json_too], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert b"BrokenPipe" not in done.stderr
        assert len(list(Path("pictures").glob("*.svg"))) >= 5
        shutil.rmtree("pictures")
    os.close(write)


def test_prompts_are_listed_shown_and_filled_in(in_tmp: Path) -> None:
    out = ran(llm_summ("prompts"))
    names = [template.name for template in bundled_templates()]
    assert {"dialogue", "expert", "plain", "topic"} <= set(names)
    assert all(f"│ {name}" in out for name in names)
    text = ran(llm_summ("prompts", "expert"))
    assert text.startswith("---\nname: expert\n")
    Path("mine.md").write_text(text.replace("name: expert", "name: mine"), encoding="utf-8")
    dialogue = read_dialogues("sample:dev")[4]
    filled = ran(llm_summ("prompts", "mine.md", "--data", "sample:dev", "--id", dialogue.id))
    assert filled.startswith("[system]\n")
    assert dialogue.text in filled
    listed = json.loads(ran(llm_summ("prompts", "--json")))
    assert [prompt["name"] for prompt in listed] == sorted(names)


@pytest.mark.parametrize("name", ["few-shot", "length", "topic"])
def test_every_kind_of_prompt_can_be_filled_in(in_tmp: Path, name: str) -> None:
    pytest.importorskip("bm25s", reason="the extra train is not installed")
    done = llm_summ("prompts", name, "--data", "sample:train")
    assert done.code == 0, done
    assert read_dialogues("sample:train")[0].text in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["data", "check", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
        (
            ["data", "check", "sample:dev", "sample:dev"],
            snapshot("REPOSITORY/llm_summ/data/sample/dev.csv: is given twice; expected every file once"),
        ),
        (
            ["data", "stats", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
        (
            ["data", "stats", "sample:dev", "--plots", "file"],
            snapshot("file: is a file; expected a folder for the charts"),
        ),
        (
            ["data", "stats", "sample:dev", "--recipe", "qlore"],
            snapshot("qlore: no such file; expected a recipe in YAML; did you mean recipes/qlora.yaml?"),
        ),
        (
            ["data", "split", "sample:dev", "--out", "parts", "--dev", "2.5"],
            snapshot("--dev 2.5: expected a share between 0 and 1, or a number of rows"),
        ),
        (["data", "split", "sample:dev", "--out", "file"], snapshot("file: is a file; expected a folder")),
        (
            ["data", "split", "sample:dev", "--out", "file/in"],
            snapshot("file/in: cannot be made (Not a directory); choose another folder"),
        ),
        (
            ["data", "split", "sample:dev", "--out", "x" * 300],
            snapshot(
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot be used "
                "(File name too long); choose another folder"
            ),
        ),
        (
            ["data", "split", "sample:dev", "--out", "parts", "--dev", "nan"],
            snapshot("--dev nan: expected a share between 0 and 1, or a number of rows"),
        ),
        (
            ["data", "split", "sample:dev", "--out", "parts", "--dev", "1e400"],
            snapshot("--dev inf: expected a share between 0 and 1, or a number of rows"),
        ),
        (
            ["data", "check", "sample:dev", "--fix", "new"],
            snapshot("new: found a name without an ending; expected .csv, .jsonl, .parquet, .json"),
        ),
        (
            ["data", "check", "sample:dev", "--fix", "x" * 300 + ".csv"],
            snapshot(
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot be used "
                "(File name too long); choose another name"
            ),
        ),
        (
            ["data", "check", "no\nwhere.csv"],
            snapshot("no\\nwhere.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
        (
            ["data", "check", "대화\udce9.csv"],
            snapshot("대화\\udce9.csv: no such file; `llm-summ data sample DIR` writes an example"),
        ),
        (
            ["data", "split", "sample:dev", "--out=file/\n"],
            snapshot("file/\\n: cannot be made (Not a directory); choose another folder"),
        ),
        (["data", "sample", "file"], snapshot("file: is a file; expected a folder")),
        (["prompts", "plane"], snapshot("plane: no such prompt; did you mean plain?")),
        (
            ["prompts", "plain", "--data", "sample:dev", "--id", "x"],
            snapshot("--id x: not in sample:dev; it has dev_0 to dev_33"),
        ),
        (
            ["check", "nowhere.yaml"],
            snapshot(
                "nowhere.yaml: no such file; expected a recipe in YAML; bundled recipes: kobart.yaml, "
                "kobart-base-v2.yaml, mbart-large-50.yaml, pko-t5-large.yaml, qlora.yaml, "
                "qlora-exaone-4.0-32b.yaml, qlora-gemma-2-9b.yaml, qlora-kanana-1.5-8b.yaml, "
                "qlora-qwen3-14b.yaml, qlora-qwen3-8b.yaml, qlora-solar-10.7b.yaml, t5-large-korean.yaml"
            ),
        ),
    ],
)
def test_wrong_input_is_one_line(in_tmp: Path, arguments: list[str], said: str) -> None:
    Path("file").write_text("", encoding="utf-8")
    assert refused(llm_summ(*arguments)) == said
