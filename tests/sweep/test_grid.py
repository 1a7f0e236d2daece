"""The settings that a sweep tries."""

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
    ("options", "message"),
    [
        (["generate.n"], r"--over generate.n: expected FIELD=VALUE,VALUE"),
        (["generate.n="], r"expected FIELD=VALUE,VALUE"),
        (["generate.n=1,,2"], r"expected FIELD=VALUE,VALUE"),
        (["=1"], r"expected FIELD=VALUE,VALUE"),
        (["generate.n=1,2,1"], r"duplicate value"),
        (["generate.n=1", "generate.n=2"], r"generate.n has two --over options; give all its values in one"),
    ],
)
def test_an_invalid_grid_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        grid(options)
