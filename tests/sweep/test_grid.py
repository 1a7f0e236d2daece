"""Which settings a sweep tries."""

from __future__ import annotations

import pytest

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
    ("asked", "told"),
    [
        (["generate.n"], r"--over generate.n: expected FIELD=VALUE,VALUE"),
        (["generate.n="], r"expected FIELD=VALUE,VALUE"),
        (["generate.n=1,,2"], r"expected FIELD=VALUE,VALUE"),
        (["=1"], r"expected FIELD=VALUE,VALUE"),
        (["generate.n=1,2,1"], r"a value stands there twice"),
        (["generate.n=1", "generate.n=2"], r"generate.n stands there twice; give all its values at once"),
    ],
)
def test_what_is_no_grid(asked: list[str], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        grid(asked)
