"""What reports share: labels, p values, letters, times, and hints at a misspelt name."""

from __future__ import annotations

import datetime as dt

import pytest

from llm_summ.core.formatting import did_you_mean, labelled, letters, p_text, utc_now


def test_labels_make_a_column() -> None:
    assert labelled("ties", "none") == "ties       none"
    assert labelled("difference", "+1.00") == "difference +1.00"


@pytest.mark.parametrize(("p", "text"), [(0.0001, "<0.001"), (0.001, "0.001"), (0.05, "0.050"), (1.0, "1.000")])
def test_p(p: float, text: str) -> None:
    assert p_text(p) == text


def test_letters_until_there_are_none_left() -> None:
    assert letters(3) == ["A", "B", "C"]
    assert letters(26)[-1] == "Z"
    assert letters(27) == [str(number) for number in range(1, 28)]


def test_a_time_is_in_utc_and_to_the_second() -> None:
    now = dt.datetime.fromisoformat(utc_now())
    assert now.utcoffset() == dt.timedelta(0)
    assert now.microsecond == 0
    assert abs(dt.datetime.now(dt.UTC) - now) < dt.timedelta(seconds=5)


def test_a_hint_at_a_misspelt_name() -> None:
    known = {"strip": 1, "join_lines": 2}
    assert did_you_mean("stripp", known) == "did you mean strip?"
    assert did_you_mean("stripp", known, show="steps/{}".format) == "did you mean steps/strip?"
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean("xyz", known, "the steps are strip, join_lines") == "the steps are strip, join_lines"
