"""Errors as the service answers them, and as it logs them: a log never has a text of a request."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from llm_summ.core.errors import (
    AbandonedError,
    EngineDownError,
    EngineError,
    InputError,
    LlmSummError,
    UpstreamError,
)
from llm_summ.core.progress import say

__all__ = ["RETRY_SECONDS", "HttpError", "as_http_error", "log_failure", "place_of"]

RETRY_SECONDS = 5
"""Seconds after which a client may try again, where nothing better is known."""

_PACKAGE = Path(__file__).parents[1]


class HttpError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: one line for the client.
        code: a stable name for programs.
        retry_after: seconds after which the client may try again; None: the same request will fail again.
        close: whether to close the connection, since the rest of the request was not read.
    """

    def __init__(
        self, status: int, message: str, code: str, *, retry_after: int | None = None, close: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.retry_after, self.close = retry_after, close

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
        kinds |= {404: "not_found_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        body: dict[str, Any] = {"error": {"message": self.message, "type": kind, "code": self.code}}
        return body if self.retry_after is None else body | {"retry_after": self.retry_after}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers | ({"Connection": "close"} if self.close else {})


def as_http_error(error: BaseException) -> HttpError:
    """Return the answer to an error; that to an unexpected one has no details."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, AbandonedError):
        return HttpError(499, str(error), "client_gone")
    if isinstance(error, EngineDownError):
        return HttpError(503, str(error), "engine_down", retry_after=RETRY_SECONDS)
    if isinstance(error, UpstreamError):
        message = "the server behind this model gave no usable answer; the log of the service has the reason"
        return HttpError(502, message, "upstream_failed")
    if isinstance(error, EngineError):  # a setting of the service, which no client can change
        return HttpError(
            500, "the engine refused the request; the log of the service has the reason", "engine_failed"
        )
    if isinstance(error, InputError):
        return HttpError(400, str(error), "invalid_input")
    if isinstance(error, LlmSummError):
        return HttpError(500, str(error), "generation_failed")
    return HttpError(500, "internal error; the log of the service has its place", "internal_error")


def log_failure(error: BaseException) -> None:
    """Log what the answer to an error leaves out: what another server did, or where an unexpected error was."""
    if isinstance(error, UpstreamError | EngineError):
        say(str(error))
    elif as_http_error(error).code == "internal_error":
        say(f"unexpected error: {place_of(error)}")


def place_of(error: BaseException) -> str:
    """Return the type of an error, and the last line of this package that it came from: ``KeyError at x.py:12``.

    The message is left out, since it may have a part of a dialogue.
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    if not (frames := ours or frames):
        return type(error).__name__
    path = Path(frames[-1].filename)
    shown = path.relative_to(_PACKAGE.parent) if ours else path.name
    return f"{type(error).__name__} at {shown}:{frames[-1].lineno}"
