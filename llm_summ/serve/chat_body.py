"""A request of OpenAI's chat completions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from llm_summ.generate.long_dialogues import Long
from llm_summ.serve.bodies import MOST_CANDIDATES, Handled, Length, Options
from llm_summ.serve.errors import HttpError

__all__ = ["ChatBody"]

_MOST_MESSAGES = 10_000
_MOST_PARTS = 1000


class _ContentPart(BaseModel):
    type: str = "text"
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | Annotated[list[_ContentPart], Field(max_length=_MOST_PARTS, fail_fast=True)] | None = None

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatBody(Handled):
    """A request of OpenAI's chat completions; fields that mean nothing here are ignored.

    Attributes:
        messages: the last one of a user is the dialogue; system messages are ignored.
        n: as `best_of` in `Options`: one choice is returned.
        stream_options: whether the last event has the number of tokens.
    """

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    messages: Annotated[list[_Message], Field(min_length=1, max_length=_MOST_MESSAGES, fail_fast=True)]
    n: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    prompt: str | None = None
    long: Long = "list"
    length: Length | None = None
    format: str | None = None

    @property
    def dialogue(self) -> str:
        """The text of the dialogue.

        Raises:
            HttpError: no message is a user's.
        """
        texts = [message.text for message in self.messages if message.role == "user"]
        if not texts:
            raise HttpError(
                400, "messages: found none of a user; expected the dialogue in the last one", "no_dialogue"
            )
        return texts[-1]

    @property
    def options(self) -> Options:
        """These fields as those of ``POST /v1/summaries``."""
        return Options(
            model=self.model,
            prompt=self.prompt,
            long=self.long,
            length=self.length,
            best_of=self.n or 1,
            format=self.format,
            stream=bool(self.stream),
            **self.model_dump(include=set(Handled.model_fields)),
        )
