"""Client of a server that speaks OpenAI's protocol: limits the rate, retries failures, and shortens errors."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from llm_summ.core.errors import EngineError, GenerationError, first_line
from llm_summ.core.progress import say
from llm_summ.generate.engines.request_rate import RequestRate
from llm_summ.recipe import ServerFields
from llm_summ.recipe.request_body import SentField

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["KEY", "FilteredError", "PatientClient", "client_options", "names_field", "refusal", "retry_pause"]

KEY = "OPENAI_API_KEY"
"""The environment variable with the key. The key is never written to a file or a message."""

Result = TypeVar("Result")

_LONGEST_PAUSE = 30.0
_SECONDS_FOR_AN_ANSWER = 600.0
_FILTERED = "content_filter"
_UNKNOWN = re.compile(
    r"unrecogni[sz]ed|unknown|unsupported|unexpected|extra_forbidden|(?:not|n't) (?:supported?|permitted|allowed)",
    re.I,
)


class FilteredError(EngineError):
    """The server's content filter refused a prompt; it may accept others."""


class PatientClient:
    """Sends requests to a server, and retries until it answers.

    If the server cannot be reached, fails (HTTP 5xx) or asks to wait (429), the request is sent again after
    growing pauses, or after the server's Retry-After, until there has been no answer for `patience_minutes`.

    Args:
        fields: the recipe's section `generate.server`.

    Raises:
        EngineError: the key has characters that no key can have.
    """

    def __init__(self, fields: ServerFields) -> None:
        import openai

        self._fields = fields
        self._client = openai.OpenAI(**client_options(fields))
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._rate, self._answered_at = RequestRate(fields.requests_per_minute), time.monotonic()
        self._is_failing = False

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def begin(self) -> None:
        """Start to count the minutes of patience."""
        self._answered_at = time.monotonic()

    def stop(self) -> None:
        """Send no more requests: waiting ones fail, and those under way are finished."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, send: Callable[[OpenAI], Result]) -> Result:
        """Send a request, with retries, and return the server's answer.

        Args:
            send: sends the request.

        Raises:
            FilteredError: the content filter refuses this prompt.
            EngineError: the server rejects the request, and a retry would not help.
            GenerationError: the server has stopped answering, or another request failed.
        """
        import openai

        pause = 1.0
        while True:
            if self._stopped.wait(self._rate.next_wait()):
                raise GenerationError(f"{self._fields.url}: another request failed")
            try:
                result = send(self._client)
            except (openai.APIStatusError, openai.APIConnectionError) as error:
                wanted = retry_pause(error, pause)
                if wanted is None:
                    if error.code == _FILTERED:
                        self._note_answer()
                    raise refusal(self._fields, error) from error
                failure: openai.APIError = error
                wait = wanted
            else:
                self._note_answer()
                return result
            reason = _without_key(first_line(failure))
            if time.monotonic() + wait - self._answered_at > 60 * self._fields.patience_minutes:
                raise GenerationError(
                    f"{self._fields.url}: {reason}; gave up: the next try would be after more than "
                    f"{self._fields.patience_minutes:g} minutes without an answer "
                    "(generate.server.patience_minutes); finished outputs are kept, and the same command resumes "
                    "there"
                ) from failure
            with self._lock:
                if not self._is_failing:
                    self._is_failing = True
                    say(f"{self._fields.url}: {reason}; trying again")
            # Retry at different times: a server that has just restarted would be overloaded by all at once.
            if self._stopped.wait(wait * random.uniform(1.0, 1.25)):
                raise GenerationError(f"{self._fields.url}: {reason}; another request failed") from failure
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note_answer(self) -> None:
        self._answered_at, self._is_failing = time.monotonic(), False


def client_options(fields: ServerFields) -> dict[str, Any]:
    """Return the arguments of openai's clients.

    Raises:
        EngineError: the key has characters that no key can have.
    """
    return {
        "base_url": fields.url,
        # Local servers need no key, but the client does.
        "api_key": _key() or "none",
        "max_retries": 0,  # our code decides which failures are retried
        "timeout": _SECONDS_FOR_AN_ANSWER,
    }


def retry_pause(error: Any, pause: float) -> float | None:
    """Return the seconds to wait before a request is sent again; None: a retry would not help.

    Args:
        error: of the package openai.
        pause: the seconds, unless the server asks for others.
    """
    status = getattr(error, "status_code", None)
    if status is None:  # no connection
        return pause
    if not (status in (408, 409, 429) or status >= 500) or error.code == "insufficient_quota":
        return None
    asked_for = error.response.headers.get("retry-after", "")
    return float(asked_for) if asked_for.replace(".", "", 1).isdecimal() else pause


def refusal(fields: ServerFields, error: Any, *, quotes: bool = True) -> EngineError:
    """Return the error for a request that the server rejects.

    Args:
        fields: the recipe's section `generate.server`.
        error: of the package openai, with a status.
        quotes: whether the message has the server's own words, which may repeat the prompt.
    """
    url, status = fields.url, error.status_code
    if status in (401, 403):
        problem = "rejects the key in" if _key() else "requires a key, but none is in"
        return EngineError(f"{url}: {problem} {KEY}; set it in the environment")
    if status == 404:
        expected = "expected a URL that ends with /v1 (generate.server.url)"
        return EngineError(f"{url}: no such address or model; {expected}")
    kind = FilteredError if error.code == _FILTERED else EngineError
    reason = f": {_without_key(first_line(error))}" if quotes else ""
    return kind(f"{url}: HTTP {status}{reason}{_advice(fields, error)}")


def _advice(fields: ServerFields, error: Any) -> str:
    """Return what to change in the recipe if the server does not know a field of the body."""
    if error.status_code not in (400, 422):
        return ""
    texts = [str(error.param or ""), str(error), str(error.body)]
    added = [name for name in fields.extra_body if any(_is_named(name, text) for text in texts)]
    if added and any(map(_UNKNOWN.search, texts)):
        return f"; remove {', '.join(added)} from generate.server.extra_body"
    if "chat_template_kwargs" in fields.further_fields and any(
        _is_named(name, text) for name in ("chat_template_kwargs", "enable_thinking") for text in texts
    ):
        return "; leave it out with generate.server.leave_out=[chat_template_kwargs]"
    if not any(map(_UNKNOWN.search, texts)):
        return ""
    sent = [name for name in get_args(SentField) if name not in fields.leave_out]
    # A body may repeat the whole request. The shortest text that names a field names the unknown one.
    for text in texts:
        if names := [name for name in sent if _is_named(name, text)]:
            return f"; leave it out with generate.server.leave_out=[{','.join(names)}]"
    return ""


def names_field(error: Any, name: str) -> bool:
    """Return whether a server that rejects a request names a field of its body."""
    return any(_is_named(name, text) for text in (str(error.param or ""), str(error), str(error.body)))


def _is_named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w\\]){re.escape(name)}(?!\w)", text) is not None


def _key() -> str:
    """Return the key in the environment.

    Raises:
        EngineError: it has characters that an HTTP header cannot have.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EngineError(f"{KEY}: contains characters that no key has; set it to the server's key")
    return key


def _without_key(text: str) -> str:
    """Return a server's message with the key removed, in case the server repeats it."""
    key = _key()
    return text.replace(key, "…") if key else text
