"""The requests, as JSON or as the fields of a form; what is not valid is one line, as on the command line."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llm_summ.core.errors import first_line
from llm_summ.core.formatting import did_you_mean
from llm_summ.data.preparation import Handling, Speakers
from llm_summ.generate.length_choice import LengthName
from llm_summ.generate.long_dialogues import Long
from llm_summ.serve.errors import HttpError
from llm_summ.serve.limits import MOST_DIALOGUES

__all__ = [
    "MOST_CANDIDATES",
    "DialogueBody",
    "DialoguesBody",
    "FeedbackBody",
    "Handled",
    "Length",
    "Options",
    "SummariesBody",
    "parsed",
    "too_many_dialogues",
    "validated",
]

MOST_CANDIDATES = 16
"""Of a summary, with ``best_of``."""

Identity = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*$")]
"""An id: as long as a name, and on one line."""
Length = Annotated[int, Field(ge=1)] | LengthName
_MOST_NAMES = 10_000
_EXPECTED_LENGTH = "expected a number of characters, or short, medium or long"


def _names(value: Any) -> Any:
    """Return names as a mapping; a form has them as a JSON text."""
    expected = 'expected {"참석자 1": "김 과장"}'
    if isinstance(value, str):
        import json

        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON; {expected}") from error
    if isinstance(value, dict):
        if len(value) > _MOST_NAMES:
            raise ValueError(f"found {len(value):,} names; expected at most {_MOST_NAMES:,}")
        if not all(isinstance(name, str) for name in value.values()):
            raise ValueError(f"found a name that is no text; {expected}")
        if not all(name.strip() for name in value.values()):
            raise ValueError("found an empty name; expected a name, or leave the speaker out")
    return value


# pydantic collects an error for each item and each unknown field, which may be millions. So lists fail with the
# first one, and unknown fields are looked for before.


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            unknown = next((name for name in value if name not in cls.model_fields), None)
            if unknown is not None:
                raise PydanticCustomError("unknown_field", "unknown field", {"name": unknown})
        return value


class Handled(_Body):
    """What is done with names and personal data; the fields are those of `Handling`.

    Attributes:
        speakers: ``tags``: the model reads ``#Person1#`` in place of names; None: as the model was trained.
        names: other names of speakers.
        mask: personal data becomes masks before the model reads it.
        unmask: masks in summaries become personal data again.
    """

    speakers: Speakers | None = None
    names: Annotated[dict[str, str], BeforeValidator(_names)] = {}
    mask: bool = False
    unmask: bool = False

    def handling(self, speakers: Speakers) -> Handling:
        """Return these fields for the reader of dialogues.

        Args:
            speakers: what the model reads by default.

        Raises:
            DataError: they do not go together.
        """
        return Handling(self.speakers or speakers, self.names, self.mask, self.unmask)


class Options(Handled):
    """How dialogues are summarised.

    Attributes:
        model: one of ``GET /v1/models``; None: the first.
        prompt: the name of a prompt; None: the model's own.
        long: what is done about a dialogue that is too long for one prompt.
        length: the length to ask for, in characters or in a word.
        best_of: candidates, of which the one that agrees best with the others is taken.
        format: of texts and files; None: it is known by their content.
        stream: whether the answer is a stream of events.
    """

    model: str | None = None
    prompt: str | None = None
    long: Long = "list"
    length: Length | None = None
    best_of: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 1
    format: str | None = None
    stream: bool = False


class DialogueBody(_Body):
    """One dialogue: a text, or its turns.

    Attributes:
        id: as the answer names it.
        text: with a turn on each line, or a chat as it was copied.
        turns: as `turn_list` reads them: texts, or objects with `speaker`, `text`, `start` and `end`.
    """

    id: Identity | None = None
    text: str | None = None
    turns: list[Any] | None = None


class DialoguesBody(DialogueBody):
    """Dialogues to read: a text, turns, or several dialogues.

    Attributes:
        dialogues: several; each is one dialogue, and is not cut into several.
        format: as in `Options`.
    """

    dialogues: Annotated[list[DialogueBody], Field(max_length=MOST_DIALOGUES, fail_fast=True)] | None = None
    format: str | None = None


class SummariesBody(Options, DialoguesBody):
    """Dialogues to summarise, and how."""


class FeedbackBody(Handled):
    """Which of two summaries is better.

    Attributes:
        model: as in `Options`.
        prompt: as in `Options`.
        length: as in `Options`.
        long: as in `Options`.
        dialogue: what was summarised, the whole.
        part: the number of a part, from 0, as in `parts` of the answer; None: the summary is of the whole.
        chosen: the better summary.
        rejected: the other one.
        kind: "better": both are the model's; "edited": `chosen` was written by a person.
    """

    model: str | None = None
    prompt: str | None = None
    length: Length | None = None
    long: Long = "list"
    dialogue: DialogueBody
    part: Annotated[int, Field(ge=0)] | None = None
    chosen: str
    rejected: str
    kind: Literal["better", "edited"]


Model = TypeVar("Model", bound=BaseModel)


def parsed(model: type[Model], body: bytes) -> Model:
    """Return a request of JSON.

    Raises:
        HttpError: it is not JSON, or not valid.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(model, error) from None  # the error has the text of the request


def validated(model: type[Model], fields: dict[str, Any]) -> Model:
    """Return a request of the fields of a form.

    Raises:
        HttpError: they are not valid.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _invalid(model, error) from None


def _invalid(model: type[BaseModel], error: ValidationError) -> HttpError:
    """Return the first reason, in words; it names fields, and shows no text of the request but a short value."""
    details = error.errors(include_url=False)[0]
    kind, place = details["type"], [key for key in details["loc"] if key not in ("int", "constrained-int")]
    if kind == "json_invalid":
        reason = str(details.get("ctx", {}).get("error", "")).partition(" at ")
        where = f" at {reason[2]}" if reason[2] else ""
        return HttpError(400, f"body: found no JSON ({reason[0]}{where}); expected an object", "invalid_json")
    if kind == "unknown_field":
        place.append(details["ctx"]["name"])
    if not place:
        return HttpError(400, "body: expected a JSON object", "invalid_json")
    name = _field_name(place)
    if kind == "too_long" and place == ["dialogues"]:
        return too_many_dialogues(MOST_DIALOGUES)
    if kind == "unknown_field":
        known = [field for field in model.model_fields if field not in ("id",)]
        hint = did_you_mean(str(place[-1]), known, f"known fields: {', '.join(known)}")
        return HttpError(400, f"{name}: unknown field; {hint}", "unknown_field")
    if place[0] == "length":
        return HttpError(400, f"length: {_EXPECTED_LENGTH}", "invalid_field")
    return HttpError(400, f"{name}: {_reason(details)}", "invalid_field")


def too_many_dialogues(most: int, found: int | None = None) -> HttpError:
    """Return the answer to a request with more dialogues than it may have."""
    count = f"more than {most:,}" if found is None else f"{found:,}"
    return HttpError(413, f"found {count} dialogues; expected at most {most:,} in a request", "too_many_dialogues")


def _field_name(place: list[Any]) -> str:
    """Return the path of a field: ``dialogues[0].turns``."""
    name = str(place[0])
    for key in place[1:]:
        name += f"[{key}]" if isinstance(key, int) else f".{key}" if str(key).isidentifier() else ""
    return name


def _reason(details: Any) -> str:
    if details["type"] == "missing":
        return "is missing"
    text = first_line(ValueError(details["msg"])).removeprefix("Value error, ")
    found = details.get("input")
    shown = f"found {found!r}; " if isinstance(found, int | float | bool) else ""
    if isinstance(found, str) and len(found) <= 20 and details["type"] != "value_error":
        shown = f"found {found!r}; "
    return shown + text[:1].lower() + text[1:]
