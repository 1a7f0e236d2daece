"""The engine openai: any server that speaks OpenAI's protocol, such as `vllm serve`, or Solar by its URL."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm_summ.core.errors import EngineError, GenerationError
from llm_summ.core.formatting import counted
from llm_summ.core.progress import say
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.engines.answers import NoAnswer, Tally, unanswered_lines
from llm_summ.generate.engines.openai_protocol import (
    output_with_ids,
    read_choice,
    reading_answers,
    request_body,
    send,
    used_line,
)
from llm_summ.generate.engines.patient_client import KEY, FilteredError, PatientClient
from llm_summ.generate.live_worker import StartLive
from llm_summ.generate.model_source import EngineLoader, ModelSource, saved_tokenizer
from llm_summ.prompt import Renderer
from llm_summ.recipe import Recipe, ServerFields
from llm_summ.runs.run import Run

__all__ = ["KEY", "OpenaiEngine", "OpenaiLoader"]

_ATTEMPTS = 3  # to get an answer; with the same settings, a third text rarely differs
_HOPELESS = 8  # stop if none of the first 8 dialogues has an answer
_KEPT = "finished outputs are kept"


@dataclass(frozen=True, slots=True)
class _Reply:
    """The server's answers for one dialogue.

    Attributes:
        index: of the request.
        outputs: the candidates to keep, in order.
        had_thoughts: number of candidates from which thoughts were removed.
        why: the reason why a candidate is missing; None: none is missing.
    """

    index: int
    outputs: list[Output]
    had_thoughts: int
    why: NoAnswer | None


class OpenaiEngine:
    """Sends requests to a server, many at a time, and repeats those without a usable answer.

    Args:
        fields: the recipe's section `generate.server`.

    Raises:
        EngineError: the key has characters that no key can have.
    """

    name = "openai"

    def __init__(self, fields: ServerFields) -> None:
        self._fields = fields
        self._server, self._lock = PatientClient(fields), threading.Lock()
        self.prompt_tokens = self.completion_tokens = 0
        self._model = fields.model or ""
        self._tallies: list[Tally] = []
        self._answers = self._had_thoughts = 0
        self._is_broken_off = False

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Send all requests, `concurrency` at a time, and yield outputs as they arrive.

        A request without an answer does not stop the others: `close` raises one error for all of them.

        Raises:
            GenerationError: the server rejects a request, stops answering, or has no answer for any of the first
                few requests.
        """
        self._server.begin()
        self._is_broken_off = True  # until the end
        tally = Tally()
        self._tallies.append(tally)
        is_hopeful = bool(done) or self._answers > 0
        given: set[Future[_Reply]] = set()
        with ThreadPoolExecutor(self._fields.concurrency) as pool:
            left = unfinished(len(requests), decoding.n, done)
            futures = [pool.submit(self._ask, index, requests[index], stop_id, decoding, done) for index in left]
            try:
                for future in as_completed(futures):
                    reply = future.result()
                    given.add(future)
                    yield from self._take(reply, tally)
                    is_hopeful = is_hopeful or bool(reply.outputs)
                    if not is_hopeful and sum(each.asked for each in self._tallies) == _HOPELESS:
                        raise GenerationError(self._unanswered(stopped=True))
            except BaseException as error:
                self._server.stop()
                for future in futures:
                    future.cancel()
                failed = isinstance(error, Exception)
                if failed:  # keep the answers to requests that are under way: they cost money
                    wait(futures)
                self._server.close()  # after an interrupt, do not wait for requests that are under way
                for future in futures if failed else ():
                    finished = future.done() and not future.cancelled() and future not in given
                    if finished and future.exception() is None:
                        yield from self._take(future.result(), tally)
                if isinstance(error, EngineError):
                    raise GenerationError(f"{error}; {_KEPT}") from error
                raise
        self._is_broken_off = False

    def close(self) -> None:
        """Log the tokens used, and close the connections.

        Raises:
            GenerationError: the generation was completed, but some dialogues have no answer.
        """
        url = self._fields.url
        say(used_line(self._fields, self.prompt_tokens, self.completion_tokens))
        if self._had_thoughts:
            say(f"{url}: removed <think>…</think> from {self._had_thoughts} of {self._answers} answers")
        self._server.close()
        if lines := self._unanswered():
            if not self._is_broken_off:
                raise GenerationError(lines)
            say(lines)  # another error is being raised

    def find_model(self) -> str:
        """Return the model that the recipe names, or the server's only one, and use it for all requests.

        Raises:
            EngineError: the server rejects the key, does not serve the model, or does not speak OpenAI's protocol.
            GenerationError: the server cannot be reached.
        """
        import openai

        wanted = self._fields.model
        try:
            with reading_answers(self._fields):
                served = [model.id for model in self._server.ask(lambda client: list(client.models.list()))]
        except EngineError as error:
            # Not all servers have that list. It is not needed if the recipe names the model.
            if wanted is None or not isinstance(error.__cause__, openai.NotFoundError):
                raise
            served = []
        self._model = self._choose(wanted, served)
        return self._model

    def _choose(self, wanted: str | None, served: Sequence[str]) -> str:
        if wanted is None and len(served) == 1:
            return served[0]
        if wanted is None and not served:
            raise EngineError(
                f"{self._fields.url}: lists no model; load one there, or name one that it does not list: "
                "--set generate.server.model=…"
            )
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

    def _ask(
        self, index: int, request: Request, stop_id: int, decoding: Decoding, done: Collection[Key]
    ) -> _Reply:
        """Request the missing candidates of one dialogue, and request again those without an answer."""
        with reading_answers(self._fields):
            return self._asked(index, request, stop_id, decoding, done)

    def _asked(
        self, index: int, request: Request, stop_id: int, decoding: Decoding, done: Collection[Key]
    ) -> _Reply:
        fields = self._fields
        body = request_body(fields, request, stop_id, decoding)
        outputs: dict[int, Output] = {}
        had_thoughts, why = 0, None
        for _ in range(_ATTEMPTS):
            why = None
            try:
                result = self._server.ask(lambda client: send(client, fields, self._model, request, body))
            except FilteredError:
                why = NoAnswer.CONTENT_FILTER
            else:
                self._count(result, decoding)
                tokens = result.usage.completion_tokens // len(result.choices) if result.usage else 0
                for choice in result.choices:
                    if choice.index in outputs or (index, choice.index) in done:
                        continue
                    answer = read_choice(choice)
                    if isinstance(answer, NoAnswer):
                        why = why or answer
                        continue
                    outputs[choice.index] = (
                        output_with_ids(fields.url, index, choice, answer)
                        if fields.prompt == "tokens"
                        else Output(index, (), answer.finish_reason, choice.index, text=answer.text, tokens=tokens)
                    )
                    had_thoughts += answer.had_thoughts
            if why is None or self._server.is_stopped:
                break
        return _Reply(index, [outputs[sample] for sample in sorted(outputs)], had_thoughts, why)

    def _count(self, result: Any, decoding: Decoding) -> None:
        """Check that an answer has all candidates, and add up the tokens that it used."""
        if not result.choices:
            raise EngineError(f"{self._fields.url}: its answer has no text; check generate.server.url")
        if result.usage is not None:
            with self._lock:
                self.prompt_tokens += result.usage.prompt_tokens
                self.completion_tokens += result.usage.completion_tokens
        if sorted(choice.index for choice in result.choices) != list(range(decoding.n)):
            raise EngineError(
                f"{self._fields.url}: returned {counted(len(result.choices), 'candidate')} for a prompt, expected "
                f"{decoding.n}; ask for one (generate.n, --best-of, --length)"
            )

    def _take(self, reply: _Reply, tally: Tally) -> list[Output]:
        """Count the reply for a dialogue, and return the outputs to keep."""
        tally.add(reply.index, reply.why)
        self._answers += len(reply.outputs)
        self._had_thoughts += reply.had_thoughts
        return reply.outputs

    def _unanswered(self, *, stopped: bool = False) -> str:
        """Return a line for each generation in which dialogues have no answer; a second call returns none."""
        lines = unanswered_lines(self._fields.url, self._tallies, stopped=stopped)
        self._tallies = []
        return "\n".join(lines)


class OpenaiLoader(EngineLoader):
    """Finds the model of the server that a recipe names."""

    def source(self, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
        """Return the server's model. The texts depend on it, so if the recipe has no name the server is asked."""
        server = recipe.generate.server
        engine = OpenaiEngine(server)
        where = {"url": server.url, "model": server.model or engine.find_model(), "prompt": server.prompt}
        where |= server.body_identity

        def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
            if server.model:  # otherwise the server was asked above
                engine.find_model()
            return engine

        def live(renderer: Renderer, longest: int) -> StartLive:
            if server.model:
                engine.find_model()
            from llm_summ.generate.engines.openai_live import OpenaiLive

            return partial(OpenaiLive, server.model_copy(update={"model": where["model"]}))

        identity = {"adapter": "the server's", "server": where}
        return ModelSource(saved_tokenizer(run, recipe), identity, start, live=live)
