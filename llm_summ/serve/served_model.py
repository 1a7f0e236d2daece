"""A model that the service has started, with its prompts and lengths."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.core.errors import PromptError
from llm_summ.core.formatting import did_you_mean
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.summarizer import Summarizer
from llm_summ.serve.errors import RETRY_SECONDS, HttpError

__all__ = ["Asked", "ServedModel", "ServedModels"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of a model: a prompt, a length and a number of candidates; None: the model's own."""

    prompt: str | None = None
    length: int | str | None = None
    best_of: int = 1


class ServedModel:
    """A started model.

    Args:
        name: as clients name it.
        summarizer: of its own prompt; its engine is a process.
    """

    def __init__(self, name: str, summarizer: Summarizer) -> None:
        self.name, self._summarizer = name, summarizer
        self.started = int(time.time())
        self._by_prompt = {summarizer.renderer.template.name: summarizer}
        self._lock = threading.Lock()

    @property
    def state(self) -> str:
        """Whether its engine is "starting", "ready" or "down"."""
        return "ready"

    @property
    def engine_name(self) -> str:
        """The engine's name."""
        return self._summarizer.engine.name

    def described(self) -> dict[str, Any]:
        """Return the model as ``GET /v1/models`` lists it."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.started,
            "owned_by": "llm-summ",
            "engine": self.engine_name,
            "prompts": list(self._summarizer.prompts),
            "default_prompt": self._summarizer.prompts[0],
            "lengths": list(self._summarizer.renderer.target_lengths),
            "state": self.state,
        }

    def check_state(self) -> None:
        """Check that its engine works now.

        Raises:
            HttpError: it starts, or is down.
        """
        if self.state != "ready":
            raise HttpError(
                503,
                f"{self.name}: its engine is {self.state}; try again later",
                f"engine_{self.state}",
                retry_after=RETRY_SECONDS,
            )

    def summarizer(self, asked: Asked) -> Summarizer:
        """Return a summarizer for one request; it is not closed.

        Raises:
            InputError: the prompt is unknown or asks for no length, or the engine has no candidates.
        """
        prompt = asked.prompt or self._summarizer.prompts[0]
        with self._lock:
            if prompt not in self._by_prompt:
                self._by_prompt[prompt] = self._summarizer.with_prompt(prompt)
            summarizer = self._by_prompt[prompt]
        if asked.length is not None:
            if not summarizer.renderer.target_lengths:
                raise PromptError(
                    f"length {asked.length}: {prompt} does not ask for a length; leave it out, or use a run that was "
                    "trained with prompt.template length"
                )
            summarizer = summarizer.asking_for(int(asked.length))
        return summarizer.best_of(asked.best_of)

    def close(self, patience: float) -> None:
        """End the engine's process."""
        del patience
        self._summarizer.close()


class ServedModels:
    """All models of the service; the first is the default.

    Args:
        models: by their names.
    """

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = dict(models)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def named(self, name: str | None) -> ServedModel:
        """Return a model by its name; None: the first.

        Raises:
            HttpError: there is none of this name.
        """
        if name is None:
            return next(iter(self))
        if name not in self._models:
            hint = did_you_mean(name, self._models, f"models here: {', '.join(self._models)}")
            raise HttpError(404, f"model {name[:100]}: unknown; {hint}", "model_not_found")
        return self._models[name]


_ONE_AT_A_TIME = threading.Lock()


class CalledEngine:
    """Interim until engines have processes: a view of an engine for one request."""

    def __init__(self, engine: Engine, on_tokens: Any, cancelled: threading.Event) -> None:
        self.name, self._engine, self._on_tokens, self._cancelled = engine.name, engine, on_tokens, cancelled

    def generate(
        self, requests: Sequence[Request], *, stop_id: int, decoding: Decoding = GREEDY, done: Collection[Key] = ()
    ) -> Iterator[Output]:
        """Yield outputs, in pieces for the watcher."""
        with _ONE_AT_A_TIME:
            for output in self._engine.generate(requests, stop_id=stop_id, decoding=decoding, done=done):
                words = (output.text or "").split(" ")
                for number, word in enumerate(words):
                    if self._on_tokens is not None:
                        time.sleep(0.03)
                        self._on_tokens(output.index, output.sample, word + " " * (number + 1 < len(words)))
                yield output

    def close(self) -> None:
        """Do nothing."""
