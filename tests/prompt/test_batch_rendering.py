"""Rows that cannot be rendered: one reason for each kind."""

from __future__ import annotations

from pathlib import Path

from model_families import make_tokenizer, renderer_with

from llm_summ.data import Dialogue
from llm_summ.prompt import Refused, Renderer, load_template, render_rows


def test_rows_and_reasons() -> None:
    renderer = renderer_with(
        make_tokenizer("base"), load_template("plain"), max_prompt_tokens=160, max_answer_tokens=20
    )
    short, long = "#Person1#: 네.", "#Person1#: " + "가나다라 " * 200
    dialogues = {"a_1": short, "b_22": long, "c_3": short, "d_4": long, "e_5": short}
    summaries: list[str | None] = ["네.", None, "가나다라마바사" * 9, "네.", "가나다라마바사" * 10]
    asked = [
        (Dialogue(name, text), summary) for (name, text), summary in zip(dialogues.items(), summaries, strict=True)
    ]
    asked.append((asked[4][0], "가나다라마바사" * 11))
    rows, refused = render_rows(renderer, iter(asked))
    assert rows == [renderer.example(Dialogue("a_1", short), "네.")]
    tokens = renderer.completion_tokens("가나다라마바사" * 9)
    assert refused == [
        Refused(
            "the instruction and one turn have more than 160 tokens; raise prompt.max_prompt_tokens",
            ("b_22", "d_4"),
        ),
        Refused(
            f"completion of {tokens} tokens, at most 20 allowed; raise prompt.max_answer_tokens or shorten the "
            "summary",
            ("c_3", "e_5", "e_5"),
        ),
    ]


def test_equal_errors_of_a_template_are_one_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "---\nname: x\ndescription: x\n---\n## user\n{{ topic }}: {{ dialogue }}\n## answer\n{{ summary }}\n",
        encoding="utf-8",
    )
    renderer = Renderer(make_tokenizer("chatml"), load_template(str(path)))
    names = [f"{letter}_{number}" for number, letter in enumerate("가나다")]
    without = [(Dialogue(name, "#Person1#: 네."), None) for name in names]
    has = Dialogue("has", "#Person1#: 네.", topic="답")
    rows, refused = render_rows(renderer, [*without, (has, None)])
    reason = f"{path}: section user: 'topic' is undefined; known here: dialogue, speakers, turns"
    assert refused == [Refused(reason, tuple(names))]
    assert [row.id for row in rows] == ["has"]


def test_nothing_asked() -> None:
    assert render_rows(Renderer(make_tokenizer("base"), load_template("plain")), []) == ([], [])


def test_a_line_of_many_rows_names_the_first_twenty() -> None:
    ids = tuple(f"train_{n}" for n in range(30))
    line = Refused("completion of 9 tokens", ids).line()
    assert line == f"30 rows, the first: completion of 9 tokens ({', '.join(ids[:20])}, …)"
    assert Refused("too long", ("train_7",)).line() == "a row: too long (train_7)"
