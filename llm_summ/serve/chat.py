"""``POST /v1/chat/completions``: any client of OpenAI's API gets the summary of the dialogue in its last message."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_summ.serve.bodies import ChatBody, DialogueBody, parsed
from llm_summ.serve.errors import as_http_error
from llm_summ.serve.gate import record_of
from llm_summ.serve.reading import Found, read_whole
from llm_summ.serve.requests import read_body
from llm_summ.serve.responses import EventStream, JsonAnswer, event_text, unless_gone
from llm_summ.serve.service import Service
from llm_summ.serve.served_model import Asked
from llm_summ.serve.summarizing import Summarizing
from llm_summ.serve.watching import Emit
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
        service.queue.check()
        content = await read_body(request, service.settings)
        deadline = Deadline(service.settings.timeout)
        body = parsed(ChatBody, content)
        text, options = body.dialogue, body.options
        model = service.model_for(options)
        asked = Asked(options.prompt, options.length, options.best_of)
        task = Summarizing(model, (), asked, options.long, options.handling)

        def do(emit: Emit, cancelled: threading.Event) -> list[dict[str, Any]]:
            task.found = [Found(read_whole(DialogueBody(text=text), "message", options.format))]
            try:
                return task.run(emit, cancelled)
            finally:
                record.tokens = task.usage.generated

        work = Work(do)
        service.queue.start(work)
        whole = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model.name,
        }
        if options.stream:
            chunks = _chunks(service, work, task, whole, body)
            return EventStream(chunks(deadline), deadline, _last_event)
        answers = await unless_gone(request.receive, work.finish(deadline))
        service.count(task, answers)
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
