"""The engine openai: any server that speaks OpenAI's protocol, such as `vllm serve`, or Solar by its URL."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any, TypeVar

from llm_summ.errors import EngineError, GenerationError, first_line
from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request, unfinished
from llm_summ.progress import say
from llm_summ.recipe import ServerFields

__all__ = ["KEY", "OpenaiEngine"]

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key. It is written nowhere."""

Answer = TypeVar("Answer")

_LONGEST_PAUSE = 30.0
_SECONDS_FOR_AN_ANSWER = 600.0
_PER_MILLION = 1e6


class OpenaiEngine:
    """Asks a server, many requests at a time.

    A server that cannot be reached, fails (HTTP 5xx) or asks for patience (429) is asked again, after pauses that
    grow, or when it says (Retry-After), until nothing has been answered for `patience_minutes`.

    Args:
        fields: the recipe's section `generate.server`.

    Raises:
        EngineError: the key cannot be one.
    """

    name = "openai"

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
        self.prompt_tokens = self.completion_tokens = 0
        self._model = fields.model or ""

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Ask for all requests, `concurrency` at a time, and yield what comes, as it comes.

        Raises:
            GenerationError: the server refuses a request for good, or does not answer any more.
        """
        self._answered_at = time.monotonic()
        ask = self._ask_with_ids if self._fields.prompt == "tokens" else self._ask_with_messages
        given: set[Future[list[Output]]] = set()
        with ThreadPoolExecutor(self._fields.concurrency) as pool:
            left = unfinished(len(requests), decoding.n, done)
            asked = [pool.submit(ask, index, requests[index], stop_id, decoding) for index in left]
            try:
                for future in as_completed(asked):
                    outputs = future.result()
                    given.add(future)
                    yield from outputs
            except BaseException as error:
                self._stopped.set()
                for future in asked:
                    future.cancel()
                failed = isinstance(error, Exception)
                if failed:  # others are being answered, and will be paid for
                    wait(asked)
                self._client.close()  # where it was stopped, nobody waits for what is under way
                for future in asked if failed else ():
                    finished = future.done() and not future.cancelled() and future not in given
                    if finished and future.exception() is None:
                        yield from future.result()
                if isinstance(error, EngineError):
                    raise GenerationError(f"{error}; what was finished is kept") from error
                raise

    def close(self) -> None:
        """Say what was used, and let go of the connections."""
        used = f"{self.prompt_tokens:,} tokens asked, {self.completion_tokens:,} answered"
        if self._fields.price is not None:
            asked, answered = self._fields.price
            cost = (self.prompt_tokens * asked + self.completion_tokens * answered) / _PER_MILLION
            used += f", {cost:.4f} at {asked:g} and {answered:g} a million"
        say(f"{self._fields.url}: {used}")
        self._client.close()

    def find_model(self) -> str:
        """The model that the recipe names, or the only one that the server has; it is the one that is asked.

        Raises:
            EngineError: the server does not take the key, does not serve the model, or is no such server.
            GenerationError: it cannot be reached.
        """
        import openai

        wanted = self._fields.model
        try:
            served = [one.id for one in self._patiently(lambda: list(self._client.models.list()))]
        except EngineError as error:
            # Not all have that list; where the name is known, it is not needed.
            if wanted is None or not isinstance(error.__cause__, openai.NotFoundError):
                raise
            served = []
        except (AttributeError, TypeError) as error:
            raise EngineError(
                f"{self._fields.url}: answers, but not as such a server does; is it the one?"
            ) from error
        self._model = self._choose(wanted, served)
        return self._model

    def _choose(self, wanted: str | None, served: Sequence[str]) -> str:
        if wanted is None and len(served) == 1:
            return served[0]
        if wanted is None:
            raise EngineError(
                f"{self._fields.url}: serves {len(served)} models ({', '.join(served[:5])}); name one: "
                "--set generate.server.model=…"
            )
        if served and wanted not in served:
            raise EngineError(
                f"generate.server.model: {wanted} is not served by {self._fields.url}; expected one of "
                f"{', '.join(served[:10])}"
            )
        return wanted

    def _ask_with_ids(self, index: int, request: Request, stop_id: int, decoding: Decoding) -> list[Output]:
        """The prompt as token ids, which is what was trained: vLLM's servers take them."""
        found = self._patiently(
            lambda: self._client.completions.create(
                model=self._model,
                prompt=[list(request.prompt_ids)],
                max_tokens=request.max_new_tokens,
                n=decoding.n,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                seed=request.seed,
                frequency_penalty=0.0,
                presence_penalty=0.0,
                logprobs=1,
                extra_body={
                    # What the model's own file says would fill the gaps.
                    **{"top_k": decoding.top_k, "min_p": 0.0, "repetition_penalty": 1.0},
                    "stop_token_ids": [stop_id],
                    "ignore_eos": True,
                    "return_token_ids": True,
                },
            )
        )
        self._count(found)
        outputs = []
        for choice in found.choices:
            ids = (choice.model_extra or {}).get("token_ids")
            if ids is None:
                raise EngineError(
                    f"{self._fields.url}: does not give token ids, as vLLM's servers do; send it messages: --set "
                    "generate.server.prompt=chat"
                )
            logprobs = choice.logprobs.token_logprobs if choice.logprobs else None
            known = logprobs is not None and None not in logprobs
            outputs.append(
                Output(
                    index,
                    tuple(ids),
                    "stop" if choice.finish_reason == "stop" else "length",
                    choice.index,
                    sum(logprobs) if known else None,  # type: ignore[arg-type]
                )
            )
        return self._all(outputs, decoding)

    def _ask_with_messages(self, index: int, request: Request, stop_id: int, decoding: Decoding) -> list[Output]:
        """The prompt as messages, to which the server applies its own chat template; its model stops by itself."""
        found = self._patiently(
            lambda: self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": role, "content": text} for role, text in request.messages],  # type: ignore[misc]
                max_tokens=request.max_new_tokens,
                n=decoding.n,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                seed=request.seed,
            )
        )
        self._count(found)
        answered = found.usage.completion_tokens if found.usage else 0
        outputs = [
            Output(
                index,
                (),
                "stop" if choice.finish_reason == "stop" else "length",
                choice.index,
                text=choice.message.content or "",
                tokens=answered // len(found.choices),
            )
            for choice in found.choices
        ]
        return self._all(outputs, decoding)

    def _all(self, outputs: list[Output], decoding: Decoding) -> list[Output]:
        """The candidates in order, after a look whether all of them came."""
        outputs.sort(key=lambda output: output.sample)
        if [output.sample for output in outputs] != list(range(decoding.n)):
            raise EngineError(
                f"{self._fields.url}: gave {len(outputs)} candidates for a prompt, and {decoding.n} were asked "
                "for; set generate.n to 1"
            )
        return outputs

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What the server answers, however often it has to be asked."""
        import openai

        pause = 1.0
        while True:
            self._keep_to_the_rate()
            try:
                answer = ask()
            except openai.APIStatusError as error:
                status = error.status_code
                if not (status in (408, 409, 429) or status >= 500) or error.code == "insufficient_quota":
                    raise self._refused(error) from error
                failure: openai.APIError = error
                asked_for = error.response.headers.get("retry-after", "")
                wait = float(asked_for) if asked_for.replace(".", "", 1).isdecimal() else pause
            except openai.APIConnectionError as error:
                failure, wait = error, pause
            else:
                self._answered_at, self._is_failing = time.monotonic(), False
                return answer
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
        return EngineError(f"{url}: HTTP {status}: {_without_key(first_line(error))}")

    def _count(self, answer: Any) -> None:
        """Add up what an answer used, after a look whether it is one."""
        if not answer.choices:
            raise EngineError(f"{self._fields.url}: answers without a text; is it such a server?")
        if answer.usage is not None:
            with self._lock:
                self.prompt_tokens += answer.usage.prompt_tokens
                self.completion_tokens += answer.usage.completion_tokens


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
