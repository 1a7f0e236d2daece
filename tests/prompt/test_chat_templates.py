"""Chat templates with difficult properties: dates, missing roles, errors, unusual stop tokens."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises
from model_families import CHATML, byte_level, make_tokenizer, renderer_with, text_of, with_pieces

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.prompt import Renderer, load_template

DIALOGUE = Dialogue("train_7", "#Person1#: 안녕하세요.\n#Person2#: 네, 안녕하세요.")
SYSTEM = load_template("plain").sections["system"]

ONLY_USER = "{% for m in messages if m.role != 'system' %}<u>{{ m.content }}{% endfor %}"

STRFTIME = "{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S') }}"
# As in Llama 3.2, and as in Llama 3.1.
DATE_OR_NOW = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
DATE_OR_FIXED = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"


def _tokenizer(template: str, *plain: str) -> Any:
    return byte_level(["</s>", "<u>"], eos="</s>", template=template, plain=plain)


def _text(tokenizer: Any, dialogue: Dialogue = DIALOGUE, template: str = "plain") -> str:
    return text_of(tokenizer, Renderer(tokenizer, load_template(template)).prompt(dialogue).prompt_ids)


# --- The system role ----------------------------------------------------------------------------------


def test_an_instruction_that_a_chat_template_leaves_out_opens_the_users_message() -> None:
    text = _text(_tokenizer(ONLY_USER))
    assert text.startswith(f"<u>{SYSTEM}\n\n### 대화\n#Person1#: 안녕하세요.")
    assert text.count("<u>") == text.count(SYSTEM) == 1


def test_an_instruction_is_where_the_chat_template_puts_it() -> None:
    assert _text(make_tokenizer("chatml")).startswith(
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
    )


@pytest.mark.parametrize(
    "template", ["once", "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"]
)
def test_a_chat_template_that_leaves_out_the_dialogue_is_refused(template: str) -> None:
    with raises(PromptError) as error:
        Renderer(_tokenizer(template), load_template("plain"))
    assert error.message == snapshot(
        "the model's chat template leaves out the user's message; set prompt.chat to never"
    )
    assert renderer_with(_tokenizer(template), load_template("plain"), chat="never").prompt(DIALOGUE).prompt_ids


# --- The date -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "written"),
    [
        (STRFTIME, "26 Jul 2024|2024-07-26 00:00:00"),
        (DATE_OR_NOW + "{{ date_string }}", "26 Jul 2024"),
        (DATE_OR_FIXED + "{{ date_string }}", "26 Jul 2024"),
        ("{{ date_string }}", "26 Jul 2024"),
        ("{% macro today() %}{{ strftime_now('%j') }}{% endmacro %}{{ today() }}", "208"),
    ],
)
def test_every_day_has_the_same_date(date: str, written: str) -> None:
    assert _text(_tokenizer(date + "/" + ONLY_USER)).startswith(f"{written}/<u>")


def test_a_moment_later_the_prompt_is_the_same() -> None:
    renderer = Renderer(_tokenizer("{{ strftime_now('%f') }}" + ONLY_USER), load_template("plain"))
    before = renderer.prompt(DIALOGUE)
    time.sleep(0.001)
    assert renderer.prompt(DIALOGUE) == before


# --- Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages + 1 }}", "can only concatenate list"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages[0].content.index('?????') }}", "substring not found"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "maximum recursion depth exceeded"),
        ("{% for a in messages %}" * 25 + "{% endfor %}" * 25, "too many statically nested blocks"),
        ("{{ no_such_function() }}", "'no_such_function' is undefined"),
        ("{% if %}", "Expected an expression"),
    ],
)
def test_what_goes_wrong_with_a_chat_template(template: str, reason: str) -> None:
    message = f"^the model's chat template refuses this prompt: .*{re.escape(reason)}.*$"
    # The reasons are the words of Python and Jinja.
    with pytest.raises(PromptError, match=message):
        Renderer(_tokenizer(template), load_template("plain"))


def test_what_goes_wrong_with_a_dialogue_begins_with_its_id() -> None:
    fails = "{% if '안녕' in messages[-1].content %}{{ messages + 1 }}{% endif %}" + ONLY_USER
    renderer = Renderer(_tokenizer(fails), load_template("plain"))
    assert renderer.prompt(Dialogue("other", "#Person1#: 네.")).prompt_ids
    with raises(PromptError) as error:
        renderer.example(DIALOGUE, "둘은 만난다.")
    assert error.message == snapshot(
        'train_7: the model\'s chat template refuses this prompt: can only concatenate list (not "int") to list'
    )


def test_what_goes_wrong_with_a_summary_begins_with_the_dialogues_id(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_text(
        "---\nname: mine\ndescription: mine\n---\n## user\n{{ dialogue }}\n## answer\n{{ summary[0] + 1 }}\n",
        encoding="utf-8",
    )
    renderer = Renderer(make_tokenizer("base"), load_template(str(path)))
    with raises(PromptError) as error:
        renderer.example(DIALOGUE, "둘은 만난다.")
    assert error.message == snapshot(
        'train_7: …/mine.md: section answer: can only concatenate str (not "int") to str; known here: summary'
    )


# --- Stop tokens that are not special -----------------------------------------------------------------


def _with_a_plain_stop(kind: str) -> Any:
    if kind == "byte-level":
        return make_tokenizer("plain-stop")
    tokenizer = with_pieces(template=CHATML.replace("<|im_end|>", "[END]"), adds_bos=False)
    tokenizer.add_tokens(["[END]"])
    return tokenizer


@pytest.mark.parametrize("kind", ["byte-level", "pieces"])
@pytest.mark.parametrize("summary", ["요약 [END] 더", "[END]", "[END][END]끝", "네.[END]", " [END]\n[END] "])
def test_the_text_of_a_stop_token_does_not_stop(kind: str, summary: str) -> None:
    tokenizer = _with_a_plain_stop(kind)
    renderer = Renderer(tokenizer, load_template("plain"))
    assert tokenizer.convert_ids_to_tokens(renderer.stop_id) == "[END]"
    assert not tokenizer.added_tokens_decoder[renderer.stop_id].special
    row = renderer.example(DIALOGUE, summary)
    assert renderer.stop_id not in row.completion_ids
    assert renderer.decode([*row.completion_ids, row.stop_id, *row.prompt_ids]) == summary.strip()


@pytest.mark.parametrize("kind", ["byte-level", "pieces"])
def test_the_text_of_a_stop_token_in_a_dialogue_is_text(kind: str) -> None:
    tokenizer = _with_a_plain_stop(kind)
    renderer = Renderer(tokenizer, load_template("topic"))
    said = "#Person1#: [END]라고 써 봐.\n#Person2#: [END][END]?"
    row = renderer.prompt(Dialogue("x", said, topic="[END]"))
    innocent = renderer.prompt(Dialogue("x", said.replace("[END]", "끝"), topic="끝"))
    stop = renderer.stop_id
    assert row.prompt_ids.count(stop) == innocent.prompt_ids.count(stop) == 2  # of the system and user messages
    # SentencePiece tokenizers add a space around the text of a special token.
    text = text_of(tokenizer, row.prompt_ids)
    assert said in text if kind == "byte-level" else "".join(said.split()) in "".join(text.split())


def test_the_tokenizer_itself_stays_as_it_is() -> None:
    tokenizer = _tokenizer(CHATML.replace("<|im_end|>", "[END]"), "[END]")
    before = tokenizer.backend_tokenizer.to_str()
    Renderer(tokenizer, load_template("plain")).example(DIALOGUE, "요약 [END] 더")
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer.decode([tokenizer.convert_tokens_to_ids("[END]")], skip_special_tokens=True) == "[END]"


def test_a_completion_whose_stop_token_cannot_be_text_is_refused() -> None:
    tokenizer = _tokenizer(CHATML.replace("<|im_end|>", "[END]"), "[END]")

    class Lower(type(tokenizer)):  # type: ignore[misc]
        def encode(self, text: str, **options: Any) -> list[int]:
            return list(super().encode(text.replace("GO", "go"), **options))

    tokenizer.add_special_tokens({"additional_special_tokens": ["GO"]})  # so that its backend is not used
    tokenizer.__class__ = Lower
    renderer = Renderer(tokenizer, load_template("plain"))
    assert renderer.example(DIALOGUE, "둘은 만난다.").completion_ids
    with raises(PromptError) as error:
        renderer.example(DIALOGUE, "요약 [END] 더")
    assert error.message == snapshot(
        "train_7: the completion contains the stop token, and this tokenizer cannot encode it as plain "
        "text; remove it from the summary or the prompt's section answer"
    )
