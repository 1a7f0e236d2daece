"""One process at a time trains a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from llm_summ.errors import RunError
from llm_summ.run import Run

__all__ = ["is_being_trained", "only_one"]


@contextlib.contextmanager
def only_one(run: Run) -> Iterator[None]:
    """Have one process at a time work in a run's folder; the system lets go of it when that process ends.

    Raises:
        RunError: another process does.
    """
    folder = os.open(run.path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{run.path}: is being trained by another process; wait for it, or stop it") from error
        yield
    finally:
        os.close(folder)


def is_being_trained(run: Run) -> bool:
    """Whether a process works in a run's folder now."""
    try:
        with only_one(run):
            return False
    except RunError:
        return True
