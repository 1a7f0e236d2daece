"""Prompt templates: parsing, rendering, and a line for every error."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
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
    assert template.completion(" {{ 둘은 }} 만난다.\n") == "요약: {{ 둘은 }} 만난다."


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
    with raises(PromptError) as error:
        template.messages(Dialogue("x", "f"), examples=examples)
    assert error.message == snapshot(
        "x: …/mine.md: section user: 'length' is undefined; known here: dialogue, examples, speakers, turns"
    )


def test_white_space_around_an_answer_is_left_out(path: Path) -> None:
    path.write_text(FRONT + USER + "## answer\n\n  [{{ summary }}] \n\n", encoding="utf-8")
    assert load_template(str(path)).completion(" 가 나 ") == "[가 나]"


def test_the_bundled_templates() -> None:
    templates = bundled_templates()
    assert {template.name: set(template.variables) for template in templates} == {
        "call": {"dialogue"},
        "chat": {"dialogue"},
        "dialogue": {"dialogue"},
        "dialogue-topic": {"dialogue", "topic"},
        "english": {"dialogue"},
        "expert": {"dialogue"},
        "few-shot": {"dialogue", "examples"},
        "length": {"dialogue", "length"},
        "meeting": {"dialogue"},
        "merge": {"dialogue"},
        "plain": {"dialogue"},
        "summarize": {"dialogue"},
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
        ("plian", snapshot("plian: no such prompt; did you mean plain?")),
        (
            "nothing-like-it",
            snapshot(
                "nothing-like-it: no such prompt; bundled prompts: call, chat, dialogue, dialogue-topic, english, "
                "expert, few-shot, length, meeting, merge, plain, summarize, topic"
            ),
        ),
        ("elsewhere/plain.md", snapshot("elsewhere/plain.md: no such prompt; did you mean plain?")),
    ],
)
def test_no_such_template(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with raises(PromptError) as error:
        load_template(name)
    assert error.message == message


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()
    with raises(PromptError) as error:
        load_template(str(path))
    assert error.message == snapshot(
        "…/mine.md: no such prompt; bundled prompts: call, chat, dialogue, dialogue-topic, english, "
        "expert, few-shot, length, meeting, merge, plain, summarize, topic"
    )


def test_a_file_in_another_encoding(path: Path) -> None:
    path.write_bytes((FRONT + "## user\n대화 {{ dialogue }}\n" + ANSWER).encode("cp949"))
    with raises(PromptError) as error:
        load_template(str(path))
    assert error.message == snapshot(
        "…/mine.md: cannot be read ('utf-8' codec can't decode byte 0xb4 in position 54: invalid start "
        "byte); expected a prompt in Markdown, UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", snapshot("…/mine.md:1: no front matter; expected --- name: … description: … ---")),
        (
            "\n" + FRONT + USER + ANSWER,
            snapshot("…/mine.md:1: no front matter; expected --- name: … description: … ---"),
        ),
        ("---\nname: a\n---\n" + USER + ANSWER, snapshot("…/mine.md:1: front matter without description")),
        ("---\ndescription: a\nname:\n---\n" + USER + ANSWER, snapshot("…/mine.md:1: front matter without name")),
        (
            FRONT + "Summarise.\n" + USER + ANSWER,
            snapshot("…/mine.md: text before the first section; expected ## system, ## user or ## answer"),
        ),
        (
            FRONT + "Summarise.\n",
            snapshot("…/mine.md: text before the first section; expected ## system, ## user or ## answer"),
        ),
        (
            FRONT + USER + "## summary\n" + ANSWER,
            snapshot(
                "…/mine.md:7: ## summary: no such section; expected ## system, ## user or ## answer; use ### for "
                "headings of your own"
            ),
        ),
        (
            FRONT + "## user\n## 한국어 요약\n{{ dialogue }}\n" + ANSWER,
            snapshot(
                "…/mine.md:6: ## 한국어 요약: no such section; expected ## system, ## user or ## answer; use ### "
                "for headings of your own"
            ),
        ),
        (
            "---\nname: a\ntemperature: 1\n---\n",
            snapshot("…/mine.md:3: front matter: temperature: unknown field; known fields: name, description"),
        ),
        (
            "---\nnmae: a\n---\n" + USER,
            snapshot("…/mine.md:2: front matter: nmae: unknown field; did you mean name?"),
        ),
        (
            "---\nname: a\n\n# a remark\ndescription: a\nname: b\n---\n",
            snapshot("…/mine.md:6: front matter: name: duplicate field; remove one of the lines"),
        ),
        (
            "---\nname: a\ndescription\n---\n",
            snapshot("…/mine.md:3: front matter: found 'description', expected name: … or description: …"),
        ),
        (
            FRONT + USER + ANSWER + USER,
            snapshot("…/mine.md:9: section user: expected each of system, user, answer at most once"),
        ),
        (FRONT, snapshot("…/mine.md: no section ## user")),
        (FRONT + ANSWER, snapshot("…/mine.md: no section ## user")),
        (FRONT + USER, snapshot("…/mine.md: no section ## answer")),
        (
            FRONT + "## user\n\n\n{{ dialogue\n" + ANSWER,
            snapshot(
                "…/mine.md:8: section user: not valid Jinja: unexpected end of template, expected 'end of print "
                "statement'."
            ),
        ),
        (
            FRONT + "## user\nfirst\n{{ dialogue | shout }}\n" + ANSWER,
            snapshot("…/mine.md:7: section user: not valid Jinja: No filter named 'shout'."),
        ),
        (
            FRONT + "## user\n{{ dialoge }}\n" + ANSWER,
            snapshot("…/mine.md:6: section user: unknown variable dialoge; did you mean dialogue?"),
        ),
        (
            FRONT + "## system\n{{ fname }}\n" + USER + ANSWER,
            snapshot(
                "…/mine.md:6: section system: unknown variable fname; known here: dialogue, turns, speakers, "
                "topic, length, examples"
            ),
        ),
        (
            FRONT + USER + "## answer\n{{ dialogue }}: {{ summary }}\n",
            snapshot("…/mine.md:8: section answer: unknown variable dialogue; known here: summary"),
        ),
        # Random output would not give the same prompt twice.
        (
            FRONT + "## system\n{{ lipsum() }}\n" + USER + ANSWER,
            snapshot(
                "…/mine.md:6: section system: unknown variable lipsum; known here: dialogue, turns, speakers, "
                "topic, length, examples"
            ),
        ),
        (
            FRONT + "## system\n{{ cycler() }}\n" + USER + ANSWER,
            snapshot(
                "…/mine.md:6: section system: unknown variable cycler; known here: dialogue, turns, speakers, "
                "topic, length, examples"
            ),
        ),
        (
            FRONT + "## system\n{{ joiner() }}\n" + USER + ANSWER,
            snapshot(
                "…/mine.md:6: section system: unknown variable joiner; known here: dialogue, turns, speakers, "
                "topic, length, examples"
            ),
        ),
        (
            FRONT + "## user\n{{ dialogue }}\n{{ turns | random }}\n" + ANSWER,
            snapshot("…/mine.md:7: section user: not valid Jinja: No filter named 'random'."),
        ),
        (
            FRONT
            + "## user\n{{ dialogue }}\n\n{% if topic is defined %}{{ turns | random }}{% endif %}\n"
            + ANSWER,
            snapshot("…/mine.md:8: section user: not valid Jinja: No filter named 'random'."),
        ),
        (
            FRONT + "## user\n{% if topic is known %}{{ dialogue }}{% endif %}\n" + ANSWER,
            snapshot("…/mine.md:6: section user: not valid Jinja: No test named 'known'."),
        ),
        # A word is not a variable.
        (
            FRONT + "## user\nSummarise the dialogue.\n" + ANSWER,
            snapshot("…/mine.md:6: section user does not use {{ dialogue }} or {{ turns }}"),
        ),
        (
            FRONT + "## user\n{{ dialogue }}\n\ue0001\ue001\n" + ANSWER,
            snapshot("…/mine.md:7: found the private character U+E000, which marks hidden text; remove it"),
        ),
        (
            FRONT + USER + "## answer\nsummary\n",
            snapshot("…/mine.md:8: section answer does not use {{ summary }}"),
        ),
    ],
)
def test_what_is_wrong_with_a_template(path: Path, text: str, message: str) -> None:
    with raises(PromptError) as error:
        _load(path, text)
    assert error.message == message


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
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "maximum recursion depth exceeded"),
        ("{{ dialogue * 999999999 }}", "* makes more than 1,000,000 characters or items"),
        ("{{ 1000000 * turns * 2 }}", "* makes more than 1,000,000 characters or items"),
        ("{{ 9 ** 999999999 }}", "** with more than 64"),
        ("{{ dialogue.center(2 ** 63 - 1) }}", "MemoryError"),
        ("{{ dialogue.center(2 ** 64) }}", "too large"),
        # The address of an object differs every time.
        ("{{ dialogue.upper }}", "found a builtin_function_or_method, expected a text; add | join, or () to call"),
        ("{{ turns | map('upper') }}", "found a generator, expected a text; add | join"),
        ("{{ turns | map('random') | list }}", "No filter named 'random'"),
    ],
)
def test_what_goes_wrong_with_a_dialogue(path: Path, expression: str, reason: str) -> None:
    path.write_text(FRONT + "## user\n{{ dialogue }}" + expression + "\n" + ANSWER, encoding="utf-8")
    template = load_template(str(path))
    with pytest.raises(PromptError) as caught:
        template.messages(Dialogue("train_7", "#Person1#: 네"))
    message = str(caught.value)
    assert re.fullmatch(
        re.escape(f"train_7: {path}: section user: ")
        + f".*{re.escape(reason)}.*; known here: dialogue, speakers, turns",
        message,
    )
    assert message.count("train_7") == 1


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "maximum recursion depth exceeded"),
        ("{% for a in turns %}" * 25 + "{% endfor %}" * 25, "too many statically nested blocks"),
    ],
)
def test_a_template_that_is_nested_too_deeply_is_refused_when_it_is_read(
    path: Path, expression: str, reason: str
) -> None:
    message = f"^{re.escape(f'{path}:8: section user: cannot be compiled: ')}.*{reason}.*; nest .* less deeply$"
    with pytest.raises(PromptError, match=message):  # the reasons are Python's words
        _load(path, FRONT + "## system\nBe short.\n## user\n{{ dialogue }}" + expression + "\n" + ANSWER)


def test_deterministic_functions_are_available(path: Path) -> None:
    user = (
        "## user\n{% set kept = namespace(n=0) %}{% for turn in turns %}{% set kept.n = kept.n + 1 %}{% endfor %}"
    )
    user += "{{ kept.n }} {{ dict(a=1).a }} {{ range(3) | join }} {{ 'ab' * 2 }} {{ 2 * 3 ** 2 }}{{ dialogue }}\n"
    path.write_text(FRONT + user + ANSWER, encoding="utf-8")
    assert load_template(str(path)).messages(Dialogue("x", "a\nb"))[0]["content"] == "2 1 012 abab 18a\nb"


def test_a_template_keeps_the_text_of_its_file(path: Path) -> None:
    text = FRONT + USER + ANSWER
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    template = load_template(str(path))
    path.unlink()
    assert template.text == text
    assert text not in repr(template)
    path.write_text(template.text, encoding="utf-8", newline="")
    assert load_template(str(path)) == template
    assert load_template(str(path)).sha256 == template.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_what_goes_wrong_with_a_summary(path: Path) -> None:
    path.write_text(FRONT + USER + "## answer\n{{ summary[:1 // 0] }}\n", encoding="utf-8")
    # Python's words for the reason change with its versions.
    with pytest.raises(PromptError, match=r"mine\.md: section answer: [^:]* by zero; known here: summary$"):
        load_template(str(path)).completion("요약")
