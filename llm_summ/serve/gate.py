"""The outermost layer of the service: which requests are allowed, what is logged, and that no error ends it."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_summ.core.progress import say
from llm_summ.serve.errors import RETRY_SECONDS, HttpError, as_http_error, log_failure
from llm_summ.serve.limits import ServiceSettings, is_loopback
from llm_summ.serve.metrics import Metrics
from llm_summ.serve.responses import error_answer

__all__ = ["Gate", "Record", "record_of"]

# A client that still sends would lose the answer when the connection is closed, so the rest is read for a while.
_LINGER_SECONDS = 2.0
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(slots=True)
class Record:
    """What the log gets of a request.

    Attributes:
        path: of the route; "-" for a path that does not exist, which may be any text.
        tokens: that were generated for it.
        status: of the answer; 0: none was sent.
    """

    path: str = "-"
    tokens: int | None = None
    status: int = 0


def record_of(scope: Scope) -> Record:
    """Return the record of a request."""
    record: Record = scope["llm_summ.record"]
    return record


class Gate:
    """Wraps the application.

    Args:
        app: the application.
        settings: the service's.
        metrics: count every request.

    Attributes:
        under_way: number of requests that are not answered yet.
        is_closing: whether new requests are refused.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self.under_way = 0
        self.is_closing = False
        metrics.watch_requests(lambda: self.under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; nothing is raised."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        record = scope["llm_summ.record"] = Record()

        is_read = "100-continue" in Headers(scope=scope).get("expect", "")  # it waits for a word before it sends

        async def body() -> Message:
            nonlocal is_read
            message = await receive()
            is_read |= not message.get("more_body", False)
            return message

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                if record.status >= 400 and record.status != 408:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LINGER_SECONDS):
                            while not is_read:
                                await body()
                headers = MutableHeaders(scope=message)
                for name, value in _SAFE_HEADERS.items():
                    headers.setdefault(name, value)
                if self.is_closing:
                    headers["Connection"] = "close"
            await send(message)

        self.under_way += 1
        try:
            try:
                self._check(scope)
                await self._app(scope, body, watched)
            except Exception as error:  # noqa: BLE001  one request must not end the service
                log_failure(error)
                if not record.status:
                    await error_answer(as_http_error(error))(scope, receive, watched)
        finally:
            self.under_way -= 1
            self._note(scope["method"], record, time.monotonic() - begun)

    def _note(self, method: str, record: Record, seconds: float) -> None:
        status = record.status or 499
        self._metrics.request(record.path, status, seconds)
        # Asked all the time; the page has twenty files.
        if record.path == "/health" or (record.path in ("/metrics", "/page") and status < 400):
            return
        tokens = "" if record.tokens is None else f" {record.tokens} tokens"
        shown = method if method.isalpha() and len(method) < 10 else "-"
        say(f"{shown} {record.path} {status} {seconds:.3f} s{tokens}")

    def _check(self, scope: Scope) -> None:
        """Refuse what may not enter.

        Raises:
            HttpError: the service ends, the key is wrong, or another site's page asks.
        """
        headers, path = Headers(scope=scope), str(scope["path"])
        if self._settings.checks_names:
            self._check_site(headers)
        if path == "/health":
            return
        if self.is_closing:
            raise HttpError(
                503, "the service is ending; try again later", "closing", retry_after=RETRY_SECONDS, close=True
            )
        needs_key = (path.startswith("/v1/") and path != "/v1/settings") or path == "/metrics"
        if needs_key and self._settings.key is not None:
            kind, _, key = headers.get("authorization", "").partition(" ")
            is_right = hmac.compare_digest(key.strip().encode(), self._settings.key.encode())
            if kind.lower() != "bearer" or not is_right:
                found = "a wrong key" if key else "no key"
                raise HttpError(
                    401, f"found {found}; expected the header Authorization: Bearer KEY", "invalid_key"
                )

    def _check_site(self, headers: Headers) -> None:
        """Refuse a page of another site, which a browser on this machine may show."""
        host = headers.get("host", "")
        name = _address("Host", f"//{host}").hostname or ""
        if not is_loopback(name) and name != self._settings.host:
            raise HttpError(
                403,
                f"host {name[:100]}: not a name of this machine; set a key, or start the service with --no-key",
                "wrong_host",
            )
        origin = headers.get("origin")
        if origin is not None and _address("Origin", origin).netloc != host:
            raise HttpError(403, "a page of another site asks; set a key to allow it", "wrong_origin")


def _address(header: str, text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise HttpError(
            400, f"{header}: found no address; expected a name and a port", "invalid_header"
        ) from error
