"""One server that speaks OpenAI's protocol: asked at a rate, again where it fails; a refusal is one line."""

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
from llm_summ.recipe import ServerFields
from llm_summ.recipe.request_body import SentField

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["KEY", "FilteredError", "PatientClient"]

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key. It is written nowhere."""

Result = TypeVar("Result")

_LONGEST_PAUSE = 30.0
_SECONDS_FOR_AN_ANSWER = 600.0
_FILTERED = "content_filter"
_UNKNOWN = re.compile(
    r"unrecogni[sz]ed|unknown|unsupported|unexpected|extra_forbidden|(?:not|n't) (?:supported?|permitted|allowed)",
    re.I,
)


class FilteredError(EngineError):
    """The server's content filter refused a prompt; others may pass."""


class PatientClient:
    """Asks a server until it answers.

    A server that cannot be reached, fails (HTTP 5xx) or asks for patience (429) is asked again, after pauses that
    grow, or when it says (Retry-After), until nothing has been answered for `patience_minutes`.

    Args:
        fields: the recipe's section `generate.server`.

    Raises:
        EngineError: the key cannot be one.
    """

    def __init__(self, fields: ServerFields) -> None:
        import openai

        self._fields = fields
        self._client = openai.OpenAI(
            base_url=fields.url,
            # Servers of one's own want none, and the client wants one.
            api_key=_key() or "none",
            max_retries=0,  # what a failure means is decided here
            timeout=_SECONDS_FOR_AN_ANSWER,
        )
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._answered_at, self._next_at = time.monotonic(), 0.0
        self._is_failing = False

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is asked."""
        return self._stopped.is_set()

    def begin(self) -> None:
        """Count the minutes of patience from now."""
        self._answered_at = time.monotonic()

    def stop(self) -> None:
        """Ask for nothing more; requests that wait fail, and those under way are finished."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, send: Callable[[OpenAI], Result]) -> Result:
        """Return what the server answers, however often it has to be asked.

        Args:
            send: sends the request.

        Raises:
            FilteredError: its content filter refuses this prompt.
            EngineError: it refuses the request for good.
            GenerationError: it does not answer any more, or another request failed.
        """
        import openai

        pause = 1.0
        while True:
            self._keep_to_the_rate()
            try:
                result = send(self._client)
            except openai.APIStatusError as error:
                status = error.status_code
                if not (status in (408, 409, 429) or status >= 500) or error.code == "insufficient_quota":
                    if error.code == _FILTERED:
                        self._note_answer()
                    raise self._refused(error) from error
                failure: openai.APIError = error
                asked_for = error.response.headers.get("retry-after", "")
                wait = float(asked_for) if asked_for.replace(".", "", 1).isdecimal() else pause
            except openai.APIConnectionError as error:
                failure, wait = error, pause
            else:
                self._note_answer()
                return result
            reason = _without_key(first_line(failure))
            if time.monotonic() + wait - self._answered_at > 60 * self._fields.patience_minutes:
                raise GenerationError(
                    f"{self._fields.url}: {reason}; it would have to be waited for beyond "
                    f"{self._fields.patience_minutes:g} minutes without an answer "
                    "(generate.server.patience_minutes); what was finished is kept, and the same command goes on "
                    "from there"
                ) from failure
            with self._lock:
                if not self._is_failing:
                    self._is_failing = True
                    say(f"{self._fields.url}: {reason}; trying again")
            # Not all at once: a server that has just begun again would fall over them.
            if self._stopped.wait(wait * random.uniform(1.0, 1.25)):
                raise GenerationError(f"{self._fields.url}: {reason}; another request failed") from failure
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note_answer(self) -> None:
        self._answered_at, self._is_failing = time.monotonic(), False

    def _keep_to_the_rate(self) -> None:
        """Wait until the next request may be sent."""
        if self._fields.requests_per_minute is None:
            return
        with self._lock:
            begin = max(time.monotonic(), self._next_at)
            self._next_at = begin + 60 / self._fields.requests_per_minute
        if self._stopped.wait(max(0.0, begin - time.monotonic())):
            raise GenerationError(f"{self._fields.url}: another request failed")

    def _refused(self, error: Any) -> EngineError:
        url, status = self._fields.url, error.status_code
        if status in (401, 403):
            there = "refuses the key in" if _key() else "wants a key, and there is none in"
            return EngineError(f"{url}: {there} {KEY}; set it in the environment")
        if status == 404:
            return EngineError(f"{url}: no such address or model; such a URL ends with /v1 (generate.server.url)")
        kind = FilteredError if error.code == _FILTERED else EngineError
        return kind(f"{url}: HTTP {status}: {_without_key(first_line(error))}{self._advice(error)}")

    def _advice(self, error: Any) -> str:
        """What to change in the recipe, where the server does not know a field of the body."""
        if error.status_code not in (400, 422):
            return ""
        texts = [str(error.param or ""), str(error), str(error.body)]
        added = [name for name in self._fields.extra_body if any(_is_named(name, text) for text in texts)]
        if added and any(map(_UNKNOWN.search, texts)):
            return f"; remove {', '.join(added)} from generate.server.extra_body"
        if "chat_template_kwargs" in self._fields.further_fields and any(
            _is_named(name, text) for name in ("chat_template_kwargs", "enable_thinking") for text in texts
        ):
            return "; leave it out with generate.server.leave_out=[chat_template_kwargs]"
        if not any(map(_UNKNOWN.search, texts)):
            return ""
        sent = [name for name in get_args(SentField) if name not in self._fields.leave_out]
        # A body may repeat the whole request: the shortest text that names a field names the one that is meant.
        for text in texts:
            if names := [name for name in sent if _is_named(name, text)]:
                return f"; leave it out with generate.server.leave_out=[{','.join(names)}]"
        return ""


def _is_named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w\\]){re.escape(name)}(?!\w)", text) is not None


def _key() -> str:
    """The key in the environment.

    Raises:
        EngineError: it holds what a header cannot.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EngineError(f"{KEY}: holds letters that no key has; set it anew")
    return key


def _without_key(text: str) -> str:
    """A server's words, in which the key may stand."""
    key = _key()
    return text.replace(key, "…") if key else text
