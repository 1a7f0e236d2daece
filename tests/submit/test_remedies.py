"""What a message says to do, done: afterwards the submission has no problem."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from submissions import GOOD, IDS, LINES, PLAIN_GOOD, SAMPLE, TEXTS, with_text
from test_submission_format import FILES as FORMATS
from test_submission_ids import FILES as ID_FILES
from test_submission_texts import FILES as TEXT_FILES

from llm_summ.cli import cli
from llm_summ.data import dialogue_hash
from llm_summ.submit.rules import FAULT_RULES

ROLE = with_text('"assistant\n회의 자료를 보내기로 합니다."')
TWO_COLUMNS = PLAIN_GOOD.replace("fname", "id")
ALIKE = GOOD.replace(TEXTS[1], TEXTS[0]).replace(TEXTS[2], TEXTS[0]).replace(TEXTS[3], TEXTS[0])
HOPELESS = {"nothing but the separator"}
FILES: list[tuple[str, str | bytes, set[str]]] = [
    *(
        (name, content, set(found))
        for name, content, found in (*FORMATS, *ID_FILES, *TEXT_FILES)
        if name not in HOPELESS
    ),
    ("an id column without an index", TWO_COLUMNS, {"missing-column", "missing-index", "extra-column"}),
    ("a role's name", ROLE, {"prompt-remains"}),
    ("a refusal", with_text("요약을 생성할 수 없습니다."), {"no-summary"}),
    ("question marks", with_text("#Person1#? ?? ??? ???."), {"lost-hangul"}),
    ("no speaker", with_text("은 에게 회의 자료를 보냅니다."), {"lost-tag"}),
    ("a broken tag", with_text("#Person 1#은 회의 자료를 보냅니다."), {"broken-tag"}),
    ("an unknown mask", with_text("#Person#은 회의 자료를 보냅니다."), {"unknown-mask"}),
    ("a sign", with_text("#1번 회의 자료를 보냅니다."), {"stray-sign"}),
    ("four alike", ALIKE, {"repeated-summary"}),
]
SUBMIT = "llm-summ submit --predictions FILE"


def edited(old: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(old, new, text)


def again(_: str) -> str:
    """Return a file that was made again, or saved as the message says."""
    return GOOD


# What a user does in an editor, or the program that made the file; for some kinds a command does it, too.
EDITS: dict[str, Callable[[str], str]] = {
    "byte-order-mark": edited("^\ufeff", ""),
    "nul": edited("\0", ""),
    "separator": edited("[\t;]", ","),
    "sep-line": edited("^sep=,\n", ""),
    "repeated-header": edited("(?<=\n),fname,summary\n", ""),
    "extra-index": edited("(?m)^(7|),", ""),
    "extra-quotes": edited('"""', ""),
    "broken-tag": edited("# ?Person ?1 ?#", "#Person1#"),
    "unknown-mask": edited("#Person#", "#Person1#"),
    "literal-line-feed": edited(r"\\n", " "),
    "html": edited("&amp;|<br>", " "),
    "invisible-character": edited("\u200b", ""),
    "final-line-end": edited(r"(?<!\n)\Z", "\n"),
    "blank-line": edited(r"\n[ \n]+(?=\d)", "\n"),
    "outer-space": edited("(?<=,) |\u3000", ""),
    "double-space": edited(r" {2,}|\t", " "),
    "stray-sign": edited("#1번", "1번"),
    **dict.fromkeys(
        (
            "empty-file",
            "not-csv",
            "encoding",
            "counted-ids",
            "missing-id",
            "repeated-id",
            "empty-id",
            "missing-field",
        ),
        again,
    ),
    **dict.fromkeys(
        ("empty-summary", "null-text", "no-summary", "placeholder", "repeated-summary", "lost-hangul", "lost-tag"),
        again,
    ),
    **dict.fromkeys(
        ("lost-character", "not-nfc", "repetition", "not-korean", "long-summary", "short-summary"), again
    ),
    **dict.fromkeys(("missing-field", "no-full-stop"), again),
}


def run(*arguments: str) -> int:
    done = CliRunner().invoke(cli, arguments)
    return done.exit_code if done.exception is None or isinstance(done.exception, SystemExit) else 2


def kinds(path: str) -> set[str]:
    return {
        one["kind"]
        for one in json.loads(CliRunner().invoke(cli, ["submit", "--check", path, "--json"]).stdout)["findings"]
    }


@pytest.fixture
def broken(in_tmp: Path) -> Callable[[str | bytes], str]:
    """Return a function that writes a submission next to its sample."""
    Path("sample_submission.csv").write_text(SAMPLE, encoding="utf-8")

    def write(content: str | bytes) -> str:
        Path("broken.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return "broken.csv"

    return write


def with_command(command: str) -> list[tuple[str, str | bytes, str]]:
    """Files of which a kind's remedy names a command: their names, contents and the kind."""
    # One byte is lost; one summary is not there at all.
    other = {("a broken character", "encoding"), ("a row without a summary", "missing-field")}
    return [
        (name, content, kind)
        for name, content, found in FILES
        for kind in sorted(found)
        if command in FAULT_RULES[kind].remedy and not found & {"counted-ids", "missing-id"}
        if (name, kind) not in other and not (name == "an .xlsx" or name == "a .parquet")
    ]


@pytest.mark.parametrize(
    ("content", "kind"),
    [one[1:] for one in with_command(SUBMIT)],
    ids=[f"{one[2]}: {one[0]}" for one in with_command(SUBMIT)],
)
def test_submit_writes_what_its_check_could_read(
    broken: Callable[[str | bytes], str], content: str | bytes, kind: str
) -> None:
    path = broken(content)
    assert kind in kinds(path)
    assert run("submit", "--predictions", path) == 0
    assert kind not in kinds("submission.csv")


def test_post_removes_what_remains_of_a_prompt(broken: Callable[[str | bytes], str]) -> None:
    rows = "".join(f'{one},"#Person1#: 안녕하세요?\n#Person2#: 네, {one}입니다."\n' for one in IDS)
    Path("test.csv").write_text("fname,dialogue\n" + rows, encoding="utf-8")
    for content in (
        ROLE,
        with_text("요약: 회의 자료를 보내기로 합니다."),
        with_text("<s> 회의 자료를 보내기로 합니다.</s>"),
    ):
        path = broken(content)
        assert "prompt-remains" in kinds(path)
        [command] = re.findall("`llm-summ (post .*?)`", FAULT_RULES["prompt-remains"].remedy)
        names = {"FILE": path, "DATA": "test.csv", "OUT": "clean.csv"}
        words = [names.get(word, word) for word in command.split()]
        assert run(*words, "--force") == 0
        assert run("submit", "--predictions", "clean.csv", "--force") == 0
        assert kinds("submission.csv") == set()


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_enough(broken: Callable[[str | bytes], str], kind: str) -> None:
    examples = [content for _, content, found in FILES if kind in found and len(found) == 1]
    examples = examples or [content for _, content, found in FILES if kind in found]
    assert examples
    for content in examples:
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
        assert kind in kinds(broken(content))
        path = broken(EDITS[kind](text))
        if kind == "extra-index":  # the sample has one: the index is there twice, or not wanted
            continue
        assert kind not in kinds(path)
        assert run("submit", "--check", path) == 0


def test_every_kind_has_an_example_and_a_remedy_that_was_tried() -> None:
    assert {kind for _, _, found in FILES for kind in found} == set(FAULT_RULES)
    commands = {kind for kind, one in FAULT_RULES.items() if SUBMIT in one.remedy or "llm-summ post" in one.remedy}
    assert commands | set(EDITS) == set(FAULT_RULES)


RECORDS = [{"fname": one, "summary": text} for one, text in zip(IDS, TEXTS, strict=True)]
BY_ID = dict(zip(IDS, TEXTS, strict=True))


@pytest.mark.parametrize(
    "value",
    [
        RECORDS,
        [{"id": one["fname"], "output": one["summary"]} for one in RECORDS],
        {"data": RECORDS},
        BY_ID,
        {one: {"summary": text} for one, text in BY_ID.items()},
        {"fname": dict(enumerate(IDS)), "summary": dict(enumerate(TEXTS))},
        {"fname": IDS, "summary": TEXTS},
    ],
    ids=["records", "other names", "within", "by id", "objects by id", "columns", "lists"],
)
@pytest.mark.parametrize("name", ["texts.json", "texts.jsonl", "texts.csv", "texts.txt"])
def test_json_becomes_a_submission_whatever_it_is_called(
    broken: Callable[[str | bytes], str], value: object, name: str
) -> None:
    broken("")
    Path(name).write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    assert kinds(name) == {"not-csv"}
    assert run("submit", "--predictions", name) == 0
    assert Path("submission.csv").read_text(encoding="utf-8") == GOOD


def test_parquet_under_another_name(broken: Callable[[str | bytes], str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    broken("")
    parquet.write_table(pa.Table.from_pylist(RECORDS), "broken.csv")
    [finding] = json.loads(CliRunner().invoke(cli, ["submit", "--check", "broken.csv", "--json"]).stdout)[
        "findings"
    ]
    assert "give it the ending .parquet" in finding["places"][0]["found"]
    Path("broken.csv").rename("texts.parquet")
    assert run("submit", "--predictions", "texts.parquet") == 0


def test_no_text_is_lost_or_mixed_up(broken: Callable[[str | bytes], str]) -> None:
    # A line break without quotes; a comma without quotes; two rows of one id, with other texts
    assert run("submit", "--predictions", broken(with_text("자료를\n메일로, 오늘 보냅니다."))) == 0
    assert "자료를 메일로, 오늘 보냅니다." in Path("submission.csv").read_text(encoding="utf-8")
    for content in (
        TWO_COLUMNS + f"test_7,{TEXTS[0]}\n",
        TWO_COLUMNS.replace("test_7", "test_8"),
        "".join(f"test_{at},{text}\n" for at, text in enumerate(TEXTS)),
        TWO_COLUMNS.encode().replace("민수".encode(), "민수".encode()[:-1]),
        b"PK\x03\x04\x14\0\6\0",
    ):
        assert run("submit", "--predictions", broken(content), "--out", "other.csv") == 2
        assert not Path("other.csv").exists()


def test_data_say_what_ids_must_be_of_a_broken_file_too(broken: Callable[[str | bytes], str]) -> None:
    path = broken(TWO_COLUMNS)
    for ids, status in ((IDS, 0), (IDS[:-1], 2)):
        rows = "".join(f'{one},"#Person1#: 안녕하세요?\n#Person2#: 네, {one}입니다."\n' for one in ids)
        Path("test.csv").write_text("fname,dialogue\n" + rows, encoding="utf-8")
        assert run("submit", "--predictions", path, "--data", "test.csv", "--out", f"out{status}.csv") == status


def test_the_remedies_of_errors(broken: Callable[[str | bytes], str]) -> None:
    """Each with the option that its message names."""
    plain = broken(PLAIN_GOOD)
    empty = "empty.csv"
    Path(empty).write_text(PLAIN_GOOD.replace(TEXTS[1], "nan"), encoding="utf-8")
    assert run("submit", "--predictions", empty, "--out", "out.csv") == 2
    assert (
        run("submit", "--predictions", empty, "--out", "out.csv", "--allow-empty") == 1
    )  # written, with its problem
    assert run("submit", "--predictions", plain, "--out", "out.csv") == 2
    assert run("submit", "--predictions", plain, "--out", "out.csv", "--force") == 0
    Path("sample_submission.csv").rename("mine.csv")
    assert run("submit", "--check", "out.csv") == 2
    assert run("submit", "--check", "out.csv", "--sample", "mine.csv") == 0


def test_lines_of_the_good_file_are_what_they_were() -> None:
    assert "".join(LINES) == GOOD


def test_candidates_are_chosen_with_the_command_that_the_error_names(broken: Callable[[str | bytes], str]) -> None:
    broken("")
    dialogues = {one: f"#Person1#: 안녕하세요?\n#Person2#: 네, {one}입니다." for one in IDS}
    rows = "".join(f'{one},"{dialogue}",{BY_ID[one]}\n' for one, dialogue in dialogues.items())
    Path("test.csv").write_text("fname,dialogue,summary\n" + rows, encoding="utf-8")
    lines = [
        {
            "fname": one,
            "dialogue": dialogue_hash(dialogue),
            "summary": f"{BY_ID[one]} {'그리고 갑니다.' * sample}",
            "tokens": 9,
            "finish_reason": "stop",
            "sample": sample,
        }
        for one, dialogue in dialogues.items()
        for sample in range(3)
    ]
    Path("candidates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    arguments = ["eval", "test.csv", "--predictions", "candidates.jsonl"]
    error = CliRunner().invoke(cli, arguments).exception
    [command] = re.findall("llm-summ (select .*)", str(error))
    assert run(*command.split()) == 0
    assert run("eval", "test.csv", "--predictions", "chosen.csv", "--brief") == 0
    assert run("submit", "--predictions", "chosen.csv") == 0
