"""Locks of a run's files: one process at a time changes them; the others report which one it is.

A lock is a file in the run's ``.locks/``, locked with `filelock`; next to it, while it is held, a ``.holder`` file
names the process. The operating system releases a lock when its process ends, even by ``kill -9``. The lock
files that remain are empty and mean nothing.

Not covered:

- Other programs, and users who edit or remove files of a run, take no lock.
- The lock is flock(2), on Windows msvcrt.locking. On NFS it holds across machines only if the mount has a lock
  manager (no ``nolock`` or ``local_lock``); some FUSE and cluster file systems lock within one machine only. Where
  flock is unavailable, recent versions of filelock use a marker file instead, and older ones fail.
- Before filelock 4, a child that was forked while a lock was held keeps it until it ends, too.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from llm_summ.core.errors import RunError
from llm_summ.core.files import umask
from llm_summ.core.progress import say

__all__ = ["FOLDER", "locked"]

FOLDER = ".locks"
"""The folder of the lock files, in a run's."""

_A_MOMENT = 2.0
_LONGEST_COMMAND = 120
_SECONDS_BETWEEN_LOOKS, _LOOKS = 0.05, 20


@contextlib.contextmanager
def locked(run: Path, name: str, busy: str, *, wait: float = _A_MOMENT) -> Iterator[None]:
    """Hold a lock while the block runs; a thread that holds it already may take it again.

    A run in whose folder this process may not write is not locked.

    Args:
        run: the run's folder; it is made if it does not exist.
        name: the lock's, such as ``training`` or ``predictions/dev.hf.jsonl``.
        busy: the beginning of the message if another process holds it: what is busy, and with what.
        wait: seconds to wait; by default a moment, since the other process may only check whether there is
            anything to do. Infinity waits as long as it takes, and logs a message.

    Raises:
        RunError: another process holds the lock; the message has its id and its command.
        OSError: the lock file cannot be written.
    """
    if run.is_dir() and not os.access(run, os.W_OK):  # a read-only run cannot change
        yield
        return
    from filelock import FileLock, Timeout  # importing it takes longer than most commands that never lock

    lock_file = run.resolve() / FOLDER / f"{name}.lock"
    holder_file = lock_file.with_suffix(".holder")
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    # One lock per path in this process, so that code that holds it may call code that takes it again.
    lock = FileLock(lock_file, mode=0o666 & ~umask(), is_singleton=True)
    nested = lock.is_locked
    try:
        lock.acquire(timeout=0 if math.isinf(wait) else wait)
    except Timeout as error:
        if not math.isinf(wait):
            raise RunError(f"{busy} by {_holder(holder_file)}; wait for it, or stop it") from error
        say(f"{busy} by {_holder(holder_file)}: waiting for it")
        lock.acquire()
    try:
        if not nested:
            _note_holder(holder_file)
        yield
    finally:
        if not nested:
            with contextlib.suppress(OSError):
                holder_file.unlink(missing_ok=True)
        lock.release()


def _note_holder(path: Path) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": _command(),
        "since": dt.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    # The lock holds without this file: on a full disk only its message has less detail.
    with contextlib.suppress(OSError):
        path.write_text(json.dumps(holder), encoding="utf-8")


def _command() -> str:
    """Return the command that this process was started with, on one line."""
    name = Path(sys.argv[0]).name
    words = ["llm-summ" if name == "__main__.py" else name, *sys.argv[1:]]
    line = "".join(letter if letter.isprintable() else "?" for letter in shlex.join(words))
    return line if len(line) <= _LONGEST_COMMAND else f"{line[: _LONGEST_COMMAND - 1]}…"


def _holder(path: Path) -> str:
    """Describe the process that holds a lock, from its holder file."""
    for _ in range(_LOOKS):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(path.read_text(encoding="utf-8"))
            elsewhere = holder["host"] != socket.gethostname()
            # After a kill, the file names a dead process until the next holder writes its own.
            if elsewhere or _is_running(int(holder["pid"])):
                on_host = f" on {holder['host']}" if elsewhere else ""
                since = dt.datetime.fromisoformat(holder["since"]).astimezone()
                return f"process {holder['pid']}{on_host} ({holder['command']}, since {since:%H:%M:%S})"
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return "another process"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
