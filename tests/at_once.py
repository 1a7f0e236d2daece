"""Processes that do the same at the same moment."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

_barrier: Any = None


class Ended(NamedTuple):
    """A command that ended.

    Attributes:
        pid: the process.
        code: its exit code.
        out: what it printed.
        err: what it said on stderr.
    """

    pid: int
    code: int
    out: str
    err: str


def at_once(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, preload: Sequence[str] = ()) -> Any:
    """Call a module's function with each of the arguments, all in processes of their own and at one moment.

    Args:
        work: the function.
        arguments: of each call.
        preload: modules that take long: one process imports them, and the others are forked from it.

    Returns:
        the results.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_fork_all, work, list(arguments), list(preload)).result()


def command(*arguments: str) -> Ended:
    """Run a command of llm-summ in this process, as the console script does."""
    from llm_summ.__main__ import main

    sys.argv = ["llm-summ", *arguments]
    code: Any = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Ended(os.getpid(), code, out.getvalue(), err.getvalue())


def _fork_all(work: Callable[..., Any], arguments: list[tuple[Any, ...]], preload: list[str]) -> list[Any]:
    for module in preload:
        importlib.import_module(module)
    context = get_context("fork")
    barrier = context.Barrier(len(arguments))
    with ProcessPoolExecutor(len(arguments), context, initializer=_keep, initargs=(barrier,)) as pool:
        return list(pool.map(_start, [work] * len(arguments), arguments))


def _keep(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _start(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    _barrier.wait()
    return work(*arguments)
