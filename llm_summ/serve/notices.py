"""Messages of the readers and of the pipeline: they belong to the request that they are about, not to the log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

from llm_summ.core.progress import LOGGER

__all__ = ["collected", "kept_out_of_the_log"]

_NOTICES: ContextVar[list[str] | None] = ContextVar("notices", default=None)


class _OfARequest(logging.Filter):
    """Takes messages out of the log that were logged in a thread which collects them."""

    def filter(self, record: logging.LogRecord) -> bool:
        notices = _NOTICES.get()
        if notices is None:
            return True
        notices.append(record.getMessage())
        return False


@contextlib.contextmanager
def kept_out_of_the_log() -> Iterator[None]:
    """Let `collected` have messages while the block runs."""
    of_a_request = _OfARequest()
    LOGGER.addFilter(of_a_request)
    try:
        yield
    finally:
        LOGGER.removeFilter(of_a_request)


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the messages of this thread while the block runs."""
    notices: list[str] = []
    token = _NOTICES.set(notices)
    try:
        yield notices
    finally:
        _NOTICES.reset(token)
