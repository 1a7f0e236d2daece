"""One renderer in many threads, as the service uses it; and a prompt as text, for preference training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from model_families import BYTE_LEVEL, make_tokenizer, renderer_with, variables_for

from llm_summ.data import Dialogue
from llm_summ.prompt import load_template

KINDS = (*BYTE_LEVEL, "pieces")


@pytest.mark.parametrize("kind", KINDS)
def test_threads_get_the_rows_and_texts_that_one_thread_gets(kind: str) -> None:
    template = load_template("few-shot")
    dialogues = [Dialogue(f"d{number}", f"#Person1#: <eos> {number}번?\n#Person2#: 네.") for number in range(40)]
    alone = renderer_with(make_tokenizer(kind), template, **variables_for(template))
    rows = [alone.prompt(dialogue) for dialogue in dialogues]
    texts = [alone.decode(row.prompt_ids) for row in rows]
    shared = renderer_with(make_tokenizer(kind), template, **variables_for(template))

    other = load_template("plain")

    def render(number: int) -> bool:
        if number % 5 == 0:  # another prompt of the same model
            renderer_with(make_tokenizer(kind), other).prompt(dialogues[number])
        row = shared.prompt(dialogues[number])
        is_same = row == rows[number] and shared.decode(row.prompt_ids) == texts[number]
        if number % 7 == 0:
            shared.forget()
        return is_same

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(render, list(range(40)) * 3))


def test_work_with_one_tokenizer_does_not_wait_for_another() -> None:
    """While a renderer's constructor is in the tokenizer of one model, the other model's prompts are rendered."""
    template = load_template("plain")
    slow, other = make_tokenizer("chatml"), renderer_with(make_tokenizer("base"), template)
    entered, leave = Event(), Event()
    apply = slow.apply_chat_template

    def waits(*arguments: Any, **options: Any) -> Any:
        entered.set()
        assert leave.wait(30)
        return apply(*arguments, **options)

    slow.apply_chat_template = waits
    with ThreadPoolExecutor(2) as pool:
        made = pool.submit(renderer_with, slow, template)
        assert entered.wait(30)
        row = pool.submit(other.prompt, Dialogue("a", "#Person1#: 새로운 말\n#Person2#: 네")).result(10)
        assert row.prompt_ids
        assert not made.done()
        leave.set()
        made.result(30)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_as_text_gives_its_ids_again(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    renderer = renderer_with(tokenizer, load_template("plain"))
    row = renderer.prompt(Dialogue("a", "#Person1#: 안녕 😀\n#Person2#: 네"))
    text = renderer.prompt_text(row)
    assert "#Person1#: 안녕 😀\n#Person2#: 네" in text
    assert tuple(tokenizer(text)["input_ids"]) == row.prompt_ids
