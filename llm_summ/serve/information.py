"""Routes that tell what the service is and how it does, and the one for feedback."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_summ import __version__
from llm_summ.data.formats.registry import FORMATS
from llm_summ.serve.bodies import MOST_CANDIDATES, FeedbackBody, parsed
from llm_summ.serve.errors import RETRY_SECONDS, HttpError
from llm_summ.serve.gate import record_of
from llm_summ.serve.requests import parsed_aside
from llm_summ.serve.responses import JsonAnswer, unless_gone
from llm_summ.serve.service import Service
from llm_summ.serve.summarizing import check_of
from llm_summ.serve.watching import Emit
from llm_summ.serve.work import Deadline, Work

__all__ = ["information_routes"]


def information_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/v1/models")
    async def models(request: Request) -> Response:
        """List the models; the first is the default."""
        record_of(request.scope).path = "/v1/models"
        return JsonAnswer({"object": "list", "data": [model.described() for model in service.models]})

    @router.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        """Describe one model."""
        record_of(request.scope).path = "/v1/models/{name}"
        return JsonAnswer(service.models.named(name).described())

    @router.get("/v1/settings")
    async def settings(request: Request) -> Response:
        """Return what a page needs before it has a key."""
        record_of(request.scope).path = "/v1/settings"
        return JsonAnswer(settings_of(service))

    @router.get("/health")
    async def health(request: Request) -> Response:
        """Return 200 if all engines work, and 503 if one of them starts or is down."""
        record_of(request.scope).path = "/health"
        states = {model.name: model.state for model in service.models}
        is_ready = set(states.values()) == {"ready"}
        state = "ready" if is_ready else "down" if "down" in states.values() else "starting"
        headers = {} if is_ready else {"Retry-After": str(RETRY_SECONDS)}
        return JsonAnswer({"status": state, "models": states}, 200 if is_ready else 503, headers=headers)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return figures for Prometheus."""
        record_of(request.scope).path = "/metrics"
        return Response(service.metrics.text(), headers={"Content-Type": service.metrics.content_type})

    @router.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        """Append a preference to the file of feedback."""
        record_of(request.scope).path = "/v1/feedback"
        async with service.content(request) as (content, space):
            if (file := service.feedback) is None:
                raise HttpError(403, "no feedback is taken; start the service with --feedback FILE", "no_feedback")
            body = await parsed_aside(content, lambda: parsed(FeedbackBody, content))
            model = service.models.named(body.model)

            def do(_: Emit, cancelled: threading.Event) -> dict[str, Any]:
                file.add(body, model, check_of(cancelled))
                return {"status": "stored"}

            work = Work(do)
            service.places.start(work, space)
        return JsonAnswer(await unless_gone(request.receive, work.finish(Deadline(service.settings.timeout))))

    return router


def settings_of(service: Service) -> dict[str, Any]:
    """Return what is on, what the limits are, and which names of prompts and formats there are."""
    settings = service.settings
    prompts = dict.fromkeys(name for model in service.models for name in model.prompts)
    return {
        "version": __version__,
        "needs_key": settings.key is not None,
        "feedback": service.feedback is not None,
        "limits": {
            "body": settings.max_body,
            "dialogues": settings.max_dialogues,
            "requests": settings.max_requests,
            "seconds": settings.timeout,
            "best_of": MOST_CANDIDATES,
        },
        "prompts": list(prompts),
        "formats": [known.name for known in FORMATS if known.parse is not None],
    }
