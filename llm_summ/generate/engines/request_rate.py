"""The limit on requests per minute to a server, for many threads or tasks."""

from __future__ import annotations

import threading
import time

__all__ = ["RequestRate"]


class RequestRate:
    """Spreads requests evenly over the time.

    Args:
        per_minute: the most requests per minute; None: there is no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 0.0 if per_minute is None else 60 / per_minute
        self._next_at = 0.0
        self._lock = threading.Lock()

    def next_wait(self) -> float:
        """Reserve the next moment at which a request may be sent, and return the seconds until then."""
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._next_at)
            self._next_at = begin + self._seconds
            return begin - now
