"""A model hub on this machine: the few routes that huggingface_hub calls for a model's files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["TOKEN", "Hub", "hub_server"]

TOKEN = "hf_of_a_reader"
_COMMIT = "c" * 40


@dataclass
class Hub:
    """Its models and what was requested.

    Attributes:
        folder: has a folder OWNER/NAME for each model.
        url: of the server.
        gated: ids of models whose files need `TOKEN`.
        sizes: bytes of files that are listed larger than they are, by id and name.
        converted: the number of the pull request with safetensors, by id.
        broken: ids of models for which the server fails.
        requests: method and path of every request.
    """

    folder: Path
    url: str = ""
    gated: set[str] = field(default_factory=set)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    converted: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hub_server(folder: Path) -> Iterator[Hub]:
    """Serve the models of a folder as long as the context lasts."""
    hub = Hub(folder)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        is_api = path.startswith("/api/models/")
        owner, name, *rest = path.removeprefix("/api/models").strip("/").split("/")
        repository = f"{owner}/{name}"
        folder = self.hub.folder / owner / name
        may_read = repository not in self.hub.gated or self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository in self.hub.broken:
            self._send(520)  # a failure that huggingface_hub does not repeat with pauses
        elif not folder.is_dir():
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
        elif is_api and rest[:1] == ["tree"]:  # of a subfolder; there are none
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif is_api and rest[:1] == ["discussions"]:
            self._discuss(repository)
        elif is_api and rest[:1] != ["auth-check"]:
            self._list(repository, folder, rest[1] if rest else "main")
        elif not may_read:
            self._refuse(401, "GatedRepo", f"Access to model {repository} is restricted.")
        elif is_api:
            self._send(200)
        else:
            self._file(folder, rest[1], "/".join(rest[2:]))

    def _list(self, repository: str, folder: Path, revision: str) -> None:
        if revision not in ("main", _COMMIT):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = []
        for path in sorted(folder.rglob("*")):
            size = self.hub.sizes.get((repository, path.name), path.stat().st_size)
            files.append({"rfilename": str(path.relative_to(folder)), "size": size, "blobId": "b" * 40})
        info = {"id": repository, "sha": _COMMIT, "private": False, "siblings": files, "tags": []}
        info["gated"] = "manual" if repository in self.hub.gated else False
        self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _discuss(self, repository: str) -> None:
        found = [
            {
                "num": number,
                "title": "Adding `safetensors` variant of this model",
                "author": {"name": "SFconvertbot"},
                "status": "open",
                "isPullRequest": True,
                "createdAt": "2024-01-01T00:00:00.000Z",
                "repo": {"name": repository, "type": "model"},
            }
            for number in [self.hub.converted.get(repository)]
            if number is not None
        ]
        body = json.dumps({"discussions": found, "count": len(found), "start": 0}).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _file(self, folder: Path, revision: str, name: str) -> None:
        if revision not in ("main", _COMMIT):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif not (folder / name).is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            content = (folder / name).read_bytes()
            etag = hashlib.sha256(content).hexdigest()
            self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": _COMMIT})

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": _COMMIT})

    def _send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""
