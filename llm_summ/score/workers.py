"""Spread work over processes: mecab-ko and loops over texts hold Python's global lock, so threads do not help."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["cores", "spread"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[_Item], _Result], items: Sequence[_Item], workers: int = 1) -> Iterator[_Result]:
    """Do `work` for every item, in this process or in several, and yield the results in the order of the items.

    Args:
        work: a function of a module, or a partial one: it is sent to the processes.
        items: the arguments of `work`; each should take milliseconds at least.
        workers: number of processes; at most one for each item is started.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # A fork would copy locks that threads of other loaded libraries hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, items, chunksize=max(1, len(items) // (4 * workers)))
