"""Messages and progress: nothing is shown unless a program asks for it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from inline_snapshot import snapshot
from messages import plain

from llm_summ.core import terminal
from llm_summ.core.progress import LOGGER, Progress, say, set_display
from llm_summ.core.terminal import is_shown, shown_on_stderr


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a program that has chosen nothing."""
    monkeypatch.setattr(LOGGER, "handlers", [])
    monkeypatch.setattr(LOGGER, "propagate", True)
    level = LOGGER.level
    LOGGER.setLevel(logging.NOTSET)
    before = set_display(None)
    yield
    set_display(before)
    LOGGER.setLevel(level)


@pytest.mark.usefixtures("library")
def test_a_library_call_is_silent_and_logs(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    say("no one listens")
    with Progress("Counting", 2) as progress:
        progress.advance()
    with caplog.at_level(logging.INFO, "llm_summ"):
        say("100 % of it")
    assert caplog.messages == ["100 % of it"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("library")
def test_what_is_shown_is_shown_once_and_no_longer_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_on_stderr():
        assert is_shown()
        with shown_on_stderr():
            say("first")
        say("second")
    assert not is_shown()
    say("third")
    assert capsys.readouterr() == ("", "first\nsecond\n")


def test_a_line_at_the_end_says_how_much_was_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown_on_stderr():
        with Progress("Counting", 3, 1) as progress:
            progress.advance(1, "half")
            progress.advance(1, "all")
        assert plain(capsys.readouterr().err) == snapshot("Counting 3/3 all (… s)\n")
        with pytest.raises(ZeroDivisionError), Progress("Counting", 3) as progress:
            progress.advance(1 // 0)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LINES", 0.0)
        with Progress("Counting", 2) as progress:
            progress.advance()
            progress.advance()
        assert [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
            "Counting 1/2",
            "Counting 2/2",
        ]


def test_a_program_that_uses_the_package_hears_nothing() -> None:
    """In a process of its own, where no test has chosen anything."""
    script = (
        "from llm_summ.core.progress import Progress, say\n"
        "say('a message')\n"
        "with Progress('Counting', 1) as progress:\n"
        "    progress.advance()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
