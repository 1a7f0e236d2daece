"""The service with two models: its key, its limits, clients that leave, an engine that is killed, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_service import TALK, Running, hanging, running, until

pytestmark = [pytest.mark.slow]

KEY = "geheim-1"
PLACES = 4
SECONDS = 8


@pytest.fixture(scope="module")
def service(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("life")
    other = shutil.copytree(tiny_model, folder / "other")
    models = ("--model", str(tiny_model), "--model", str(other), "--engine", "hf")
    arguments = (*models, "--max-requests", str(PLACES), "--timeout", str(SECONDS))
    tokens = ("--set", "generate.max_new_tokens=64", "--set", "generate.min_new_tokens=60")
    with running(*arguments, *tokens, cwd=folder / "service", key=KEY) as started:
        yield started


def slow(dialogues: int = 1000) -> dict[str, Any]:
    """Return a request that takes long."""
    return {"dialogues": [{"text": f"{TALK}\n민지: {number}"} for number in range(dialogues)]}


def under_way(service: Running) -> float:
    return service.figure("llm_summ_requests_under_way")


def test_the_key_is_needed(service: Running) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
        with httpx.Client(base_url=service.url, headers=headers) as client:
            for path in ("/v1/models", "/metrics"):
                response = client.get(path)
                assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_key")
            assert client.post("/v1/summaries", json={"text": TALK}).status_code == 401
            assert client.get("/health").status_code == 200
            assert client.get("/v1/settings").json()["needs_key"] is True
    assert service.client.get("/v1/models").status_code == 200
    assert KEY not in service.log()


def test_text_is_streamed_while_it_is_written(service: Running) -> None:
    deltas, parts = [], []
    with service.client.stream("POST", "/v1/summaries", json={"text": TALK, "stream": True}) as response:
        name = ""
        for line in response.iter_lines():
            name = line.removeprefix("event: ") if line.startswith("event: ") else name
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if name == "delta":
                    assert not parts  # they come before the finished text
                    assert (data["dialogue"], data["part"]) == (0, 0)
                    deltas.append(data["text"])
                if name == "part":
                    parts.append(data["text"])
    assert len(deltas) > 1
    assert parts[0].rstrip("\ufffd") in "".join(deltas)  # the model is random, and so are its last bytes


def test_the_best_of_several_candidates(service: Running) -> None:
    response = service.client.post("/v1/summaries", json={"text": TALK, "best_of": 3})
    assert response.status_code == 200, response.text
    [summary] = response.json()["summaries"]
    assert summary["summary"]
    service.until_logged("POST /v1/summaries 200 ")
    [line] = [line for line in service.log().splitlines() if line.startswith("POST /v1/summaries 200 ")][-1:]
    assert int(line.split()[-2]) >= 3 * 60  # of all candidates
    assert summary["tokens"] <= 64


def test_a_full_service_refuses_and_clients_that_leave_make_room(service: Running) -> None:
    body = {**slow(), "stream": True}
    with ThreadPoolExecutor(PLACES) as pool:
        gone = threading.Event()

        def begin() -> None:
            with service.client.stream("POST", "/v1/summaries", json=body) as response:
                assert response.status_code == 200
                gone.wait(30)

        waiting = [pool.submit(begin) for _ in range(PLACES)]
        until(lambda: under_way(service) == PLACES)
        refused = service.client.post("/v1/summaries", json={"text": TALK})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) >= 1
        gone.set()
        for future in waiting:
            future.result()
        until(lambda: under_way(service) == 0)
        service.until_logged("POST /v1/summaries 499 ")
    assert service.client.post("/v1/summaries", json={"text": TALK}).status_code == 200


def test_bodies_that_are_read_at_a_time_are_limited(service: Running) -> None:
    with ExitStack() as stack:
        for _ in range(2 * PLACES + 16):
            stack.enter_context(hanging(service.url, KEY))
        until(lambda: service.figure("llm_summ_requests_open") == 2 * PLACES + 17)
        refused = service.client.post("/v1/summaries", json={"text": TALK})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
    until(lambda: service.figure("llm_summ_requests_open") == 1)
    assert service.client.post("/v1/summaries", json={"text": TALK}).status_code == 200


def test_time_ends_slow_requests_and_slow_clients(service: Running) -> None:
    tokens = 'llm_summ_tokens_total{kind="summary",model="tiny"}'
    before = service.figure(tokens)
    with hanging(service.url, KEY) as connection, ThreadPoolExecutor(1) as pool:
        stream = pool.submit(service.client.post, "/v1/summaries", json={**slow(), "stream": True})
        response = service.client.post("/v1/summaries", json=slow())
        assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
        last = stream.result().text.strip().split("\n\n")[-1]
        assert last.startswith("event: error\n")
        assert '"timeout"' in last
        assert b"408" in connection.recv(1000).split(b"\r\n")[0]
    until(lambda: under_way(service) == 0)
    assert service.figure(tokens) > before  # what was generated for requests that got nothing


def test_a_killed_engine_is_started_again(service: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(service.client.post, "/v1/summaries", json=slow())
        until(lambda: service.figure('llm_summ_engine_prompts{model="tiny",state="running"}') > 0)
        os.kill(service.engine_pid(), signal.SIGKILL)
        response = lost.result()
    assert response.status_code == 503
    assert response.json()["error"]["code"] in {"engine_down", "engine_starting"}
    assert int(response.headers["Retry-After"]) >= 1
    health = service.client.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "starting")
    assert health.json()["models"] == {"tiny": "starting", "other": "ready"}
    assert service.client.post("/v1/summaries", json={"text": TALK, "model": "other"}).status_code == 200
    meanwhile = service.client.post("/v1/summaries", json={"text": TALK})
    assert (meanwhile.status_code, meanwhile.json()["error"]["code"]) == (503, "engine_starting")
    service.wait_until_ready()
    assert service.client.post("/v1/summaries", json={"text": TALK}).status_code == 200


def test_a_signal_lets_running_requests_finish(service: Running) -> None:
    with ThreadPoolExecutor(PLACES) as pool:
        body = slow(60)
        running_ones = [pool.submit(service.client.post, "/v1/summaries", json=body) for _ in range(PLACES)]
        until(lambda: under_way(service) == PLACES)
        service.process.send_signal(signal.SIGTERM)
        service.until_logged("Ending")
        refused = httpx.post(f"{service.url}/v1/summaries", json={"text": TALK})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "closing")
        assert "Retry-After" in refused.headers
        for future in running_ones:
            response = future.result()
            assert response.status_code == 200
            assert len(response.json()["summaries"]) == 60
    assert service.process.wait(30) == 0
    assert "Traceback" not in service.log()
    assert "unexpected" not in service.log()
    assert "여섯" not in service.log()
