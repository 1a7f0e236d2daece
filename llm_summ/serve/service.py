"""The service without its routes: models, places for work, figures, feedback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from llm_summ.serve.bodies import Options, too_many_dialogues
from llm_summ.serve.feedback import FeedbackFile
from llm_summ.serve.gate import Record
from llm_summ.serve.limits import ServiceSettings
from llm_summ.serve.metrics import Metrics
from llm_summ.serve.reading import InputDialogue
from llm_summ.serve.requests import receive_body
from llm_summ.serve.served_model import ServedModel, ServedModels
from llm_summ.serve.summarizing import Summarizing
from llm_summ.serve.work import BodySpace, Places

__all__ = ["Service"]


@dataclass(slots=True)
class Service:
    """What the routes share.

    Attributes:
        settings: what it was started with.
        models: the started models.
        places: for work.
        metrics: its figures.
        feedback: takes feedback; None: none is taken.
    """

    settings: ServiceSettings
    models: ServedModels
    places: Places
    metrics: Metrics = field(default_factory=Metrics)
    feedback: FeedbackFile | None = None

    def __post_init__(self) -> None:
        self.metrics.watch(self.places, self.models)

    @asynccontextmanager
    async def content(self, request: Request) -> AsyncIterator[tuple[bytes, BodySpace]]:
        """Receive the body of a request, if there is a place for it; the block parses it and starts its work.

        Yields:
            the body, and its space in memory, for `Places.start`.

        Raises:
            HttpError: there is no place, or the body is too large or too slow.
        """
        with self.places.reading() as space:
            yield await receive_body(request, self.settings, space.add), space

    def model_for(self, options: Options) -> ServedModel:
        """Return the model of a request, if its engine works now and it has the prompt.

        Raises:
            HttpError: the model is unknown, or its engine is not ready.
        """
        model = self.models.named(options.model)
        model.check_state()
        return model

    def on_end(self, record: Record) -> Callable[[Summarizing], None]:
        """Return what is done when the work of a request has ended, also if it was stopped or failed."""

        def note(task: Summarizing) -> None:
            usage = task.usage
            record.tokens = usage.generated
            self.metrics.summarized(task.model.name, usage.summaries, usage.prompt, usage.generated)

        return note

    def check_count(self, found: list[InputDialogue]) -> None:
        """Refuse too many dialogues.

        Raises:
            HttpError: there are more than one request may have.
        """
        if len(found) > (most := self.settings.max_dialogues):
            raise too_many_dialogues(most, len(found))
