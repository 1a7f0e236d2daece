"""The renderer: golden prompts, what is dropped, special tokens, completions and errors."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from model_families import (
    BYTE_LEVEL,
    EXAMPLES,
    GEMMA,
    LENGTH,
    LOOK_ALIKES,
    byte_level,
    example_pool,
    make_tokenizer,
    renderer_with,
    special_ids,
    text_of,
    variables_for,
    with_pieces,
)

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue, Turn
from llm_summ.models.families.causal import IGNORED, input_ids, labels
from llm_summ.prompt import Renderer, TokenizedExample, load_template, make_renderer
from llm_summ.recipe import PromptFields

GOLDEN = Path(__file__).parent / "golden"  # rewritten by UPDATE_GOLDEN=1 pytest tests/prompt: read the diff
TEMPLATES = ("english", "expert", "few-shot", "length", "plain", "topic")
KINDS = (*BYTE_LEVEL, "pieces")

DIALOGUE = Dialogue(
    "train_7",
    "#Person1#: 주문하신 #Address#로 보내 드릴까요? 😀\n#Person2#: 네, #PhoneNumber#로 연락 주세요.\n\n"
    "(전화가 끊긴다)",
    topic="주문",
)
SUMMARY = "#Person2#는 #Person1#에게 #Address#로 물건을 보내 달라고 합니다."


def _target_ids(row: TokenizedExample) -> list[int]:
    return [label for label in labels(row) if label != IGNORED]


# --- Golden files -------------------------------------------------------------------------------------


def _drawn(tokenizer: Any, row: TokenizedExample) -> str:
    """A row as text, cut at the boundaries of its labels."""
    start = labels(row).count(IGNORED)
    assert labels(row) == [IGNORED] * start + input_ids(row)[start:]
    parts = {
        "prompt, ignored": input_ids(row)[:start],
        "completion": input_ids(row)[start:-1],
        "stop": [labels(row)[-1]],
    }
    return "".join(f"[{name}]\n{text_of(tokenizer, ids)}\n" for name, ids in parts.items())


def _renderer(tokenizer: Any, template: str) -> Renderer:
    parsed = load_template(template)
    # The same examples for every tokenizer, no matter how many tokens they have.
    return renderer_with(
        tokenizer,
        parsed,
        max_prompt_tokens=8000,
        max_examples_tokens=600,
        **variables_for(parsed, examples=2),
    )


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@pytest.mark.parametrize("template", TEMPLATES)
def test_golden(template: str, kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    drawn = _drawn(tokenizer, _renderer(tokenizer, template).example(DIALOGUE, SUMMARY))
    path = GOLDEN / f"{template}.{kind}.txt"
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(drawn, encoding="utf-8", newline="\n")
    assert drawn == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    wanted = {f"{template}.{kind}.txt" for template in TEMPLATES for kind in BYTE_LEVEL}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
    assert len(wanted) == 30


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES)
def test_golden_with_the_embedded_model(template: str, embedded_tokenizer: Any) -> None:
    drawn = _drawn(embedded_tokenizer, _renderer(embedded_tokenizer, template).example(DIALOGUE, SUMMARY))
    base = (GOLDEN / f"{template}.base.txt").read_text(encoding="utf-8")
    has_bos = embedded_tokenizer.encode("") == [embedded_tokenizer.bos_token_id]
    expected = base.replace("<s>", "<bos>" if has_bos else "").replace("</s>", "<eos>")
    assert drawn == expected


# --- What is dropped ----------------------------------------------------------------------------------


def test_the_modes_differ_in_what_they_drop() -> None:
    """Literal expected turns: which of six are kept if four, three or one fit."""
    lines = [f"#Person{1 + n % 2}#: {n}번째 말" for n in range(6)]
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    left = {}
    for mode in ("middle", "head", "tail"):
        for fits in (4, 3, 1):
            budget = len(Renderer(tokenizer, template).prompt(Dialogue("x", "\n".join(lines[:fits]))).prompt_ids)
            renderer = renderer_with(tokenizer, template, max_prompt_tokens=budget, truncation=mode)
            row = renderer.prompt(Dialogue("x", "\n".join(lines)))
            text = text_of(tokenizer, row.prompt_ids)
            left[mode, fits] = "".join(str(n) for n in range(6) if lines[n] in text)
            assert row.dropped_turns == 6 - fits
    assert left == {
        ("middle", 4): "0145",
        ("middle", 3): "045",
        ("middle", 1): "5",
        ("head", 4): "2345",
        ("head", 3): "345",
        ("head", 1): "5",
        ("tail", 4): "0125",
        ("tail", 3): "015",
        ("tail", 1): "5",
    }


@pytest.mark.parametrize("mode", ["middle", "head", "tail"])
def test_blank_lines_are_dropped_first_and_do_not_count_as_turns(mode: str) -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    said = "#Person1#: 안녕하세요.\n#Person2#: 네."
    budget = len(Renderer(tokenizer, template).prompt(Dialogue("x", said)).prompt_ids)
    renderer = renderer_with(tokenizer, template, max_prompt_tokens=budget, truncation=mode)  # type: ignore[arg-type]
    row = renderer.prompt(Dialogue("x", said.replace("\n", "\n \n\n") + "\n\n \n\n"))
    assert row.dropped_turns == 0
    assert said in text_of(tokenizer, row.prompt_ids)


def test_the_tokens_of_a_whole_prompt_are_counted_whatever_fits() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    long = Dialogue("x", "\n".join(f"#Person1#: {n}번째 말" for n in range(200)))
    count = Renderer(tokenizer, template).count_prompt_tokens(long)
    assert count > PromptFields().max_prompt_tokens
    exact = renderer_with(tokenizer, template, max_prompt_tokens=count, truncation="error")
    assert len(exact.prompt(long).prompt_ids) == count
    with raises(PromptError) as error:
        renderer_with(tokenizer, template, max_prompt_tokens=count - 1, truncation="error").prompt(long)
    assert error.message == snapshot(
        "x: prompt of 2360 tokens, at most 2359 allowed; raise prompt.max_prompt_tokens or set "
        "prompt.truncation to middle"
    )


def test_a_renderer_can_ask_for_one_length_only() -> None:
    tokenizer = make_tokenizer("base")
    renderer = Renderer(tokenizer, load_template("length"), length=LENGTH)
    asking = renderer.asking_for(58)
    assert (renderer.target_lengths, asking.target_lengths) == ((10, 30, 60), (60,))
    assert asking.prompt(DIALOGUE) == renderer.prompt(DIALOGUE, target_length=60)
    assert asking.messages(DIALOGUE) != renderer.messages(DIALOGUE)
    assert asking.count_prompt_tokens(DIALOGUE) == len(asking.prompt(DIALOGUE).prompt_ids)
    plain = Renderer(tokenizer, load_template("plain"))
    assert plain.target_lengths == ()
    with raises(PromptError) as error:
        plain.asking_for(58)
    assert error.message == snapshot(
        "REPOSITORY/prompts/plain.md: does not ask for a length, so none can be chosen; leave the length "
        "out, or train a run with prompt.template length"
    )


# --- Special tokens -----------------------------------------------------------------------------------


def test_a_turn_of_several_lines_is_kept_or_dropped_whole() -> None:
    turns = [Turn("A", f"가{number}\n나{number}", float(number)) for number in range(6)]
    dialogue = Dialogue.of_turns("a", turns)
    tokenizer = make_tokenizer("base")
    whole = Renderer(tokenizer, load_template("plain")).prompt(dialogue)
    assert whole == Renderer(tokenizer, load_template("plain")).prompt(Dialogue("a", dialogue.text))
    for less in range(1, 40):
        renderer = renderer_with(
            tokenizer, load_template("plain"), max_prompt_tokens=len(whole.prompt_ids) - less, truncation="middle"
        )
        row = renderer.prompt(dialogue)
        text = text_of(tokenizer, row.prompt_ids)
        kept = [number for number in range(6) if f"가{number}" in text]
        assert row.dropped_turns == 6 - len(kept) > 0
        assert [number for number in range(6) if f"A: 가{number}\n나{number}" in text] == kept


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        ("base", "</s>"),
        ("chatml", "<|im_end|>"),
        ("gemma", "<end_of_turn>"),
        ("solar", "</s>"),
        ("exaone", "[|endofturn|]"),
        ("pieces", "</s>"),
    ],
)
def test_the_stop_token(kind: str, stop: str) -> None:
    tokenizer = make_tokenizer(kind)
    renderer = Renderer(tokenizer, load_template("plain"))
    assert tokenizer.convert_ids_to_tokens(renderer.stop_id) == stop


def test_the_stop_token_without_the_chat_template_is_eos() -> None:
    renderer = renderer_with(make_tokenizer("chatml"), load_template("plain"), chat="never")
    assert not renderer.uses_chat
    assert renderer.stop_id == make_tokenizer("chatml").eos_token_id


def test_white_space_that_is_an_added_token_ends_nothing() -> None:
    template = GEMMA.replace("| trim + '<end_of_turn>", "| trim + '\\n<end_of_turn>")
    assert template != GEMMA
    special = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = byte_level(special, bos="<bos>", eos="<eos>", template=template, plain=("\n",))
    renderer = Renderer(tokenizer, load_template("plain"))
    assert tokenizer.convert_ids_to_tokens(renderer.stop_id) == "<end_of_turn>"


@pytest.mark.parametrize(
    ("kind", "added"), [("base", 1), ("chatml", 0), ("gemma", 1), ("solar", 1), ("exaone", 0)]
)
def test_one_bos_where_the_tokenizer_has_one(kind: str, added: int) -> None:
    tokenizer = make_tokenizer(kind)
    ids = input_ids(Renderer(tokenizer, load_template("plain")).example(DIALOGUE, SUMMARY))
    assert ids.count(tokenizer.bos_token_id) == added
    assert added == 0 or ids[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("kind", ["chatml", "gemma", "exaone"])
def test_ordinary_prompts_are_those_of_the_chat_template(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    renderer, template = Renderer(tokenizer, load_template("expert")), load_template("expert")
    messages = template.messages(DIALOGUE)
    if kind == "gemma":
        messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert list(renderer.prompt(DIALOGUE).prompt_ids) == ids


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@pytest.mark.parametrize("look_alike", LOOK_ALIKES)
def test_what_looks_like_a_special_token_is_text(kind: str, look_alike: str) -> None:
    tokenizer = make_tokenizer(kind)
    renderer = Renderer(tokenizer, load_template("plain"))
    said = f"#Person1#: {look_alike}{look_alike} 라고 {look_alike}"
    row = renderer.example(Dialogue("x", f"{said}\n#Person2#: 네", topic=look_alike), f"{look_alike}라고 한다.")
    plain = renderer.prompt(Dialogue("x", "#Person1#: 라고\n#Person2#: 네"))
    special = special_ids(tokenizer)
    assert [i for i in row.prompt_ids if i in special] == [i for i in plain.prompt_ids if i in special]
    assert said in text_of(tokenizer, row.prompt_ids)
    assert not special & set(row.completion_ids)
    assert renderer.decode(_target_ids(row)) == f"{look_alike}라고 한다."


def test_a_templates_own_special_tokens_stay_special(tmp_path: Path) -> None:
    path = tmp_path / "own.md"
    path.write_text(
        "---\nname: own\ndescription: a chat format written out\n---\n"
        "## user\n<|im_start|>{{ dialogue }}<|im_end|>{% for turn in turns %}{{ turn }}{% endfor %}\n"
        "## answer\n{{ summary }}\n",
        encoding="utf-8",
    )
    tokenizer = make_tokenizer("chatml")
    row = renderer_with(tokenizer, load_template(str(path)), chat="never").prompt(Dialogue("x", "a<|im_end|>b"))
    assert text_of(tokenizer, row.prompt_ids) == "<|im_start|>a<|im_end|>b<|im_end|>a<|im_end|>b\n"
    names = tokenizer.convert_ids_to_tokens([i for i in row.prompt_ids if i in special_ids(tokenizer)])
    assert names == ["<|im_start|>", "<|im_end|>"]


# --- Completions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "summary", [" 앞", "뒤 ", "뒤\n", "\n 둘 \n\n", "가\n나", "가  나", " . ' ! n't", "각힣😀"]
)
def test_a_completion_is_decoded_byte_for_byte(kind: str, summary: str) -> None:
    renderer = Renderer(make_tokenizer(kind), load_template("plain"))
    assert renderer.decode(_target_ids(renderer.example(DIALOGUE, summary))) == summary.strip()


def test_a_space_that_the_tokenizer_puts_in_front_is_taken_away() -> None:
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    renderer = Renderer(tokenizer, load_template("plain"))
    target_ids = _target_ids(renderer.example(DIALOGUE, "둘은 만난다."))
    assert tokenizer.decode(target_ids, skip_special_tokens=True) == " 둘은 만난다."
    assert renderer.decode(target_ids) == "둘은 만난다."


def test_clean_up_does_not_reach_the_text() -> None:
    tokenizer = with_pieces(cleans_up=True)
    renderer = Renderer(tokenizer, load_template("plain"))
    summary = "#Person1# 은 #Person2# 에게 don 't , 라고 했다 ."
    target_ids = _target_ids(renderer.example(DIALOGUE, summary))
    assert (
        tokenizer.decode(target_ids, skip_special_tokens=True) != summary
    )  # the clean-up that must not be applied
    assert renderer.decode(target_ids) == summary
    whole = "#Person1#은 #Person2#와 #PhoneNumber#로 통화했다."
    assert renderer.decode(_target_ids(renderer.example(DIALOGUE, whole))) == whole


# --- Errors -------------------------------------------------------------------------------------------


def test_always_needs_a_chat_template() -> None:
    with raises(PromptError) as error:
        renderer_with(make_tokenizer("base"), load_template("plain"), chat="always")
    assert error.message == snapshot(
        "prompt.chat is always, but this model's tokenizer has no chat template; set it to auto"
    )


def test_a_completion_must_be_able_to_end() -> None:
    with raises(PromptError) as error:
        Renderer(byte_level([]), load_template("plain"))
    assert error.message == snapshot(
        "this model's tokenizer has no end-of-sequence token; a completion could never end"
    )


def test_a_prompt_that_is_too_long_is_refused_on_demand() -> None:
    renderer = renderer_with(
        make_tokenizer("base"), load_template("plain"), max_prompt_tokens=50, truncation="error"
    )
    with raises(PromptError) as error:
        renderer.prompt(DIALOGUE)
    assert error.message == snapshot(
        "train_7: prompt of 129 tokens, at most 50 allowed; raise prompt.max_prompt_tokens or set "
        "prompt.truncation to middle"
    )


@pytest.mark.parametrize("text", ["#Person1#: 안녕", "#Person1#: 안녕\n#Person2#: 네", "\n \n"])
def test_an_instruction_that_does_not_fit_is_refused(text: str) -> None:
    renderer = renderer_with(make_tokenizer("base"), load_template("plain"), max_prompt_tokens=16)
    with raises(PromptError) as error:
        renderer.prompt(Dialogue("x", text))
    assert error.message == snapshot(
        "x: the instruction and one turn have more than 16 tokens; raise prompt.max_prompt_tokens"
    )


def test_a_completion_is_never_cut() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    size = len(Renderer(tokenizer, template).example(DIALOGUE, SUMMARY).completion_ids) + 1
    assert (
        len(_target_ids(renderer_with(tokenizer, template, max_answer_tokens=size).example(DIALOGUE, SUMMARY)))
        == size
    )
    with raises(PromptError) as error:
        renderer_with(tokenizer, template, max_answer_tokens=size - 1).example(DIALOGUE, SUMMARY)
    assert error.message == snapshot(
        "train_7: completion of 30 tokens, at most 29 allowed; raise prompt.max_answer_tokens or shorten "
        "the summary"
    )


def test_a_chat_template_that_refuses_the_prompt_says_why() -> None:
    refuses = "{{ raise_exception('no roles at all') }}"
    tokenizer = byte_level(["</s>"], eos="</s>", template=refuses)
    with raises(PromptError) as error:
        Renderer(tokenizer, load_template("plain"))
    assert error.message == snapshot("the model's chat template refuses this prompt: no roles at all")


def test_too_long_completions_can_be_distinguished_from_prompts_that_do_not_fit() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    size = len(Renderer(tokenizer, template).example(DIALOGUE, SUMMARY).completion_ids) + 1
    renderer = renderer_with(tokenizer, template, max_prompt_tokens=16, max_answer_tokens=size)
    assert renderer.max_answer_tokens == size == renderer.completion_tokens(SUMMARY)
    assert renderer.completion_tokens(f"\n{SUMMARY} ") == size
    assert renderer.completion_tokens(SUMMARY * 2) > size
    with raises(PromptError) as error:
        renderer.example(DIALOGUE, SUMMARY)
    assert error.message == snapshot(
        "train_7: the instruction and one turn have more than 16 tokens; raise prompt.max_prompt_tokens"
    )


@pytest.mark.parametrize(
    ("template", "given", "message"),
    [
        (
            "few-shot",
            {},
            snapshot(
                "REPOSITORY/prompts/few-shot.md: uses examples, but prompt.examples is 0; set it to 3, for "
                "example, or choose another prompt.template"
            ),
        ),
        (
            "plain",
            {"pool": True, "examples": 2},
            snapshot(
                "prompt.examples is 2, but the prompt plain does not use examples; set it to 0, or "
                "prompt.template to few-shot"
            ),
        ),
        (
            "few-shot",
            {"examples": 2},
            snapshot(
                "prompt.examples is 2, but there are no training dialogues to take examples from; set it to 0 and "
                "choose another prompt.template, or give the renderer an ExamplePool"
            ),
        ),
        (
            "length",
            {},
            snapshot(
                "REPOSITORY/prompts/length.md: uses length, but no LengthTarget was fitted to training summaries; "
                "choose another prompt.template, or give the renderer a LengthTarget"
            ),
        ),
    ],
)
def test_a_template_gets_what_it_asks_for(template: str, given: dict[str, Any], message: str) -> None:
    parsed = load_template(template)
    if given.get("pool"):
        given = given | {"pool": example_pool()}
    with raises(PromptError) as error:
        renderer_with(make_tokenizer("base"), parsed, **given)
    assert error.message == message


def test_what_a_template_does_not_ask_for_changes_nothing() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    plain = Renderer(tokenizer, template).example(DIALOGUE, SUMMARY)
    given = Renderer(tokenizer, template, length=LENGTH, examples=example_pool())
    assert given.example(DIALOGUE, SUMMARY) == plain


# --- Lengths and examples -----------------------------------------------------------------------------


def test_training_names_the_true_length_and_generation_the_predicted_one() -> None:
    tokenizer = make_tokenizer("base")
    renderer = Renderer(tokenizer, load_template("length"), length=LENGTH)
    trained = {
        size: text_of(tokenizer, renderer.example(DIALOGUE, "가" * size).prompt_ids) for size in (5, 25, 99)
    }
    assert [f"{target}자 안팎" in trained[size] for size, target in ((5, 10), (25, 30), (99, 60))] == [True] * 3
    predicted = LENGTH.predict(DIALOGUE)
    asked = renderer.prompt(DIALOGUE)
    assert f"{predicted}자 안팎" in text_of(tokenizer, asked.prompt_ids)
    assert asked == renderer.prompt(DIALOGUE, target_length=predicted)
    assert asked == renderer.prompt(replace(DIALOGUE, references=("가" * 300,)))


def test_the_predicted_length_is_that_of_the_whole_dialogue() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("length")
    long = replace(DIALOGUE, text="\n".join([DIALOGUE.text] * 9))
    assert LENGTH.predict(long) != LENGTH.predict(DIALOGUE)
    row = renderer_with(tokenizer, template, length=LENGTH, max_prompt_tokens=200).prompt(long)
    assert row.dropped_turns > 9
    assert f"{LENGTH.predict(long)}자 안팎" in text_of(tokenizer, row.prompt_ids)


def test_prepared_rows_are_the_same_rows(capsys: pytest.CaptureFixture[str]) -> None:
    template = load_template("few-shot")
    dialogues = [DIALOGUE, *EXAMPLES, replace(DIALOGUE, id="other")]
    given = variables_for(template)
    prepared, free = (renderer_with(make_tokenizer("chatml"), template, **given) for _ in range(2))
    prepared.prepare(dialogues)
    assert plain(capsys.readouterr().err) == snapshot("Finding examples 7/7 (… s)\n")
    rows = [prepared.prompt(dialogue) for dialogue in dialogues]
    assert rows == [free.prompt(dialogue) for dialogue in dialogues]
    assert [row.examples for row in rows] == [prepared.prompt(dialogue).examples for dialogue in dialogues]
    assert {row.examples for row in rows} == {0, 1, 3}  # some have an example that is too long
    prepared.prepare(dialogues)  # all examples are already found
    Renderer(make_tokenizer("chatml"), load_template("plain")).prepare(dialogues)
    assert capsys.readouterr().err == ""


def test_settings_that_others_leave_on_a_tokenizer_do_not_reach_the_rows() -> None:
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)
    renderer = Renderer(tokenizer, load_template("plain"))
    row = renderer.example(DIALOGUE, SUMMARY)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(3)
    backend.enable_padding(length=999)
    backend.encode_special_tokens = True
    assert renderer.example(DIALOGUE, SUMMARY) == row


def test_a_tokenizer_that_does_more_than_its_backend_is_asked_itself() -> None:
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)

    class Lower(type(tokenizer)):  # type: ignore[misc]
        def encode(self, text: str, **options: Any) -> list[int]:
            return list(super().encode(text.lower(), **options))

    expected = Renderer(tokenizer, load_template("plain")).example(replace(DIALOGUE, text="abc"), "abc")
    tokenizer.__class__ = Lower
    row = Renderer(tokenizer, load_template("plain")).example(replace(DIALOGUE, text="ABC"), "ABC")
    assert row.completion_ids == expected.completion_ids


def test_a_recipes_fields_reach_the_renderer() -> None:
    fields = PromptFields(
        template="expert", chat="never", max_prompt_tokens=300, max_answer_tokens=40, truncation="head"
    )
    tokenizer = make_tokenizer("chatml")
    made = make_renderer(fields, tokenizer)
    expected = renderer_with(
        tokenizer,
        load_template("expert"),
        chat="never",
        max_prompt_tokens=300,
        max_answer_tokens=40,
        truncation="head",
    )
    long = replace(DIALOGUE, text="\n".join([DIALOGUE.text] * 9))
    assert made.prompt(long) == expected.prompt(long)
    assert made.prompt(long).dropped_turns > 0
    with raises(PromptError) as error:
        made.example(long, SUMMARY * 3)
    assert error.message == snapshot(
        "train_7: completion of 88 tokens, at most 40 allowed; raise prompt.max_answer_tokens or shorten "
        "the summary"
    )


def test_a_recipes_examples_reach_the_renderer() -> None:
    tokenizer, pool = make_tokenizer("base"), example_pool()
    fields = PromptFields(template="few-shot", examples=2, max_examples_tokens=60)
    made = make_renderer(fields, tokenizer, examples=pool)
    expected = renderer_with(tokenizer, load_template("few-shot"), pool=pool, examples=2, max_examples_tokens=60)
    asked = replace(DIALOGUE, text=EXAMPLES[1].text + "!")
    assert made.prompt(asked) == expected.prompt(asked)
    assert made.prompt(asked).examples == 1
    fields = PromptFields(template="length")
    assert make_renderer(fields, tokenizer, length=LENGTH).prompt(DIALOGUE).prompt_ids
