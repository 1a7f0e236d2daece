"""A model that the service has started, with its prompts and lengths."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_summ.core.formatting import did_you_mean
from llm_summ.data.preparation import Speakers
from llm_summ.generate.engine import Engine
from llm_summ.generate.length_choice import Length
from llm_summ.generate.live_process import EngineProcess, EngineState, OnTokens
from llm_summ.generate.summarizer import Summarizer
from llm_summ.prompt.saved_prompt import reads_tags
from llm_summ.runs.run import Run
from llm_summ.serve.errors import RETRY_SECONDS, HttpError

__all__ = ["Asked", "ServedModel", "ServedModels"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of a model: a prompt, a length and a number of candidates; None: the model's own."""

    prompt: str | None = None
    length: Length | None = None
    best_of: int = 1


class ServedModel:
    """A started model.

    Args:
        name: as clients name it.
        summarizer: of its own prompt, opened live.
        run: the run, or merged folder; None: it was not trained here.

    Attributes:
        prompts: the names of its prompts, its own first.
    """

    def __init__(self, name: str, summarizer: Summarizer, run: Run | None) -> None:
        assert isinstance(summarizer.engine, EngineProcess)
        self._run = run
        self.name, self._summarizer, self._process = name, summarizer, summarizer.engine
        self.started = int(time.time())
        self.prompts = summarizer.prompts
        self._by_prompt = {self.prompts[0]: summarizer}
        self._lock = threading.Lock()

    @property
    def state(self) -> EngineState:
        """Whether its engine is "starting", "ready" or "down"."""
        return self._process.state

    @property
    def waiting(self) -> int:
        """Number of prompts that wait for the engine."""
        return self._process.waiting

    @property
    def running(self) -> int:
        """Number of prompts that are generated."""
        return self._process.running

    @property
    def engine_name(self) -> str:
        """The engine's name."""
        return self._process.name

    @property
    def pid(self) -> int | None:
        """The id of its engine's process; None: there is none now."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """Wait until its engine works, and return whether it does; errors are those of `EngineProcess.wait`."""
        return self._process.wait(seconds)

    def view(self, on_tokens: OnTokens | None, cancelled: threading.Event) -> Engine:
        """Return its engine for one request, see `EngineProcess.engine`."""
        return self._process.engine(on_tokens, cancelled)

    def described(self) -> dict[str, Any]:
        """Return the model as ``GET /v1/models`` lists it."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.started,
            "owned_by": "llm-summ",
            "engine": self.engine_name,
            "prompts": list(self.prompts),
            "default_prompt": self.prompts[0],
            "speakers": self.speakers(None),
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
            InputError: the prompt is unknown, or the engine writes no candidates, which the request needs.
        """
        summarizer = self._prompt(asked.prompt)
        summarizer = summarizer.best_of(asked.best_of)
        return summarizer if asked.length is None else summarizer.asking_for(asked.length)

    def speakers(self, prompt: str | None) -> Speakers:
        """Return whether the model reads names of speakers or tags by default, as `summarize` chooses it.

        A prompt other than its own may have to be made first, which takes time: ask for it in a thread.
        """
        template = self._prompt(prompt).renderer.template
        return "tags" if reads_tags(self._run, template) else "keep"

    def _prompt(self, name: str | None) -> Summarizer:
        name = name or self.prompts[0]
        if (made := self._by_prompt.get(name)) is not None:  # without the lock: making another prompt takes time
            return made
        with self._lock:
            if name not in self._by_prompt:
                self._by_prompt[name] = self._summarizer.with_prompt(name)
            return self._by_prompt[name]

    def close(self, patience: float) -> None:
        """End the engine's process."""
        self._process.close(patience)


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
