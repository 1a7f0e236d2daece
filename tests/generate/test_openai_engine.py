"""The engine openai against a small server of our own that fails in every way that servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llm_summ.errors import EngineError, GenerationError
from llm_summ.generate.engine import Decoding, Output, Request
from llm_summ.recipe import ServerFields

pytest.importorskip("openai")

KEY = "sk-secret-of-the-test"


class Server(ThreadingHTTPServer):
    """Answers each request with its ids backwards.

    Attributes:
        failures: what is sent first, in order: status, body and headers; or None, which drops the connection.
        asked: the bodies of all requests that came.
        most: how many came at a time, at the most.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[tuple[int, dict[str, Any], dict[str, str]] | None] = []
        self.models = ["summary"]
        self.key: str | None = None
        self.gives_ids = True
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.now = self.most = 0

    def handle_error(self, *_: Any) -> None:
        """A client that has failed does not wait for the other answers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if self.server.key is not None and self.headers["Authorization"] != f"Bearer {self.server.key}":
            message = f"wrong key: {self.headers['Authorization']}"
            self.send(401, {"error": {"message": message, "code": "invalid_api_key"}})
            return
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in self.server.models]
        self.send(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.times.append(time.monotonic())
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            failing = bool(self.server.failures)
            failure = self.server.failures.pop(0) if failing else None
        time.sleep(0.02)
        with self.server.lock:
            self.server.now -= 1
        if failing and failure is None:
            self.close_connection = True
            return
        if failure is not None:
            status, error, headers = failure
            error["error"]["message"] += f" ({self.headers['Authorization']})"
            self.send(status, error, headers)
            return
        with self.server.lock:
            self.server.asked.append(body)
        self.send(200, self.chat(body) if self.path.endswith("/chat/completions") else self.complete(body))

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        [ids] = body["prompt"]
        choices = [
            {
                "index": sample,
                "text": "x",
                "finish_reason": "length" if len(ids) > 3 else "stop",
                "logprobs": {"token_logprobs": [-0.5] * len(ids), "tokens": ["x"] * len(ids)},
                **({"token_ids": [*ids[::-1], sample]} if self.server.gives_ids else {}),
            }
            for sample in reversed(range(body["n"]))
        ]
        return self.whole("text_completion", choices, len(ids))

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        text = body["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"요약: {text}"}
        return self.whole("chat.completion", [{"index": 0, "message": message, "finish_reason": "stop"}], 7)

    @staticmethod
    def whole(kind: str, choices: list[dict[str, Any]], asked: int) -> dict[str, Any]:
        usage = {"prompt_tokens": asked, "completion_tokens": 3, "total_tokens": asked + 3}
        return {"id": "1", "object": kind, "created": 0, "model": "summary", "choices": choices, "usage": usage}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: Server, count: int = 6, decoding: Decoding | None = None, **fields: Any) -> list[Output]:
    from llm_summ.generate.openai_engine import OpenaiEngine

    engine = OpenaiEngine(ServerFields(url=server.url, **fields))
    engine.find_model()
    requests = [
        Request([10 + row] * (1 + row), 20, seed=row, messages=(("user", f"{row}번"),)) for row in range(count)
    ]
    try:
        return list(engine.generate(requests, stop_id=2, decoding=decoding or Decoding()))
    finally:
        engine.close()


def test_every_request_is_answered_once_as_it_was_asked(server: Server) -> None:
    found = ask(server, 20, Decoding(n=2, temperature=0.7, top_k=5), concurrency=4)
    assert sorted((output.index, output.sample) for output in found) == [
        (index, sample) for index in range(20) for sample in range(2)
    ]
    for output in found:
        assert output.token_ids == (*[10 + output.index] * (1 + output.index), output.sample)
        assert output.logprob == -0.5 * (1 + output.index)
        assert output.finish_reason == ("length" if output.index > 2 else "stop")
    assert 2 <= server.most <= 4
    one = next(body for body in server.asked if body["prompt"] == [[13] * 4])
    assert {key: one[key] for key in ("model", "n", "temperature", "top_k", "seed", "max_tokens")} == {
        **{"model": "summary", "n": 2, "temperature": 0.7, "top_k": 5, "seed": 3, "max_tokens": 20}
    }
    assert {
        key: one[key] for key in ("stop_token_ids", "ignore_eos", "return_token_ids", "top_p", "logprobs")
    } == {**{"stop_token_ids": [2], "ignore_eos": True, "return_token_ids": True, "top_p": 1.0, "logprobs": 1}}
    # What a model's own file may ask for is not what is generated here.
    assert [one[key] for key in ("repetition_penalty", "min_p", "frequency_penalty", "presence_penalty")] == [
        1,
        0,
        0,
        0,
    ]


def test_messages_go_to_a_server_that_has_a_template_of_its_own(server: Server) -> None:
    found = {output.index: output for output in ask(server, 3, prompt="chat")}
    assert [found[index].text for index in range(3)] == ["요약: 0번", "요약: 1번", "요약: 2번"]
    assert {output.tokens for output in found.values()} == {3}
    with pytest.raises(GenerationError, match=r"gave 1 candidates for a prompt, and 2 were asked for"):
        ask(server, 1, Decoding(n=2, temperature=0.7), prompt="chat")


def test_what_passes_is_waited_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that fails, drops the connection, or asks for patience is asked again, and nothing comes twice."""
    error = {"error": {"message": "try later"}}
    server.failures = [
        (500, error, {}),
        (503, error, {"Retry-After": "0"}),
        None,
        (429, error, {"Retry-After": "0.2"}),
    ]
    found = ask(server, 6, concurrency=2)
    assert sorted(output.index for output in found) == list(range(6))
    assert len(server.asked) == 6
    assert 1 <= capsys.readouterr().err.count("; trying again") <= 4


def test_a_server_says_how_long_it_wants_to_be_left_alone(server: Server) -> None:
    server.failures = [(429, {"error": {"message": "slowly"}}, {"Retry-After": "1.5"})]
    ask(server, 1, concurrency=1)
    first, second = server.times
    assert second - first >= 1.5


def test_a_rate_is_kept(server: Server) -> None:
    ask(server, 4, requests_per_minute=300.0)
    assert max(server.times) - min(server.times) >= 3 * 60 / 300 - 0.05


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ((401, {"error": {"message": "no"}}, {}), "refuses the key in OPENAI_API_KEY; set it in the environment"),
        ((403, {"error": {"message": "no"}}, {}), "refuses the key in OPENAI_API_KEY; set it in the environment"),
        ((404, {"error": {"message": "no"}}, {}), "no such address or model; such a URL ends with /v1"),
        ((400, {"error": {"message": "too long"}}, {}), "HTTP 400: .*too long"),
        ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {}), "HTTP 429: .*pay"),
    ],
)
def test_what_does_not_pass_ends_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, failure: tuple[int, dict[str, Any], dict[str, str]], told: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.failures = [failure] * 6
    with pytest.raises(GenerationError, match=told) as caught:
        ask(server, 6, concurrency=2)
    assert KEY not in str(caught.value)
    assert str(caught.value).endswith("; what was finished is kept")
    assert server.asked == []


def test_a_wrong_key_is_told_before_anything_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "another"
    with pytest.raises(EngineError, match="wants a key, and there is none in OPENAI_API_KEY"):
        ask(server)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(EngineError, match="refuses the key in OPENAI_API_KEY"):
        ask(server)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert len(ask(server)) == 6


def test_models_that_are_not_clear(server: Server) -> None:
    server.models = ["one", "two"]
    with pytest.raises(EngineError, match=r"serves 2 models \(one, two\); name one"):
        ask(server)
    with pytest.raises(EngineError, match=r"three is not served by .*; expected one of one, two"):
        ask(server, model="three")
    ask(server, 1, model="two")
    assert server.asked[0]["model"] == "two"


def test_a_server_that_gives_no_ids_is_told(server: Server) -> None:
    server.gives_ids = False
    with pytest.raises(GenerationError, match=r"generate\.server\.prompt=chat"):
        ask(server, 1)


def test_patience_ends(server: Server) -> None:
    server.failures = [(500, {"error": {"message": "broken"}}, {})] * 50
    with pytest.raises(
        GenerationError, match=r"broken.*; it would have to be waited for beyond 0.03 minutes .*what was finished"
    ):
        ask(server, 3, patience_minutes=0.03)


def test_tokens_and_their_price_are_said(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    ask(server, 3, price=[1000.0, 2000.0])
    assert "6 tokens asked, 9 answered, 0.0240 at 1000 and 2000 a million" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://host/v1", "http:///v1", "http://host:port/v1"),
        *("http://user:secret@host/v1", "https://host/v1?key=1", "https://host/v1#key"),
    ],
)
def test_addresses_that_are_none_or_hold_a_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected an address|would be written into the run"):
        ServerFields(url=url)


def test_a_key_that_no_header_can_hold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-열쇠")
    with pytest.raises(EngineError, match="OPENAI_API_KEY: holds letters that no key has") as caught:
        ask(server)
    assert "sk-" not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "another\n")  # as a file's content
    server.key = "another"
    assert len(ask(server, 1)) == 1


def test_what_is_no_such_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send(200, {"hello": "there"}))
    with pytest.raises(EngineError, match=r"serves 0 models|not as such a server does"):
        ask(server)


def test_a_list_of_models_is_not_needed_where_the_model_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send(404, {"error": {"message": "no such page"}}))
    assert len(ask(server, 2, model="summary")) == 2
    with pytest.raises(EngineError, match="no such address or model"):
        ask(server)
