"""One renderer in many threads, as the service uses it; and a prompt as text, for preference training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_as_text_gives_its_ids_again(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    renderer = renderer_with(tokenizer, load_template("plain"))
    row = renderer.prompt(Dialogue("a", "#Person1#: 안녕 😀\n#Person2#: 네"))
    text = renderer.prompt_text(row)
    assert "#Person1#: 안녕 😀\n#Person2#: 네" in text
    assert tuple(tokenizer(text)["input_ids"]) == row.prompt_ids
