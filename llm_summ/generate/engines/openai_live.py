"""The live form of the engine openai: the server's texts as it writes them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from llm_summ.core.errors import EngineError, UpstreamError
from llm_summ.core.formatting import counted
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.engines.answers import Answer, NoAnswer, read_answer, visible_text
from llm_summ.generate.engines.openai_protocol import output_with_ids, request_body, send, used_line
from llm_summ.generate.engines.patient_client import (
    FilteredError,
    client_options,
    names_field,
    refusal,
    retry_pause,
)
from llm_summ.generate.engines.request_rate import RequestRate
from llm_summ.generate.live import Piece
from llm_summ.recipe import ServerFields

__all__ = ["OpenaiLive"]

_ATTEMPTS = 3  # to get an answer
_LONGEST_PATIENCE = 60.0  # seconds without an answer: a caller waits
_LONGEST_PAUSE = 10.0


@dataclass(slots=True)
class _Choice:
    """A candidate while it comes; attributes as those of openai's choices, for `output_with_ids`."""

    index: int
    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    token_logprobs: list[float | None] = field(default_factory=list)

    @property
    def model_extra(self) -> dict[str, Any]:
        return {"token_ids": self.token_ids}

    @property
    def logprobs(self) -> _Choice | None:
        return self if self.token_logprobs else None

    def add(self, part: Any) -> None:
        """Add a part of a choice: of a completion, or of a chat completion."""
        delta = getattr(part, "delta", None)
        self.finish_reason = part.finish_reason or self.finish_reason
        if delta is None:
            self.text += getattr(part, "text", None) or ""
            ids = (part.model_extra or {}).get("token_ids")
            self.token_ids = self.token_ids if ids is None else [*(self.token_ids or []), *ids]
            logprobs = getattr(part, "logprobs", None)
            self.token_logprobs += (logprobs and logprobs.token_logprobs) or []
            return
        further = delta.model_extra or {}
        self.text += delta.content or ""
        self.refusal += delta.refusal or ""
        self.thoughts += further.get("reasoning_content") or further.get("reasoning") or ""

    def answer(self) -> Answer | NoAnswer:
        """Read the whole choice."""
        if self.finish_reason is None:
            return NoAnswer.BROKEN_OFF
        return read_answer(self.text, self.finish_reason, refusal=self.refusal, thoughts=self.thoughts)


@dataclass(slots=True)
class _Reply:
    """The candidates of a request while they come, the tokens of all, and whether the stream broke off."""

    choices: dict[int, _Choice] = field(default_factory=dict)
    tokens: int = 0
    is_broken: bool = False


class OpenaiLive:
    """Sends each request when it comes, `concurrency` at a time, and passes on the text as it comes.

    Thoughts are not passed on. An answer that cannot be used is requested again; then its text comes as a whole.

    Args:
        fields: the recipe's section `generate.server`, with a model.

    Raises:
        EngineError: the key has characters that no key can have.
    """

    name = "openai"

    def __init__(self, fields: ServerFields) -> None:
        import openai

        self._fields = fields
        self._client = openai.AsyncOpenAI(**client_options(fields))
        self._places = asyncio.Semaphore(fields.concurrency)
        self._counts_tokens = True
        self._rate = RequestRate(fields.requests_per_minute)
        self._prompt_tokens = self._completion_tokens = 0

    async def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        """Yield the pieces of a request. The connection is closed when the iterator is, which stops the server.

        Raises:
            UpstreamError: the server rejects the request, does not answer, or has no usable text.
        """
        body = request_body(self._fields, request, stop_id, decoding)
        finished: set[int] = set()
        why: NoAnswer | None = None
        async with self._places:
            yield Piece()
            for attempt in range(_ATTEMPTS):
                reply, why = _Reply(), None
                try:
                    async with contextlib.aclosing(self._parts(request, body, reply)) as parts:
                        async for piece in parts:
                            if attempt == 0:
                                yield piece
                except FilteredError:
                    why = NoAnswer.CONTENT_FILTER
                    continue
                if reply.is_broken or not reply.choices:
                    why = NoAnswer.BROKEN_OFF
                    continue
                self._check(reply, decoding)
                for sample, choice in sorted(reply.choices.items()):
                    answer = choice.answer()
                    if isinstance(answer, NoAnswer):
                        why = why or answer
                    elif sample not in finished:
                        finished.add(sample)
                        yield Piece(sample, output=self._output(choice, answer, reply.tokens // decoding.n))
                if len(finished) == decoding.n:
                    return
        assert why is not None
        raise UpstreamError(f"{self._fields.url}: no answer to a prompt ({why.value})")

    async def _parts(self, request: Request, body: dict[str, Any], reply: _Reply) -> AsyncGenerator[Piece, None]:
        """Send a request, fill `reply`, and yield what can be shown of its texts."""
        shown: dict[int, int] = {}
        stream = await self._send(request, body)
        try:
            async for chunk in stream:
                if chunk.usage is not None:
                    self._prompt_tokens += chunk.usage.prompt_tokens
                    self._completion_tokens += chunk.usage.completion_tokens
                    reply.tokens = chunk.usage.completion_tokens
                for part in chunk.choices or []:
                    choice = reply.choices.setdefault(part.index, _Choice(part.index))
                    choice.add(part)
                    text = visible_text(choice.text)
                    new = text[shown.get(part.index, 0) :]
                    if new:
                        shown[part.index] = len(text)
                        yield Piece(part.index, text=new)
        except _stream_errors():
            reply.is_broken = True
        finally:
            await stream.close()

    async def _send(self, request: Request, body: dict[str, Any]) -> Any:
        """Send a request until the server answers, and return its stream.

        Raises:
            FilteredError: the server's filter rejects the prompt.
            UpstreamError: the server rejects the request, and a retry would not help; or it does not answer.
        """
        import openai

        began, pause, is_failing = time.monotonic(), 1.0, False
        while True:
            await asyncio.sleep(self._rate.next_wait())
            streamed = body | {"stream_options": {"include_usage": True}} if self._counts_tokens else body
            try:
                return await send(
                    self._client, self._fields, self._fields.model or "", request, streamed, stream=True
                )
            except (openai.APIStatusError, openai.APIConnectionError) as error:
                wanted = retry_pause(error, pause)
                if wanted is None:
                    if streamed is not body and names_field(error, "stream_options"):
                        self._counts_tokens = False  # this server does not know the field
                        continue
                    refused = refusal(self._fields, error, quotes=False)
                    if isinstance(refused, FilteredError):
                        raise refused from error
                    raise UpstreamError(str(refused)) from error
                status = getattr(error, "status_code", None)
                reason = type(error).__name__ if status is None else f"HTTP {status}"
            patience = min(_LONGEST_PATIENCE, 60 * self._fields.patience_minutes)
            if time.monotonic() + wanted - began > patience:
                raise UpstreamError(
                    f"{self._fields.url}: {reason}; gave up after {patience:.0f} s without an answer"
                )
            if not is_failing:
                is_failing = True
                say(f"{self._fields.url}: {reason}; trying again")
            # Retry at different times: a server that has just restarted would be overloaded by all at once.
            await asyncio.sleep(wanted * random.uniform(1.0, 1.25))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _check(self, reply: _Reply, decoding: Decoding) -> None:
        if sorted(reply.choices) != list(range(decoding.n)):
            raise UpstreamError(
                f"{self._fields.url}: returned {counted(len(reply.choices), 'candidate')} for a prompt, "
                f"expected {decoding.n}"
            )

    def _output(self, choice: _Choice, answer: Answer, tokens: int) -> Output:
        if self._fields.prompt == "tokens":
            try:
                return output_with_ids(self._fields.url, 0, choice, answer)
            except EngineError as error:
                raise UpstreamError(str(error)) from error
        return Output(0, (), answer.finish_reason, choice.index, text=answer.text, tokens=tokens)

    async def close(self) -> None:
        """Log the tokens used, and close the connections."""
        say(used_line(self._fields, self._prompt_tokens, self._completion_tokens))
        await self._client.close()


def _stream_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a stream that breaks off, or has parts that are not of the protocol.

    openai's client checks neither that they are JSON nor what they contain. Early versions do not wrap the errors
    of the HTTP library either, which is httpx or httpx2.
    """
    import openai

    loaded = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    not_protocol = (AttributeError, TypeError, ValueError)
    return (openai.APIError, *not_protocol, *(library.TransportError for library in loaded))
