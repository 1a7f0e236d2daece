"""Figures for Prometheus. None of them has a text of a request, and labels have few values."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llm_summ.serve.served_model import ServedModel, ServedModels
from llm_summ.serve.work import Places

__all__ = ["Metrics"]

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The figures of one service."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "llm_summ_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "llm_summ_request_seconds", "Duration of requests.", ["path"], buckets=_SECONDS, registry=registry
        )
        self._tokens = Counter(
            "llm_summ_tokens", "Tokens of prompts and of summaries.", ["model", "kind"], registry=registry
        )
        self._summaries = Counter("llm_summ_summaries", "Finished summaries.", ["model"], registry=registry)
        self._ready = Gauge("llm_summ_engine_ready", "Whether the engine works.", ["model"], registry=registry)
        self._work = Gauge(
            "llm_summ_engine_prompts",
            "Prompts that wait for the engine or are generated.",
            ["model", "state"],
            registry=registry,
        )
        self._open = Gauge(
            "llm_summ_requests_open",
            "Requests that are not answered yet, with that for figures.",
            registry=registry,
        )
        self._places = Gauge("llm_summ_requests_under_way", "Requests that have a place.", registry=registry)

    def watch(self, places: Places, models: ServedModels) -> None:
        """Show the state of the places and of the engines."""
        self._places.set_function(lambda: places.taken)
        for model in models:
            self._watch(model)

    def watch_requests(self, under_way: Callable[[], int]) -> None:
        """Show the number of requests that are not answered yet."""
        self._open.set_function(under_way)

    def _watch(self, model: ServedModel) -> None:
        self._ready.labels(model.name).set_function(lambda: float(model.state == "ready"))
        self._work.labels(model.name, "waiting").set_function(lambda: model.waiting)
        self._work.labels(model.name, "running").set_function(lambda: model.running)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def summarized(self, model: str, summaries: int, prompt_tokens: int, tokens: int) -> None:
        """Count finished summaries and their tokens."""
        self._summaries.labels(model).inc(summaries)
        self._tokens.labels(model, "prompt").inc(prompt_tokens)
        self._tokens.labels(model, "summary").inc(tokens)

    def text(self) -> bytes:
        """Return all figures in Prometheus' format."""
        return generate_latest(self._registry)
