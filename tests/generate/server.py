"""A small server with OpenAI's protocol: it answers at once, and can fail in every way that real servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-of-the-test"


class Server(ThreadingHTTPServer):
    """Answers each request with its ids in reverse order.

    Attributes:
        failures: sent before any answer, in order: status, body and headers; None drops the connection.
        credit: number of requests that are answered before the account is empty; None: no limit.
        models: the served models.
        key: required to list the models; None: no key is required.
        gives_ids: whether it answers with token ids, as vLLM's servers do.
        replies: changes of the usual choice, by the request's seed (None: every seed) and candidate: for the first
            request, the second and so on; the last is used for all further requests.
        unknown: fields that it refuses in a body.
        filtered: seeds of the prompts that its content filter refuses.
        asked: the bodies of all requests received.
        most: largest number of requests at the same time.
        pause: seconds between the parts of a streamed answer.
        gone: number of streamed answers whose reader went away.
        breaks_off: number of streamed answers that end after their first part.
        garbled: sent after the first part of a streamed answer, which then ends, in order.
        not_protocol: the answer to a prompt, with status 200; empty: a good one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[tuple[int, dict[str, Any], dict[str, str]] | None] = []
        self.credit: int | None = None
        self.models = ["summary"]
        self.key: str | None = None
        self.gives_ids = True
        self.replies: dict[tuple[int | None, int], list[dict[str, Any]]] = {}
        self.unknown: list[str] = []
        self.filtered: set[int] = set()
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.pause = 0.0
        self.gone = self.breaks_off = 0
        self.garbled: list[bytes] = []
        self.not_protocol = b""

    def handle_error(self, *_: Any) -> None:
        """A client that has failed does not wait for the other answers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def asked_for(self, seed: int) -> int:
        """Return the number of requests with this seed."""
        return sum(body.get("seed") == seed for body in self.asked)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        if self.server.not_protocol and self.command == "POST":
            content = self.server.not_protocol
            headers = {"Content-Type": "text/html" if content.startswith(b"<") else "application/json"}
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
            if not failing and self.server.credit is not None:
                failing = self.server.credit == 0
                self.server.credit = max(0, self.server.credit - 1)
                if failing:
                    error = {"message": "the account is empty", "code": "insufficient_quota"}
                    failure = 429, {"error": error}, {}
        time.sleep(0.02)
        with self.server.lock:
            self.server.now -= 1
        if failing and failure is None:
            self.close_connection = True
            return
        if failure is not None:
            status, told, headers = failure
            told["error"]["message"] += f" ({self.headers['Authorization']})"
            self.send(status, told, headers)
            return
        with self.server.lock:
            self.server.asked.append(body)
        if unknown := [name for name in self.server.unknown if name in body]:
            message = f"Unrecognized request argument supplied: {unknown[0]}"
            self.send(400, {"error": {"message": message, "type": "invalid_request_error", "code": None}})
        elif body.get("seed") in self.server.filtered:
            message = "The response was filtered due to the prompt triggering a content management policy"
            self.send(400, {"error": {"message": message, "param": "prompt", "code": "content_filter"}})
        else:
            whole = self.chat(body) if self.path.endswith("/chat/completions") else self.complete(body)
            if body.get("stream"):
                self.send_parts(whole, body)
            else:
                self.send(200, whole)

    def send_parts(self, whole: dict[str, Any], body: dict[str, Any]) -> None:
        """Send an answer in parts, as server-sent events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        usage = whole.pop("usage")
        chunks = [whole | {"choices": [part]} for choice in whole["choices"] for part in parts_of(choice)]
        if body.get("stream_options", {}).get("include_usage"):
            chunks.append(whole | {"choices": [], "usage": usage})
        with self.server.lock:
            breaks_off = self.server.breaks_off > 0
            self.server.breaks_off -= breaks_off
            garbled = self.server.garbled.pop(0) if self.server.garbled else b""
        try:
            for chunk in chunks[:1] if breaks_off or garbled else chunks:
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                time.sleep(self.server.pause)
            if garbled:
                self.wfile.write(b"data: " + garbled + b"\n\n")
            elif not breaks_off:
                self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            with self.server.lock:
                self.server.gone += 1

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        [ids] = body["prompt"]
        choices = [
            {
                "index": sample,
                "text": "x",
                "finish_reason": "length" if len(ids) > 3 else "stop",
                "logprobs": {"token_logprobs": [-0.5] * len(ids), "tokens": ["x"] * len(ids)},
                **({"token_ids": [*ids[::-1], sample]} if self.server.gives_ids else {}),
                **self.reply(body, sample),
            }
            for sample in reversed(range(body.get("n", 1)))
        ]
        return self.whole("text_completion", choices, len(ids))

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        text = body["messages"][-1]["content"]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": f"요약: {text}"},
            "finish_reason": "stop",
            **self.reply(body, 0),
        }
        return self.whole("chat.completion", [choice], 7)

    def reply(self, body: dict[str, Any], sample: int) -> dict[str, Any]:
        """Return the changes of the usual choice."""
        seed, replies = body.get("seed"), self.server.replies
        parts = replies.get((seed, sample)) or replies.get((None, sample)) or [{}]
        times = 1 if seed is None else self.server.asked_for(seed)
        return parts[min(times, len(parts)) - 1]

    @staticmethod
    def whole(kind: str, choices: list[dict[str, Any]], asked: int) -> dict[str, Any]:
        usage = {"prompt_tokens": asked, "completion_tokens": 3, "total_tokens": asked + 3}
        return {"id": "1", "object": kind, "created": 0, "model": "summary", "choices": choices, "usage": usage}


def parts_of(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a choice: two characters or one token id each, and the reason why it ended at the end."""
    index, reason = choice["index"], choice["finish_reason"]
    if (message := choice.get("message")) is not None:
        message = dict(message)
        content = message.pop("content") or ""
        for start in range(0, len(content), 2):
            yield {"index": index, "delta": {"content": content[start : start + 2]}, "finish_reason": None}
        yield {"index": index, "delta": message, "finish_reason": reason}
        return
    ids, logprobs = choice.get("token_ids"), choice["logprobs"]["token_logprobs"]
    for place, logprob in enumerate(logprobs):
        yield {
            "index": index,
            "text": choice["text"] if place == 0 else "",
            "finish_reason": None,
            "logprobs": {"token_logprobs": [logprob], "tokens": ["x"]},
            **({"token_ids": [ids[place]]} if ids is not None else {}),
        }
    rest = {"token_ids": ids[len(logprobs) :]} if ids is not None else {}
    yield {"index": index, "text": "", "finish_reason": reason, "logprobs": None, **rest}


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server until the end of the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
