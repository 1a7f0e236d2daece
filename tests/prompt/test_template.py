"""Prompt templates: what is read, and one line for everything that can be wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_summ.data import Dialogue
from llm_summ.errors import PromptError
from llm_summ.prompt import bundled_templates, load_template
from llm_summ.recipe import bundled_dir

FRONT = "---\nname: mine\ndescription: for this test\n---\n"
USER = "## user\n{{ dialogue }}\n"
ANSWER = "## answer\n{{ summary }}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.md"


def _load(path: Path, text: str) -> object:
    path.write_text(text, encoding="utf-8", newline="")
    return load_template(str(path))


def test_the_parts_of_a_template(path: Path) -> None:
    path.write_text(
        FRONT + "## system\nBe short.\n\n## user\n{{ dialogue }}\n### 요약\n## answer\n요약: {{ summary }}\n",
        encoding="utf-8",
    )
    template = load_template(str(path))
    assert (template.name, template.description, template.path) == ("mine", "for this test", path)
    assert template.messages(Dialogue("x", "#Person1#: {{ 1 + 1 }}\n#Person2#: <b>")) == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "#Person1#: {{ 1 + 1 }}\n#Person2#: <b>\n### 요약"},
    ]
    assert template.answer(" {{ 둘은 }} 만난다.\n") == "요약: {{ 둘은 }} 만난다."


def test_the_system_section_may_be_left_out(path: Path) -> None:
    path.write_text(FRONT + USER + ANSWER, encoding="utf-8")
    assert load_template(str(path)).messages(Dialogue("x", "a")) == [{"role": "user", "content": "a"}]


def test_variables(path: Path) -> None:
    user = "## user\n{% for turn in turns %}{{ loop.index }}. {{ turn }}\n{% endfor %}"
    user += "{{ speakers | join(', ') }}{% if topic is defined %} ({{ topic }}){% endif %}{{ range(2) | list }}\n"
    path.write_text(FRONT + user + ANSWER, encoding="utf-8")
    template = load_template(str(path))
    text = "#Person2#: 네\n#Person1#: 아니요\n#Person2#: 네"
    spoken = "1. #Person2#: 네\n2. #Person1#: 아니요\n3. #Person2#: 네\n#Person2#, #Person1#"
    assert template.messages(Dialogue("x", text))[0]["content"] == f"{spoken}[0, 1]"
    assert template.messages(Dialogue("x", text, topic="답"))[0]["content"] == f"{spoken} (답)[0, 1]"


def test_every_text_of_a_dialogue_is_escaped(path: Path) -> None:
    user = "## user\nx{{ dialogue }}{{ turns | join }}{{ speakers | join }}{{ topic }}\n"
    path.write_text(FRONT + user + ANSWER, encoding="utf-8")
    dialogue = Dialogue("d", "#Person1#: x", topic="x")
    [message] = load_template(str(path)).messages(dialogue, lambda text: text.upper())
    assert message["content"] == "x#PERSON1#: X#PERSON1#: X#PERSON1#X"


def test_which_variables_a_template_uses(path: Path) -> None:
    system = "## system\n{% if length is defined %}{{ length }}{% endif %} topic {{ range(2) | length }}\n"
    user = "## user\n{% for turn in turns %}{{ turn }}{% endfor %}\n"
    path.write_text(FRONT + system + user + ANSWER, encoding="utf-8")
    template = load_template(str(path))
    assert template.variables == {"length", "turns"}
    assert template.uses("turns")
    assert not template.uses("topic")


def test_length_and_examples(path: Path) -> None:
    user = "## user\n{% for example in examples %}{{ example.dialogue }}={{ example.summary }};{% endfor %}"
    user += "{{ examples | length }} {{ length + 1 }} {{ dialogue }}\n"
    path.write_text(FRONT + user + ANSWER, encoding="utf-8")
    template = load_template(str(path))
    examples = [Dialogue("1", "a", (" b\n", "c"), topic="t"), Dialogue("2", "{{ d }}", ("e",))]
    messages = template.messages(Dialogue("x", "f"), str.upper, length=80, examples=examples)
    assert messages[0]["content"] == "A=B;{{ D }}=E;2 81 F"
    assert template.messages(Dialogue("x", "f"), length=80)[0]["content"] == "0 81 f"
    known = "known here: dialogue, examples, speakers, turns"
    with pytest.raises(PromptError, match=f"x: 'length' is undefined; {known}$"):
        template.messages(Dialogue("x", "f"), examples=examples)


def test_white_space_around_an_answer_is_left_out(path: Path) -> None:
    path.write_text(FRONT + USER + "## answer\n\n  [{{ summary }}] \n\n", encoding="utf-8")
    assert load_template(str(path)).answer(" 가 나 ") == "[가 나]"


def test_the_bundled_templates() -> None:
    templates = bundled_templates()
    assert {template.name: set(template.variables) for template in templates} == {
        "english": {"dialogue"},
        "expert": {"dialogue"},
        "few-shot": {"dialogue", "examples"},
        "length": {"dialogue", "length"},
        "plain": {"dialogue"},
        "topic": {"dialogue", "topic"},
    }
    assert [template.name for template in templates] == sorted(template.path.stem for template in templates)
    assert len({template.description for template in templates}) == len(templates)
    assert all(len(template.description) > 30 for template in templates)


def test_the_topic_is_named_where_there_is_one() -> None:
    template = load_template("topic")
    without, with_topic = (
        template.messages(Dialogue("x", "#Person1#: 네", topic=topic)) for topic in (None, "답")
    )
    assert "주제" not in str(without)
    assert with_topic[1]["content"].startswith("### 주제\n답\n\n### 대화\n#Person1#: 네")
    assert without[1]["content"].startswith("### 대화\n#Person1#: 네")


def test_line_ends_and_a_byte_order_mark_make_no_difference(path: Path) -> None:
    path.write_text(FRONT + USER + ANSWER, encoding="utf-8")
    plain = load_template(str(path))
    path.write_bytes(b"\xef\xbb\xbf" + (FRONT + USER + ANSWER).replace("\n", "\r\n").encode())
    assert load_template(str(path)) == plain


@pytest.mark.parametrize("name", ["plain", "plain.md", "prompts/plain.md"])
def test_bundled_templates_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_template(name).path == bundled_dir("prompts") / "plain.md"


def test_a_file_goes_before_a_bundled_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.md").write_text(FRONT + USER + ANSWER, encoding="utf-8")
    assert load_template("plain.md").name == "mine"
    assert load_template("plain").name == "plain"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plian", "plian: no such prompt; did you mean plain?"),
        (
            "nothing-like-it",
            "nothing-like-it: no such prompt; bundled prompts: english, expert, few-shot, length, plain, topic",
        ),
        ("elsewhere/plain.md", "elsewhere/plain.md: no such prompt; did you mean plain?"),
    ],
)
def test_no_such_template(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PromptError, match=f"^{re.escape(message)}$"):
        load_template(name)


def test_a_folder_is_no_template(path: Path) -> None:
    path.mkdir()
    with pytest.raises(PromptError, match="no such prompt"):
        load_template(str(path))


def test_a_file_in_another_encoding(path: Path) -> None:
    path.write_bytes((FRONT + "## user\n대화 {{ dialogue }}\n" + ANSWER).encode("cp949"))
    with pytest.raises(
        PromptError, match=r"mine\.md: cannot be read \(.*\); expected a prompt in Markdown, UTF-8"
    ):
        load_template(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: no front matter; expected --- name: … description: … ---"),
        ("\n" + FRONT + USER + ANSWER, ":1: no front matter; expected --- name: … description: … ---"),
        ("---\nname: a\n---\n" + USER + ANSWER, ":1: front matter without description"),
        ("---\ndescription: a\nname:\n---\n" + USER + ANSWER, ":1: front matter without name"),
        (
            FRONT + "Summarise.\n" + USER + ANSWER,
            ": text before the first section; expected ## system, ## user or ## answer",
        ),
        (FRONT + "Summarise.\n", ": text before the first section; expected ## system, ## user or ## answer"),
        (
            FRONT + USER + "## summary\n" + ANSWER,
            ":7: section summary: expected each of system, user, answer at most once",
        ),
        (FRONT + USER + ANSWER + USER, ":9: section user: expected each of system, user, answer at most once"),
        (FRONT, ": no section ## user"),
        (FRONT + ANSWER, ": no section ## user"),
        (FRONT + USER, ": no section ## answer"),
        (FRONT + "## user\n\n\n{{ dialogue\n" + ANSWER, ":8: section user: not valid Jinja: "),
        (
            FRONT + "## user\nfirst\n{{ dialogue | shout }}\n" + ANSWER,
            ":7: section user: not valid Jinja: No filter",
        ),
        (
            FRONT + "## user\n{{ dialoge }}\n" + ANSWER,
            ":6: section user: unknown variable dialoge; did you mean dialogue?",
        ),
        (
            FRONT + "## system\n{{ fname }}\n" + USER + ANSWER,
            ":6: section system: unknown variable fname; known here: dialogue, turns, speakers, topic, length, "
            "examples",
        ),
        (
            FRONT + USER + "## answer\n{{ dialogue }}: {{ summary }}\n",
            ":8: section answer: unknown variable dialogue; known here: summary",
        ),
        # A word is not a variable.
        (
            FRONT + "## user\nSummarise the dialogue.\n" + ANSWER,
            ":6: section user does not use {{ dialogue }} or {{ turns }}",
        ),
        (
            FRONT + "## user\n{{ dialogue }}\n\ue0001\ue001\n" + ANSWER,
            ":7: found the private character U+E000, which marks hidden text; remove it",
        ),
        (FRONT + USER + "## answer\nsummary\n", ":8: section answer does not use {{ summary }}"),
    ],
)
def test_what_is_wrong_with_a_template(path: Path, text: str, message: str) -> None:
    with pytest.raises(PromptError, match=f"^{re.escape(f'{path}{message}')}"):
        _load(path, text)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{{ topic }}", "'topic' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ speakers + 1 }}", "can only concatenate"),
        ("{{ turns[7] }}", "no element 7"),
        ("{{ range(999999999) }}", "Range too big"),
        ("{{ dialogue.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{% include 'other' %}", "no loader"),
        ("{{ '%d' | format('a') }}", "%d format"),
    ],
)
def test_what_goes_wrong_with_a_dialogue(path: Path, expression: str, reason: str) -> None:
    path.write_text(FRONT + "## user\n{{ dialogue }}" + expression + "\n" + ANSWER, encoding="utf-8")
    template = load_template(str(path))
    start = re.escape(f"{path}: section user: train_7: ")
    with pytest.raises(
        PromptError, match=f"^{start}.*{re.escape(reason)}.*; known here: dialogue, speakers, turns$"
    ):
        template.messages(Dialogue("train_7", "#Person1#: 네"))


def test_what_goes_wrong_with_a_summary(path: Path) -> None:
    path.write_text(FRONT + USER + "## answer\n{{ summary[:1 // 0] }}\n", encoding="utf-8")
    with pytest.raises(PromptError, match=r"section answer: answer: .* by zero; known here: summary$"):
        load_template(str(path)).answer("요약")
