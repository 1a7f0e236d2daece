"""Properties of every row, for any dialogue, token limit, truncation, template and kind of tokenizer."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_families import (
    BYTE_LEVEL,
    LENGTH,
    LOOK_ALIKES,
    example_pool,
    make_tokenizer,
    renderer_with,
    special_ids,
    text_of,
    variables_for,
)

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.models.families.causal import IGNORED, input_ids, labels
from llm_summ.prompt import Renderer, Template, bundled_templates, load_template
from llm_summ.recipe import PromptFields

KINDS = (*BYTE_LEVEL, "plain-stop", "pieces")
MODES = tuple(get_args(PromptFields.model_fields["truncation"].annotation))
EXAMPLE_COUNT = 3
NO_LIMIT = 100_000


class Source(NamedTuple):
    """A template file, and its texts that must be in every prompt, or begin and end every completion."""

    text: str
    instructions: tuple[str, ...]
    around_completion: tuple[str, str]


# --- Dialogues and summaries --------------------------------------------------------------------------

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
_LIMITS = st.sampled_from([1, 100, 500, 5000])  # tokens of the examples
_SHARES = st.one_of(st.integers(5, 99), st.sampled_from([99, 100, 200]))  # of the whole prompt, in per cent

# --- Templates ----------------------------------------------------------------------------------------

# Without Jinja's braces, and without signs that would make a heading or a special token.
_INSTRUCTION = st.text("다음 대화를 요약하세요.,:()-*\n각힣é😀'\"Summarise", max_size=40)
_BODIES = (
    "{{ dialogue }}",
    "{% for turn in turns %}{{ turn }}\n{% endfor %}",
    "{%- for turn in turns %}\n{{ loop.index }}. {{ turn }}\n{%- endfor %}",
    "{{ turns | join('\n') }}",
)
_EXAMPLES = (
    "",
    "",
    "{% for example in examples %}{{ example.dialogue }}\n요약: {{ example.summary }}\n\n{% endfor %}",
    "{% if examples %}예시 {{ examples | length }}개\n{% endif %}"
    "{% for example in examples -%}\n[{{ example.summary }}]\n{{ example.dialogue }}\n{% endfor -%}\n",
)
_EXTRAS = (
    "",
    "",
    "\n{{ length }}자 안팎\n",
    "\n{{ speakers | join(', ') }}\n",
    "{% if topic is defined %}\n주제: {{ topic }}\n{% endif %}",
    "\n{% if length > 20 %}길게{% else %}짧게{% endif %}\n",
)


@st.composite
def _sources(draw: st.DrawFn) -> Source:
    system, before, after, before_completion, after_completion = (draw(_INSTRUCTION) for _ in range(5))
    instructions = [before, after]
    text = "---\nname: drawn\ndescription: drawn by a test\n---\n"
    if draw(st.booleans()):
        text += f"## system\n{system}{draw(st.sampled_from(_EXTRAS))}\n"
        instructions.append(system)
    parts = [before, draw(st.sampled_from(_BODIES)), after, draw(st.sampled_from(_EXTRAS))]
    parts.insert(draw(st.integers(0, 4)), draw(st.sampled_from(_EXAMPLES)))
    text += f"## user\n{''.join(parts)}\n## answer\n{before_completion}{{{{ summary }}}}{after_completion}\n"
    return Source(text, tuple(instructions), (before_completion.lstrip("\n"), after_completion.rstrip("\n")))


def _drawn(source: Source) -> Template:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "drawn.md")
        path.write_text(source.text, encoding="utf-8", newline="")
        return load_template(str(path))


# --- The check ----------------------------------------------------------------------------------------


def _kept(lines: list[str], mode: str, kept: int) -> list[str]:
    """Return the turns that a mode keeps, by a different algorithm than the renderer's."""
    dropped = len(lines) - kept
    if mode == "head":
        return lines[dropped:]
    first = kept - 1 if mode == "tail" else kept // 2
    return [line for number, line in enumerate(lines) if not first <= number < first + dropped]


def _with_examples(tokenizer: Any, template: Template, count: int) -> Renderer:
    """Return a renderer whose only limit is the number of examples."""
    given = variables_for(template, examples=max(count, 1))
    most = NO_LIMIT if count else 0
    return renderer_with(tokenizer, template, max_prompt_tokens=NO_LIMIT, max_examples_tokens=most, **given)


def _check_row(
    tokenizer: Any,
    template: Template,
    dialogue: Dialogue,
    summary: str,
    mode: Any,
    share: int,
    limit: int,
    *,
    instructions: tuple[str, ...] = (),
    exact: bool = True,
) -> None:
    """Render a row, and check all its properties."""
    given = variables_for(template, examples=EXAMPLE_COUNT) | {"max_examples_tokens": limit}
    free = renderer_with(tokenizer, template, max_prompt_tokens=NO_LIMIT, **given)
    target = LENGTH.of_summary(summary)
    whole = free.prompt(dialogue, target_length=target)
    budget = len(whole.prompt_ids) * share // 100
    renderer = renderer_with(tokenizer, template, max_prompt_tokens=budget, truncation=mode, **given)
    lines = [line for line in dialogue.turn_texts if line.strip()]
    try:
        row = renderer.example(dialogue, summary)
    except PromptError:
        without = _with_examples(tokenizer, template, 0)
        smallest = dialogue if mode == "error" else replace(dialogue, text=lines[-1])
        assert len(without.prompt(smallest, target_length=target).prompt_ids) > budget
        return
    assert row == renderer.example(dialogue, summary)

    # Within the limit. Nothing is dropped unnecessarily, and examples are dropped before turns.
    assert len(row.prompt_ids) <= budget
    assert len(whole.prompt_ids) > budget or replace(row, completion_ids=()) == whole
    assert row.examples <= whole.examples <= EXAMPLE_COUNT * template.uses("examples")
    assert row.dropped_turns == 0 or row.examples == 0
    assert row.dropped_turns == 0 or mode != "error"
    if template.uses("examples"):
        sizes = [
            sum(
                len(tokenizer.encode(text.strip(), add_special_tokens=False, split_special_tokens=True))
                for text in texts
            )
            for example in example_pool().similar(dialogue, EXAMPLE_COUNT)
            for texts in [(example.text, example.references[0])]
        ]
        assert whole.examples == max(n for n in range(len(sizes) + 1) if sum(sizes[:n]) <= limit)
    if row.examples < whole.examples:
        one_more = _with_examples(tokenizer, template, row.examples + 1)
        assert len(one_more.prompt(dialogue, target_length=target).prompt_ids) > budget

    # Generation has the same prompt as training if it asks for the same length.
    asked = renderer.prompt(dialogue, target_length=target)
    assert asked == replace(row, completion_ids=())
    assert tuple(input_ids(row)[: len(asked.prompt_ids)]) == asked.prompt_ids
    if LENGTH.predict(dialogue) == target or not template.uses("length"):
        assert renderer.prompt(dialogue) == asked

    # Only the completion and the stop id are targets.
    completion = template.completion(summary)
    assert len(labels(row)) == len(input_ids(row))
    assert labels(row)[: len(row.prompt_ids)] == [IGNORED] * len(row.prompt_ids)
    target_ids = [label for label in labels(row) if label != IGNORED]
    assert target_ids == input_ids(row)[len(row.prompt_ids) :]
    assert len(target_ids) == renderer.completion_tokens(summary)
    assert target_ids[-1] == row.stop_id
    assert target_ids.count(row.stop_id) == 1
    assert renderer.decode(target_ids) == renderer.decode(target_ids[:-1]) == completion
    assert renderer.decode([*target_ids, *row.prompt_ids]) == completion
    assert summary.strip() in completion

    # Special tokens come only from the templates.
    special = {*special_ids(tokenizer), row.stop_id}
    innocent = free.prompt(Dialogue("x_1", "#Person1#: 네."))
    assert [i for i in row.prompt_ids if i in special] == [i for i in innocent.prompt_ids if i in special]
    assert not special & set(target_ids[:-1])
    if tokenizer.encode("")[:1] == [tokenizer.bos_token_id]:
        assert row.prompt_ids[0] == tokenizer.bos_token_id
        assert input_ids(row).count(tokenizer.bos_token_id) == 1

    # The instruction, the last turn, whole turns in their order, and the examples with the most similar last.
    kept = _kept(lines, mode, len(lines) - row.dropped_turns)
    assert kept[-1] == lines[-1]
    shown = dialogue
    if (
        row.prompt_ids
        != _with_examples(tokenizer, template, row.examples).prompt(dialogue, target_length=target).prompt_ids
    ):
        shown = replace(dialogue, text="\n".join(kept))
    similar = example_pool().similar(dialogue, row.examples)[::-1] if row.examples else []

    # SentencePiece tokenizers add a space around the text of a special token, so ignore white space for them.
    def seen(text: str) -> str:
        return text.strip() if exact else "".join(text.split())

    text = seen(text_of(tokenizer, row.prompt_ids))
    for message in template.messages(shown, length=target, examples=similar):
        assert seen(message["content"]) in text
    for needed in (*instructions, kept[-1], *(example.text for example in similar)):
        assert seen(needed) in text


_ANY_ROW = given(
    template=st.sampled_from(bundled_templates()),
    dialogue=_DIALOGUES,
    summary=_SUMMARIES,
    mode=st.sampled_from(MODES),
    share=_SHARES,
    limit=_LIMITS,
)
_ANY_TEMPLATE = given(
    source=_sources(),
    dialogue=_DIALOGUES,
    summary=_SUMMARIES,
    mode=st.sampled_from(MODES),
    share=_SHARES,
    limit=_LIMITS,
)
_SETTINGS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", KINDS)
@_SETTINGS
@_ANY_ROW
def test_every_row(
    kind: str, template: Template, dialogue: Dialogue, summary: str, mode: str, share: int, limit: int
) -> None:
    _check_row(make_tokenizer(kind), template, dialogue, summary, mode, share, limit, exact=kind != "pieces")


@pytest.mark.parametrize("kind", KINDS)
@_SETTINGS
@_ANY_TEMPLATE
def test_every_row_of_every_template(
    kind: str, source: Source, dialogue: Dialogue, summary: str, mode: str, share: int, limit: int
) -> None:
    template = _drawn(source)
    before, after = source.around_completion
    assert template.completion(summary) == (before + summary.strip() + after).strip()
    instructions = source.instructions
    exact = kind != "pieces"
    _check_row(
        make_tokenizer(kind),
        template,
        dialogue,
        summary,
        mode,
        share,
        limit,
        instructions=instructions,
        exact=exact,
    )


@pytest.mark.slow
@_SETTINGS
@_ANY_ROW
def test_every_row_of_the_embedded_model(
    embedded_tokenizer: Any,
    template: Template,
    dialogue: Dialogue,
    summary: str,
    mode: str,
    share: int,
    limit: int,
) -> None:
    _check_row(embedded_tokenizer, template, dialogue, summary, mode, share, limit)


@pytest.mark.slow
@_SETTINGS
@_ANY_TEMPLATE
def test_every_row_of_every_template_with_the_embedded_model(
    embedded_tokenizer: Any, source: Source, dialogue: Dialogue, summary: str, mode: str, share: int, limit: int
) -> None:
    template, instructions = _drawn(source), source.instructions
    _check_row(embedded_tokenizer, template, dialogue, summary, mode, share, limit, instructions=instructions)


def test_examples_go_before_turns() -> None:
    """Literal expected prompts: three examples and eight turns, with smaller and smaller limits."""
    template = load_template("few-shot")
    dialogue = Dialogue(
        "x_1", "\n".join(f"#Person{1 + n % 2}#: {n}번째 책을 #Address#로 보내 주세요." for n in range(8))
    )
    left = {}
    for budget in (1419, 1418, 1371, 383, 279, 130):
        given = variables_for(template, examples=EXAMPLE_COUNT)
        renderer = renderer_with(
            make_tokenizer("base"), template, max_prompt_tokens=budget, max_examples_tokens=NO_LIMIT, **given
        )
        row = renderer.prompt(dialogue)
        left[budget] = (row.examples, row.dropped_turns)
    assert left == {1419: (3, 0), 1418: (2, 0), 1371: (1, 0), 383: (0, 0), 279: (0, 1), 130: (0, 6)}
