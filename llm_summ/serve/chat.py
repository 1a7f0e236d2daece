"""``POST /v1/chat/completions``: clients of OpenAI's API get the summary of the dialogue in their last message."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_summ.serve.bodies import DialogueBody, parsed
from llm_summ.serve.chat_body import ChatBody
from llm_summ.serve.errors import as_http_error
from llm_summ.serve.gate import record_of
from llm_summ.serve.reading import Check, InputDialogue, read_whole
from llm_summ.serve.requests import parsed_aside
from llm_summ.serve.responses import PING_TEXT, EventStream, JsonAnswer, event_text, unless_gone
from llm_summ.serve.service import Service
from llm_summ.serve.summarizing import Summarizing
from llm_summ.serve.work import PING, Deadline, Work

__all__ = ["chat_routes"]


def chat_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post(
        "/v1/chat/completions",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": ChatBody.model_json_schema()}},
            }
        },
    )
    async def completions(request: Request) -> Response:
        """Return the summary of the dialogue in the last message of a user."""
        record = record_of(request.scope)
        record.path = "/v1/chat/completions"
        async with service.content(request) as (content, space):
            deadline = Deadline(service.settings.timeout)
            body = await parsed_aside(content, lambda: parsed(ChatBody, content))
            text, options = body.dialogue, body.options

            def read(_: Check) -> list[InputDialogue]:
                return [InputDialogue(read_whole(DialogueBody(text=text), "message", options.format))]

            model = service.model_for(options)
            task = Summarizing(model, options, read, service.on_end(record))
            work = Work(task.run)
            service.places.start(work, space)
        whole = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model.name,
        }
        if options.stream:
            wants_usage = body.stream_options is not None and body.stream_options.include_usage
            chunks = _chunks(work, task, deadline, whole, wants_usage)
            return EventStream(chunks, deadline, _last_event, work.cancelled.set)
        answers = await unless_gone(request.receive, work.finish(deadline))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answers[0]["summary"], "refusal": None},
            "logprobs": None,
            "finish_reason": answers[0]["finish_reason"],
        }
        return JsonAnswer({**whole, "choices": [choice], "usage": _usage(task)})

    return router


def _usage(task: Summarizing) -> dict[str, int]:
    used = task.usage
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.generated,
        "total_tokens": used.prompt + used.generated,
    }


async def _chunks(
    work: Work[list[dict[str, Any]]],
    task: Summarizing,
    deadline: Deadline,
    whole: dict[str, Any],
    wants_usage: bool,
) -> AsyncGenerator[str]:
    """Yield a summary as OpenAI streams it.

    What was sent cannot be changed, and post-processing changes texts at their end. So a part is sent when it is
    finished, and a summary that is not a list of parts at the end.
    """

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if wants_usage else {}
        return event_text({**whole, "object": "chat.completion.chunk", "choices": [choice], **usage})

    parts: dict[int, str] = {}
    sent = 0
    has_begun = False
    async with aclosing(work.events(deadline)) as events:
        async for event in events:
            if not has_begun:
                yield chunk({"role": "assistant", "content": ""})
            has_begun, (name, data) = True, event
            if event is PING:
                yield PING_TEXT
            elif name == "part" and task.options.long == "list":
                parts[data["part"]] = data["text"]
                while sent in parts:
                    yield chunk({"content": ("\n" if sent else "") + parts.pop(sent)})
                    sent += 1
    [answer] = work.result()
    if not has_begun:
        yield chunk({"role": "assistant", "content": ""})
    if not sent:
        yield chunk({"content": answer["summary"]})
    yield chunk({}, answer["finish_reason"])
    if wants_usage:
        yield event_text({**whole, "object": "chat.completion.chunk", "choices": [], "usage": _usage(task)})
    yield event_text("[DONE]")


def _last_event(error: BaseException) -> str:
    return event_text(as_http_error(error).body)
