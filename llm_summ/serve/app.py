"""The application: its routes, and how errors are answered."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from llm_summ import __version__
from llm_summ.core.errors import LlmSummError
from llm_summ.serve.chat import chat_routes
from llm_summ.serve.errors import HttpError, as_http_error, log_failure
from llm_summ.serve.gate import Gate
from llm_summ.serve.information import information_routes
from llm_summ.serve.page import add_page
from llm_summ.serve.responses import error_answer
from llm_summ.serve.service import Service
from llm_summ.serve.summaries import summary_routes

__all__ = ["make_app"]


def make_app(service: Service) -> Gate:
    """Return the application, for a server of ASGI."""
    # Its pages of documentation would load scripts from other sites.
    app = FastAPI(title="llm-summ", version=__version__, docs_url=None, redoc_url=None)
    for error in (HttpError, LlmSummError, Exception):
        app.add_exception_handler(error, _answer)
    app.add_exception_handler(HTTPException, _answer_routing)
    for routes in (summary_routes(service), chat_routes(service), information_routes(service)):
        app.include_router(routes)
    add_page(app)
    return Gate(app, service.settings, service.metrics)


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, LlmSummError):  # the gate gets any other error, and logs it
        log_failure(error)
    return error_answer(as_http_error(error))


async def _answer_routing(request: Request, error: Exception) -> Response:
    """Answer a path that does not exist, or does not take this method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    message = {404: "no such path; see /openapi.json", 405: "this path does not take this method"}
    answer = HttpError(error.status_code, message.get(error.status_code, "invalid request"), code)
    return error_answer(answer)
