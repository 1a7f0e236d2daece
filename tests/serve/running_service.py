"""The service in a process of its own, as a user starts it, and a client for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["TALK", "Running", "hanging", "running", "until"]

TALK = "민지: 내일 몇 시에 볼까?\n도윤: 여섯 시 어때?"
_START_SECONDS = 120.0


class Running:
    """A started service.

    Attributes:
        url: its address.
        folder: where it runs.
        client: sends requests to it, with the key if there is one.
    """

    def __init__(self, *arguments: str, cwd: Path, key: str | None = None, **environment: str) -> None:
        cwd.mkdir(exist_ok=True)
        self.folder = cwd
        self._log = (cwd / "service.log").open("w+b")
        variables = {**os.environ, "PYTHONFAULTHANDLER": "1", **environment}
        variables.pop("LLM_SUMM_API_KEY", None)
        if key is not None:
            variables["LLM_SUMM_API_KEY"] = key
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_summ", "serve", "--port", "0", *arguments],
            cwd=cwd,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("Service: http://"), (line, self.log())
        self.url = line.removeprefix("Service: ").strip()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def wait_until_ready(self, seconds: float = _START_SECONDS) -> None:
        until = time.monotonic() + seconds
        while self.client.get("/health").status_code != 200:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        """Return what it has printed on stderr."""
        self._log.seek(0)
        return self._log.read().decode()

    def until_logged(self, text: str, seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while text not in self.log():
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def figure(self, name: str) -> float:
        """Return a figure of /metrics."""
        lines = self.client.get("/metrics").text.splitlines()
        [line] = [line for line in lines if line.startswith(f"{name} ")]
        return float(line.split()[-1])

    def engine_pid(self) -> int:
        """Return the id of the first engine's process: of the children that lead a group of their own."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
        return min(int(child) for child in children if os.getpgid(int(child)) == int(child))

    def end(self) -> int:
        """Send SIGTERM, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.client.close()

    def close(self) -> None:
        """End it in any case."""
        self.client.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def hanging(url: str, key: str = "") -> Iterator[socket.socket]:
    """Send half of a request, and no more until the end of the block."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"POST /v1/summaries HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        connection.sendall(f'{head}Content-Length: 100\r\nContent-Type: application/json\r\n\r\n{{"te'.encode())
        yield connection


@contextmanager
def running(*arguments: str, cwd: Path, key: str | None = None) -> Iterator[Running]:
    """Run a service until the end of the block."""
    service = Running(*arguments, cwd=cwd, key=key)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.close()
