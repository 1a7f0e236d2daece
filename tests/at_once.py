"""Processes that do the same at the same moment."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

_barrier: Any = None


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
