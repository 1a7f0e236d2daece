"""``POST /v1/summaries`` and ``POST /v1/dialogues``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_summ.serve.bodies import DialoguesBody, SummariesBody, parsed, validated
from llm_summ.serve.errors import HttpError, as_http_error
from llm_summ.serve.gate import record_of
from llm_summ.serve.reading import Check, InputDialogue, Upload, read_dialogues, read_uploads
from llm_summ.serve.requests import content_type, form_of, parsed_aside, plain_name
from llm_summ.serve.responses import PING_TEXT, EventStream, JsonAnswer, event_text, unless_gone
from llm_summ.serve.service import Service
from llm_summ.serve.summarizing import Summarizing, check_of
from llm_summ.serve.work import PING, Deadline, Work

__all__ = ["summary_routes"]

_FORM = "multipart/form-data"


def summary_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post("/v1/summaries", openapi_extra=_body_schema(SummariesBody))
    async def summaries(request: Request) -> Response:
        """Summarise one dialogue or many."""
        record = record_of(request.scope)
        record.path = "/v1/summaries"
        async with service.content(request) as (content, space):
            deadline = Deadline(service.settings.timeout)
            body, uploads = await parsed_aside(content, lambda: _request_of(SummariesBody, request, content))
            model = service.model_for(body)
            begun = time.monotonic()
            read = _reader(service, body, uploads)
            task = Summarizing(model, body, read, service.on_end(record), wants_deltas=body.stream)
            work = Work(task.run)
            service.places.start(work, space)
        if body.stream:
            return EventStream(_events(work, task, deadline, begun), deadline, _last_event, work.cancelled.set)
        answers = await unless_gone(request.receive, work.finish(deadline))
        seconds = round(time.monotonic() - begun, 3)
        return JsonAnswer({"model": model.name, "summaries": answers, "seconds": seconds, "notices": work.notices})

    @router.post("/v1/dialogues", openapi_extra=_body_schema(DialoguesBody))
    async def dialogues(request: Request) -> Response:
        """Return what was read: dialogues, their turns and their speakers."""
        record_of(request.scope).path = "/v1/dialogues"
        async with service.content(request) as (content, space):
            deadline = Deadline(service.settings.timeout)
            body, uploads = await parsed_aside(content, lambda: _request_of(DialoguesBody, request, content))
            read = _reader(service, body, uploads)
            work = Work(lambda emit, cancelled: read(check_of(cancelled)))
            service.places.start(work, space)
        found = await unless_gone(request.receive, work.finish(deadline))
        return JsonAnswer({"dialogues": [_read(one) for one in found], "notices": work.notices})

    return router


async def _events(
    work: Work[list[dict[str, Any]]], task: Summarizing, deadline: Deadline, begun: float
) -> AsyncGenerator[str]:
    async with aclosing(work.events(deadline)) as events:
        async for event in events:
            yield PING_TEXT if event is PING else event_text(event[1], event[0])
    work.result()  # raises the error of the work
    done = {
        "seconds": round(time.monotonic() - begun, 3),
        "tokens": task.usage.generated,
        "model": task.model.name,
        "notices": work.notices,
    }
    yield event_text(done, "done")


def _last_event(error: BaseException) -> str:
    return event_text(as_http_error(error).body, "error")


def _request_of(model: type[Any], request: Request, content: bytes) -> tuple[Any, list[Upload]]:
    """Return the fields of a request, and its files.

    Raises:
        HttpError: it is not valid.
    """
    kind = content_type(request)
    if kind == _FORM:
        fields, uploads = form_of(request.headers["content-type"], content)
        body = validated(model, fields)
        if uploads and (given := [name for name in ("text", "turns", "dialogues") if name in fields]):
            raise HttpError(400, f"found file and {given[0]}; expected one of them", "no_dialogue")
        return body, uploads
    if kind == "text/plain":
        name = request.query_params.get("name")
        if name is None:
            try:
                return model(text=content.decode()), []
            except UnicodeDecodeError:  # the readers know other encodings
                name = "text.txt"
        return model(), [Upload(plain_name(name), content)]
    if kind not in ("application/json", ""):
        raise HttpError(
            415,
            f"Content-Type {kind[:60]}: expected application/json, {_FORM} or text/plain",
            "unknown_content_type",
        )
    return parsed(model, content), []


def _reader(
    service: Service, body: DialoguesBody, uploads: list[Upload]
) -> Callable[[Check], list[InputDialogue]]:
    """Return a function that reads the dialogues of a request."""

    def read(check: Check) -> list[InputDialogue]:
        if not uploads:
            found = read_dialogues(body, check)
        else:
            found = read_uploads(uploads, body.format, service.settings, check)
        service.check_count(found)
        return found

    return read


def _read(found: InputDialogue) -> dict[str, Any]:
    """Return a dialogue as it was read."""
    dialogue = found.dialogue
    if found.error is not None:
        return {"id": dialogue.id, **as_http_error(found.error).body}
    turns = [
        {"speaker": turn.speaker, "text": turn.text, "start": turn.start, "end": turn.end}
        for turn in dialogue.turns
    ]
    return {"id": dialogue.id, "format": found.format, "turns": turns, "speakers": list(dialogue.speakers)}


def _body_schema(model: type[Any]) -> dict[str, Any]:
    """Return the part of the OpenAPI document about a body."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
