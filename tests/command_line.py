"""The program, as a user runs it: its exit code, and what it prints where.

It runs within this process, by way of `main`: a process of its own would import PyTorch again, which takes longer
than most of what is tested.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

from messages import plain

from llm_summ.__main__ import main

__all__ = ["Result", "llm_summ", "llm_summ_process", "refused", "run_script"]

WIDTH = {"COLUMNS": "100"}  # of a table, the same in every terminal


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


def llm_summ(*arguments: str, cwd: Path | None = None) -> Result:
    """Run ``llm-summ`` within this process."""
    return _run(main, ["llm-summ", *arguments], cwd)


def run_script(path: Path, *arguments: str, cwd: Path | None = None) -> Result:
    """Run a Python script within this process."""
    return _run(lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *arguments], cwd)


def _run(program: Callable[[], object], arguments: list[str], cwd: Path | None) -> Result:
    """Run a program within this process as if it had one of its own.

    Folder, arguments, environment, filters of warnings and both streams are set for it, and restored. The streams
    are the descriptors, so that what C++ prints is seen as well.
    """
    code: object = None
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.dict(os.environ, WIDTH),
        warnings.catch_warnings(),
        contextlib.chdir(cwd or "."),
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)  # what Python itself begins with
        with _redirected("stdout", out), _redirected("stderr", err):
            try:
                program()
            except SystemExit as end:
                code = end.code
        printed = [_text(file) for file in (out, err)]
    assert code is None or isinstance(code, int)
    return Result(code or 0, *printed)


def llm_summ_process(*arguments: str, cwd: Path | None = None, python: tuple[str, ...] = ()) -> Result:
    """Run ``llm-summ`` in a process of its own, for what only that shows.

    Args:
        arguments: what is typed behind the program's name.
        cwd: the folder to run in, by default this one.
        python: options of the interpreter.
    """
    done = subprocess.run(
        [sys.executable, *python, "-m", "llm_summ", *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
        env={**os.environ, **WIDTH},
    )
    return Result(done.returncode, done.stdout, done.stderr)


def refused(result: Result, code: int = 2) -> str:
    """Return the only line of an expected error."""
    assert result.code == code, result
    assert result.out == ""
    [line] = result.err.splitlines()
    assert "Traceback" not in line
    assert line.startswith("llm-summ: ")
    return plain(line.removeprefix("llm-summ: "))


@contextlib.contextmanager
def _redirected(name: str, file: IO[bytes]) -> Iterator[None]:
    """Send a stream of this process, and its descriptor, to a file."""
    number, stream = {"stdout": 1, "stderr": 2}[name], getattr(sys, name)
    stream.flush()
    kept = os.dup(number)
    os.dup2(file.fileno(), number)
    # It is never closed: a library that is imported meanwhile keeps it, and writes to it later.
    stand_in = io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), "utf-8", write_through=True)
    setattr(sys, name, stand_in)
    try:
        yield
    finally:
        stand_in.flush()
        setattr(sys, name, stream)
        os.dup2(kept, number)
        os.close(kept)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8")
