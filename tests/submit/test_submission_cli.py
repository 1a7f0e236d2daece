"""The command `submit`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inline_snapshot import snapshot
from messages import plain
from submissions import GOOD, IDS, PLAIN_GOOD, SAMPLE, TEXTS
from test_submission_write import make_run

from llm_summ.cli.submit import submit
from llm_summ.core.errors import InputError
from llm_summ.data import read_dialogues

WANTED = "submission.csv: 6 rows, compared with sample_submission.csv: no findings"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(submit, arguments)


def refused(*arguments: str) -> str:
    """Return the only line of an error."""
    error = run(*arguments).exception
    assert isinstance(error, InputError), error
    assert "\n" not in str(error)
    return plain(str(error))


@pytest.fixture
def there(in_tmp: Path) -> Path:
    """Make a folder with a sample and predictions."""
    Path("sample_submission.csv").write_text(SAMPLE, encoding="utf-8")
    Path("texts.csv").write_text(PLAIN_GOOD, encoding="utf-8")
    return in_tmp


def test_a_good_file_is_one_line(there: Path) -> None:
    Path("submission.csv").write_text(GOOD, encoding="utf-8")
    done = run("--check", "submission.csv", "--sample", "sample_submission.csv", "--strict")
    assert (done.exit_code, done.output) == (0, f"{WANTED}\n")
    assert plain(run("--check", "submission.csv").stderr) == snapshot("Sample: sample_submission.csv\n")


def test_problems_and_notes_have_their_exit_codes(there: Path) -> None:
    Path("noted.csv").write_text(GOOD[:-1], encoding="utf-8")
    assert run("--check", "noted.csv").exit_code == 0
    assert run("--check", "noted.csv", "--strict").exit_code == 1
    done = run("--check", "texts.csv", "--json")
    assert done.exit_code == 0
    [finding] = json.loads(done.stdout)["findings"]
    assert (finding["kind"], finding["severity"]) == ("missing-index", "note")
    Path("extra.csv").write_text(GOOD.replace("test_7", "test_8"), encoding="utf-8")
    done = run("--check", "extra.csv", "--json")
    assert done.exit_code == 1
    assert {one["severity"] for one in json.loads(done.stdout)["findings"]} == {"problem"}


def test_predictions_become_a_submission(there: Path) -> None:
    done = run("--predictions", "texts.csv")
    assert (done.exit_code, done.stdout) == (0, "submission.csv\n")
    assert plain(done.stderr) == snapshot(
        "Sample: sample_submission.csv\nsubmission.csv: 6 rows, compared with sample_submission.csv: no findings\n"
    )
    assert Path("submission.csv").read_text(encoding="utf-8") == GOOD
    assert run("--predictions", "texts.csv").exit_code == 0
    Path("texts.csv").write_text(PLAIN_GOOD.replace("민수", "영수"), encoding="utf-8")
    assert refused("--predictions", "texts.csv") == snapshot(
        "--out submission.csv: is there already; choose another name, or replace it: --force"
    )
    assert run("--predictions", "texts.csv", "--force").exit_code == 0
    assert json.loads(run("--predictions", "texts.csv", "--json").stdout)["path"] == "submission.csv"


def test_what_was_written_with_a_problem_is_there_and_exits_with_1(there: Path) -> None:
    done = run("--predictions", "sample_submission.csv")
    assert (done.exit_code, done.stdout) == (1, "submission.csv\n")
    assert plain(done.stderr) == snapshot(
        "Sample: sample_submission.csv\n"
        "submission.csv: 6 rows, compared with sample_submission.csv\n"
        "\n"
        "problem placeholder: 6 places: the sample's own text, not a summary; generate it again\n"
        "  submission.csv:2 test_0 «요약문입니다.»\n"
        "  submission.csv:3 test_1 «요약문입니다.»\n"
        "  submission.csv:4 test_2 «요약문입니다.»\n"
        "  submission.csv:5 test_4 «요약문입니다.»\n"
        "  submission.csv:6 test_5 «요약문입니다.»\n"
        "  … and 1 more\n"
        "\n"
        "1 kind of problem\n"
        "submission.csv: written, with the problems above\n"
    )
    assert Path("submission.csv").read_text(encoding="utf-8") == SAMPLE
    Path("empty.csv").write_text(PLAIN_GOOD.replace(TEXTS[1], ""), encoding="utf-8")
    assert "--allow-empty" in refused("--predictions", "empty.csv", "--out", "out.csv")
    done = run("--predictions", "empty.csv", "--out", "out.csv", "--allow-empty")
    assert (done.exit_code, Path("out.csv").exists()) == (1, True)
    assert plain(done.stderr) == snapshot(
        "Sample: sample_submission.csv\n"
        "out.csv: 6 rows, compared with sample_submission.csv\n"
        "\n"
        "problem empty-summary: 1 place: neither a letter nor a figure: refused, or it scores 0; generate "
        "it again\n"
        "  out.csv:3 test_1 «»\n"
        "\n"
        "1 kind of problem\n"
        "out.csv: written, with the problems above\n"
    )


def test_notes_in_what_was_written_exit_with_1_if_strict(there: Path) -> None:
    Path("noted.csv").write_text(PLAIN_GOOD.replace("옮깁니다.", "옮깁니다"), encoding="utf-8")
    assert run("--predictions", "noted.csv").exit_code == 0
    assert run("--predictions", "noted.csv", "--strict").exit_code == 1


def test_a_runs_submission_lies_in_its_folder(there: Path) -> None:
    made = make_run(there)
    ids = [dialogue.id for dialogue in read_dialogues("sample:test")]
    Path("sample_submission.csv").write_text("fname,summary\n" + "".join(f"{one},-\n" for one in ids), "utf-8")
    done = run("--run", "mine")
    assert (done.exit_code, done.stdout) == (0, "runs/mine/submission.csv\n")
    assert plain(done.stderr) == snapshot(
        "Sample: sample_submission.csv\n"
        "Predictions: runs/mine/predictions/sample-test.hf.jsonl\n"
        "runs/mine/submission.csv: 32 rows, compared with sample_submission.csv: no findings\n"
    )
    [note] = made.submissions_path.read_text("utf-8").splitlines()
    assert json.loads(note)["out"] == "runs/mine/submission.csv"
    assert (made.path / "submission.csv").read_text("utf-8").splitlines()[
        1
    ] == f"{ids[0]},{ids[0]}의 요약을 적습니다."


def test_the_sample_is_looked_for_beside_the_data(there: Path) -> None:
    Path("data").mkdir()
    Path("sample_submission.csv").rename("data/sample_submission.csv")
    rows = "".join(f'{one},"#Person1#: 안녕하세요?\n#Person2#: 네, {one}입니다."\n' for one in IDS)
    Path("data/test.csv").write_text("fname,dialogue\n" + rows, encoding="utf-8")
    done = run("--predictions", "texts.csv", "--data", "data/test.csv")
    assert done.exit_code == 0
    assert plain(done.stderr) == snapshot(
        "Sample: data/sample_submission.csv\n"
        "submission.csv: 6 rows, compared with data/sample_submission.csv: no findings\n"
    )
    assert refused("--predictions", "texts.csv") == snapshot(
        "sample_submission.csv: not in the current folder; expected a sample submission; name it: --sample FILE"
    )


def test_wrong_input_is_one_line(there: Path) -> None:
    assert refused("--check", "nowhere.csv") == snapshot(
        "nowhere.csv: cannot be read (No such file or directory); expected a submission"
    )
    assert refused("--check", "texts.csv", "--sample", "nowhere.csv") == snapshot(
        "--sample nowhere.csv: no such file; expected the competition's sample submission"
    )
    assert refused("--check", "texts.csv", "--sample", ".") == snapshot(
        "--sample .: is a folder; expected the competition's sample submission"
    )
    assert refused("--predictions", "nowhere.csv") == snapshot(
        "nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"
    )
    assert refused() == snapshot(
        "runs: no finished run here; make one with `llm-summ sft recipes/qlora.yaml`, or change to the "
        "folder that has it"
    )
    Path("few.csv").write_text(f"fname,summary\n{IDS[0]},{TEXTS[0]}\n", encoding="utf-8")
    assert refused("--predictions", "few.csv") == snapshot(
        "few.csv: lacks 5 of the 6 ids of sample_submission.csv (test_1, test_2, test_4, test_5, test_7); "
        "generate them, or name the predictions of the sample's rows"
    )
    for options in (("--check", "texts.csv", "--force"), ("--run", "mine", "--predictions", "texts.csv")):
        assert run(*options).exit_code == 2


@pytest.mark.parametrize("role", ["assistant", "model", "user", "system", "Assistant", "[|assistant|]"])
def test_a_role_on_a_line_of_its_own_is_found_though_lines_are_joined(there: Path, role: str) -> None:
    rows = [[one, text] for one, text in zip(IDS, TEXTS, strict=True)]
    rows[1][1] = f"{role}\n{TEXTS[1]}"
    rows[2][1] = role
    Path("roles.csv").write_text("fname,summary\n" + "".join(f'{one},"{text}"\n' for one, text in rows), "utf-8")
    done = run("--predictions", "roles.csv", "--json")
    assert done.exit_code == 1
    [finding] = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "problem"]
    assert (finding["kind"], [place["id"] for place in finding["places"]]) == ("prompt-remains", IDS[1:3])
    # What was written is joined all the same, and the check of the file still finds it.
    assert f"{role} {TEXTS[1]}" in Path("submission.csv").read_text(encoding="utf-8")


def test_the_dialogues_of_a_checked_file_are_its_data(there: Path) -> None:
    text = (
        "#Person1#: 회의를 언제 열까요? 자료를 미리 나눠 드리고 장소도 정해야 합니다. 참석할 사람도요.\n"
        "#Person2#: 다음 주 {}요일에 엽시다. 장소는 삼 층 회의실이 좋겠고, 자료는 제가 나눠 드리겠습니다."
    )
    rows = "".join(f'{one},"{text.format(day)}"\n' for one, day in zip(IDS, "월화수목금토", strict=True))
    Path("test.csv").write_text("fname,dialogue\n" + rows, encoding="utf-8")
    Path("same.csv").write_text(GOOD.replace(TEXTS[1], TEXTS[0]).replace(TEXTS[2], TEXTS[0]), encoding="utf-8")
    done = run("--check", "same.csv", "--data", "test.csv", "--json")
    assert done.exit_code == 0
    [finding] = json.loads(done.stdout)["findings"]
    assert (finding["kind"], finding["severity"], len(finding["places"])) == ("repeated-summary", "note", 2)
    assert all("near-duplicates" in place["found"] for place in finding["places"])
    assert refused("--check", "same.csv", "--data", "dev.csv") == snapshot(
        "dev.csv: no such file; did you mean test.csv?"
    )
