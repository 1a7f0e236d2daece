"""A service with two models, of which one never starts. One that dies is in `test_service_life.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from llm_summ.core.errors import ModelError
from llm_summ.generate.engines.echo import EchoEngine
from llm_summ.generate.live_batches import BatchedLive
from llm_summ.generate.live_process import EngineProcess
from llm_summ.generate.settings import GenerationSettings
from llm_summ.generate.summarizer import Summarizer
from llm_summ.models.base import load_tokenizer
from llm_summ.prompt import make_renderer
from llm_summ.recipe import ModelFields, PromptFields
from llm_summ.serve.limits import ServiceSettings
from llm_summ.serve.served_model import ServedModel
from llm_summ.serve.server import run_service


def echo() -> BatchedLive:
    return BatchedLive(EchoEngine(), 4)


def refuse() -> BatchedLive:
    raise ModelError("bad: its weights are cut off")


def test_a_model_that_never_starts_ends_the_service(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # which the service replaces
    tokenizer = load_tokenizer(ModelFields(base=str(tiny_model)), str(tiny_model))
    renderer = make_renderer(PromptFields(), tokenizer)
    models: list[ServedModel] = []

    def opened(name: str, start: Callable[[], BatchedLive]) -> ServedModel:
        summarizer = Summarizer(EngineProcess(name, start), renderer, GenerationSettings(lambda dialogue: 16))
        models.append(ServedModel(name, summarizer, None))
        return models[-1]

    urls: list[str] = []
    with pytest.raises(ModelError, match="bad: its weights are cut off"):
        run_service(ServiceSettings(port=0), lambda: [opened("good", echo), opened("bad", refuse)], urls.append)
    assert [model.state for model in models] == ["down", "down"]
    assert [model.pid for model in models] == [None, None]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{urls[0]}/health")
