"""Messages of the package, as tests compare them with snapshots.

A test asserts the class of an error, which decides its exit code, and its whole message as a snapshot of
inline-snapshot. What differs between machines and runs is replaced first.
"""

from __future__ import annotations

import contextlib
import re
import sysconfig
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Raised", "lines_with", "plain", "raises", "temporary"]

REPOSITORY = Path(__file__).parents[1]
WIDTH = 96  # of a piece of a string in a snapshot

# (pattern, what is put in its place)
_VARYING: list[tuple[re.Pattern[str], str]] = [
    (re.compile(re.escape(sysconfig.get_paths()["purelib"])), "PACKAGES"),
    (re.compile(re.escape(str(REPOSITORY))), "REPOSITORY"),
    (re.compile(r"\b\d+(?:\.\d+)?(?= s\b)"), "…"),
    (re.compile(r"\b(process|pid) \d+(?! of)"), r"\1 …"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:…"),
    (re.compile(r"pip install(?: '[^']+')+"), "pip install '…'"),  # the bounds of pyproject.toml
    (re.compile(r"\b(tokenizers|torch|transformers|vllm) \d+\.\d+\.\d+\b"), r"\1 …"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"), "…"),
    (re.compile(r"\b(?!0{64})[0-9a-f]{64}\b"), "…"),  # SHA-256
    (re.compile(r"\bsince \d\d:\d\d:\d\d"), "since …"),
    # The first lines of click's usage errors.
    (re.compile(r"^Usage: .*\nTry '.*' for help\.\n\n", re.MULTILINE), ""),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "0x…"),  # places in memory
    (re.compile(r"x{100,}"), "x…"),  # names that are too long for a file
    # The words of Python's, pydantic's and others' parsers change with their versions.
    (re.compile(r"(JSON(?: in UTF-8| from here)?) \((?!found )(?:[^()\n]|\([^()\n]*\))*\)"), r"\1 (…)"),
    (re.compile(r"Expecting [^:\n]*: line \d+ column \d+ \(char \d+\)"), "…"),
    (re.compile(r"(incomplete|written) \(Error while [^;\n]*\);"), r"\1 (…);"),
    (re.compile(r"unavailable \(We [^)\n]*\)"), "unavailable (…)"),
    (re.compile(r"\bhas \d+\.\d+ GB left"), "has … GB left"),
    (re.compile(r"found \d+ bytes, expected \d+"), "found … bytes, expected …"),
    (
        re.compile(r"(not JSON that can be read|parquet file that can be read|written as parquet) \(.*\)"),
        r"\1 (…)",
    ),
    (re.compile(r"Invalid JSON: .*? at line \d+ column \d+"), "Invalid JSON: …"),
]


@dataclass
class Raised:
    """The error that a block raised; it is known when the block has ended."""

    errors: list[BaseException] = field(default_factory=list)

    @property
    def value(self) -> BaseException:
        """The error itself."""
        return self.errors[0]

    @property
    def message(self) -> str:
        """Its message, with what varies replaced."""
        return plain(str(self.value))


@contextlib.contextmanager
def raises(kind: type[BaseException]) -> Iterator[Raised]:
    """Expect an error of exactly this class: a more special one has another meaning to who catches it."""
    raised = Raised()
    with pytest.raises(kind) as caught:
        yield raised
    raised.errors.append(caught.value)
    # With its frames, the test's variable would keep open what is open in them.
    link: BaseException | None = caught.value
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    assert type(caught.value) is kind, repr(caught.value)


def temporary(folder: Path) -> None:
    """Name the folder that pytest's temporary folders of this session are in: paths in them are shortened."""
    name = re.escape(str(folder.parent if folder.name.startswith("popen-") else folder))
    _VARYING.insert(0, (re.compile(rf"{name}(?:/popen-\w+)?/\w+"), "…"))


def plain(text: str) -> str:
    """Replace folders that differ between machines, times, numbers of processes, and others' words."""
    for pattern, stand_in in _VARYING:
        text = pattern.sub(stand_in, text)
    return text


def lines_with(text: str, *words: str) -> str:
    """Return the lines of a long output that contain one of these words, with what varies replaced."""
    return plain("\n".join(line for line in text.splitlines() if any(word in line for word in words)))


def pieces(text: str) -> list[str]:
    """Cut a text after each line, and lines at blanks, into pieces short enough for a line of code."""
    cut = [""]
    for word in re.findall(r"\n|[^\S\n]+|\S{1,40}", text):
        if cut[-1].endswith("\n") or (not word.isspace() and _columns(cut[-1] + word) > WIDTH):
            cut.append("")
        cut[-1] += word
    return cut


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; letters of Korean take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
