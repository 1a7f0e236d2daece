"""SIGTERM and Ctrl-C: the first one stops after the current step, which is saved; the second stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

__all__ = ["StopSignals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SECONDS_OF_ONE_SIGNAL = 1.0


class StopSignals:
    """A context in which the first signal only requests a stop.

    Attributes:
        received: the first signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._at = 0.0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for kind in _SIGNALS:
                self._before[kind] = signal.signal(kind, self._request_stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for received, handler in self._before.items():
            signal.signal(received, handler)  # type: ignore[arg-type]

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        # A launcher may send the signal to every process, and a process may forward it: one signal can come twice.
        if self.received is not None and time.monotonic() - self._at > _SECONDS_OF_ONE_SIGNAL:
            raise KeyboardInterrupt
        if self.received is None:
            self.received, self._at = signal.Signals(number), time.monotonic()
            # Not through sys.stderr, which may be in the middle of a line.
            text = (
                f"{self.received.name}: stopping after this step, which is saved; send it again to stop at once\n"
            )
            with contextlib.suppress(OSError):
                os.write(2, text.encode())
