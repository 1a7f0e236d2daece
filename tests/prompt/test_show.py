"""Templates in the form in which a command shows them: filled in with a dialogue of a file."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError, PromptError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.prompt import LengthTarget, load_template
from llm_summ.prompt.show import describe_template, fill_in

ROWS = [
    (
        "a_1",
        "#Person1#: 책을 어디로 보내 드릴까요?\n#Person2#: 집으로 보내 주세요." + " 네." * 50,
        "가" * 200,
        "배송",
    ),
    ("a_2", "#Person1#: 책을 집으로 보내 주세요.\n#Person2#: 네.", "책을 집으로 보낸다.", "책"),
    ("a_3", "#Person1#: 날씨가 좋네요.\n#Person2#: 산책 가요.", "산책을 간다.", "날씨"),
    ("a_4", "#Person1#: 책을 어디에 두었어요?\n#Person2#: 책상 위에요.", "책이 책상에 있다.", "책"),
]


def _write(path: Path, rows: list[tuple[str, str, str, str]], columns: int = 4) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("fname", "dialogue", "summary", "topic")[:columns])
        writer.writerows(row[:columns] for row in rows)
    return str(path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return _write(tmp_path / "rows.csv", ROWS)


def test_the_first_dialogue_or_the_one_that_is_named(source: str) -> None:
    system, user = fill_in(load_template("plain"), source, None)
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"] == f"### 대화\n{ROWS[0][1]}\n\n### 요약"
    assert ROWS[2][1] in fill_in(load_template("plain"), source, "a_3")[1]["content"]


def test_no_summaries_are_needed_where_the_template_takes_nothing_from_them(tmp_path: Path) -> None:
    source = _write(tmp_path / "bare.csv", ROWS[:1], columns=2)
    assert ROWS[0][1] in fill_in(load_template("plain"), source, "a_1")[1]["content"]
    for template in ("length", "few-shot"):
        with raises(DataError) as error:
            fill_in(load_template(template), source, "a_1")
        assert error.message == snapshot(
            "…/bare.csv: no column summary (or summary1, summary2 …); found fname, dialogue; this command "
            "needs references"
        )


def test_the_topic_is_the_dialogues(source: str) -> None:
    user = fill_in(load_template("topic"), source, "a_3")[1]["content"]
    assert user.startswith(f"### 주제\n날씨\n\n### 대화\n{ROWS[2][1]}")


def test_the_length_is_predicted_from_the_others(source: str) -> None:
    dialogues = read_dialogues(source, references=True)
    asked, *others = dialogues
    expected = LengthTarget.fit(others, 5).predict(asked)
    assert expected != LengthTarget.fit(dialogues, 5).predict(asked)  # its own summary is the longest by far
    assert f"### 분량\n{expected}자 안팎" in fill_in(load_template("length"), source, "a_1")[1]["content"]


def test_examples_are_the_two_most_similar_of_the_others(source: str) -> None:
    pytest.importorskip("bm25s", reason="the extra train is not installed")
    user = fill_in(load_template("few-shot"), source, "a_1")[1]["content"]
    shown = re.findall(r"### 대화\n(.*?)\n\n### 요약", user, re.DOTALL)
    assert shown == [ROWS[3][1], ROWS[1][1], ROWS[0][1]]
    assert ROWS[0][2] not in user


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "length",
            snapshot(
                "…/one.csv: has only one dialogue, but the prompt length takes length from other dialogues; name "
                "a file with more"
            ),
        ),
        (
            "few-shot",
            snapshot(
                "…/one.csv: has only one dialogue, but the prompt few-shot takes examples from other dialogues; "
                "name a file with more"
            ),
        ),
    ],
)
def test_one_dialogue_has_no_others(tmp_path: Path, template: str, message: str) -> None:
    source = _write(tmp_path / "one.csv", ROWS[:1])
    with raises(DataError) as error:
        fill_in(load_template(template), source, None)
    assert error.message == message


def test_an_id_that_is_not_there(source: str) -> None:
    with raises(DataError) as error:
        fill_in(load_template("plain"), source, "a_9")
    assert error.message == snapshot("--id a_9: not in …/rows.csv; it has a_1 to a_4")


def test_what_a_dialogue_lacks(tmp_path: Path, source: str) -> None:
    path = tmp_path / "strict.md"
    path.write_text(
        "---\nname: strict\ndescription: needs a topic\n---\n## user\n{{ topic }}: {{ dialogue }}\n"
        "## answer\n{{ summary }}\n",
        encoding="utf-8",
    )
    assert fill_in(load_template(str(path)), source, "a_2")[0]["content"] == f"책: {ROWS[1][1]}"
    bare = _write(tmp_path / "bare.csv", ROWS, columns=3)
    with raises(PromptError) as error:
        fill_in(load_template(str(path)), bare, "a_2")
    assert error.message == snapshot(
        "a_2: …/strict.md: section user: 'topic' is undefined; known here: dialogue, speakers, turns"
    )


def test_a_template_for_programs() -> None:
    template = load_template("few-shot")
    assert describe_template(template) == {
        "name": "few-shot",
        "description": template.description,
        "path": str(template.path),
        "variables": ["dialogue", "examples"],
        "sections": template.sections,
        "sha256": template.sha256,
    }
    assert template.messages(Dialogue("x", "네"))[1]["content"] == "### 대화\n네\n\n### 요약"
