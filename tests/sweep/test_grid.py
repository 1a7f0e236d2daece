"""The settings that a sweep tries."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import RecipeError
from llm_summ.sweep.grid import grid


def test_every_combination_the_last_field_changing_quickest() -> None:
    assert grid(["generate.beams=1,4", "post=[strip],[strip, cut_unfinished],[]"]) == [
        (("generate.beams", beams), ("post", post))
        for beams in ("1", "4")
        for post in ("[strip]", "[strip, cut_unfinished]", "[]")
    ]
    assert grid(["generate.max_new_tokens=80"]) == [(("generate.max_new_tokens", "80"),)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["generate.n"],
            snapshot("--over generate.n: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160"),
        ),
        (
            ["generate.n="],
            snapshot("--over generate.n=: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160"),
        ),
        (
            ["generate.n=1,,2"],
            snapshot(
                "--over generate.n=1,,2: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160"
            ),
        ),
        (["=1"], snapshot("--over =1: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160")),
        (["generate.n=1,2,1"], snapshot("--over generate.n=1,2,1: duplicate value; remove it")),
        (
            ["generate.n=1", "generate.n=2"],
            snapshot("--over generate.n=2: generate.n has two --over options; give all its values in one"),
        ),
    ],
)
def test_an_invalid_grid_is_refused(options: list[str], message: str) -> None:
    with raises(RecipeError) as error:
        grid(options)
    assert error.message == message
