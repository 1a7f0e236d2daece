"""What tests compare with snapshots: the same on every machine, and short enough for a line of code."""

from __future__ import annotations

import os
from pathlib import Path

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import lines_with, pieces, plain, raises

from llm_summ.core.errors import DataError, InputError


def test_what_differs_between_machines_is_replaced(tmp_path: Path) -> None:
    assert plain(f"{tmp_path / 'a.csv'}: read in 0.25 s by process {os.getpid()}") == snapshot(
        "…/a.csv: read in … s by process …"
    )
    assert plain(f"{Path(__file__).parent}: pip install 'a<2' 'b>=1'") == snapshot(
        "REPOSITORY/tests: pip install '…'"
    )
    assert plain('{"a": 1} not JSON (Expecting value: line 1); not JSON (found NaN)') == snapshot(
        '{"a": 1} not JSON (…); not JSON (found NaN)'
    )


def test_a_more_special_error_is_another_error() -> None:
    with raises(DataError) as error:
        raise DataError("a.csv: no rows")
    assert error.message == snapshot("a.csv: no rows")
    assert error.value.exit_code == 2  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="DataError"), raises(InputError):
        raise DataError("a.csv: no rows")


def test_lines_of_a_long_output() -> None:
    assert lines_with("one: 1\ntwo: 2\nthree: 3\n", "one: ", "three: ") == "one: 1\nthree: 3"


@given(st.text(st.sampled_from("a가 \n\t.")) | st.text())
def test_pieces_are_short_and_make_up_the_text(text: str) -> None:
    parts = pieces(text)
    assert "".join(parts) == text
    assert all(messages._columns(part.rstrip()) <= messages.WIDTH for part in parts)
    assert [part for part in parts if "\n" in part[:-1]] == []
