"""Upload to a hub: a small local server with the part of the hub's protocol that an upload needs."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import InputError
from llm_summ.merge.push import check_push

TOKEN = "hf_notARealTokenButOneThatMustStaySecret"
SCRIPT = """
import sys
from pathlib import Path
from llm_summ.core.errors import LlmSummError
from llm_summ.merge.push import check_push, push
try:
    check_push(sys.argv[1])
    print(push(Path("merged"), sys.argv[1], public=sys.argv[2] == "public"))
except LlmSummError as error:
    print(error)
    sys.exit(error.exit_code)
"""


class Hub(ThreadingHTTPServer):
    """Stores repositories in memory: their visibility and their files."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.refuse: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/").partition("?")[0].removesuffix("/revision/main")
        if name not in self.server.private:
            self.answer({"error": "not found"}, 404)
            return
        self.answer(
            {"id": name, "private": self.server.private[name], "sha": "0" * 40, "siblings": [], "tags": []}
        )

    def do_PUT(self) -> None:
        self.server.large[self.path.removeprefix("/large/")] = self.body()
        self.answer({})

    def do_POST(self) -> None:
        hub, body = self.server, self.body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" or hub.refuse:
            self.answer({"error": "no"}, hub.refuse or 401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            known = name in hub.private
            hub.private.setdefault(name, asked.get("private", asked.get("visibility") == "private"))
            self.answer({"url": f"{hub.url}/{name}", "id": name}, 409 if known else 200)
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            self.answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": modes[file["path"].endswith("safetensors")],
                            "shouldIgnore": False,
                        }
                        for file in files
                    ]
                }
            )
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{hub.url}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                operation = json.loads(line)
                value = operation["value"]
                if operation["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.large[value["oid"]]
            name = self.path.partition("/commit/")[0].removeprefix("/api/models/")
            self.answer({"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.url}/{name}/commit/1"})
        else:
            self.answer({"type": "regular"})


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def merged(in_tmp: Path) -> Path:
    folder = in_tmp / "merged"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlanguage: [ko]\n---\n# 요약\n", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    return folder


def pushed(endpoint: str, name: str, visibility: str = "private", **environment: str) -> tuple[int, str]:
    """Upload in a process of its own, because the hub's client reads its settings when it is imported."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(Path.cwd() / "hf"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, visibility],
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **settings, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.strip()


@pytest.mark.slow
def test_a_folder_goes_to_a_private_repository_whole(hub: Hub, merged: Path) -> None:
    code, said = pushed(hub.url, "team/summary")
    assert (code, said) == (0, f"{hub.url}/team/summary")
    assert hub.private == {"team/summary": True}
    assert hub.files == {path.name: path.read_bytes() for path in merged.iterdir()}


@pytest.mark.slow
def test_training_dialogues_are_not_uploaded(hub: Hub, merged: Path) -> None:
    (merged / "examples.jsonl").write_text('{"fname": "train_0"}\n', encoding="utf-8")
    assert pushed(hub.url, "team/summary")[0] == 0
    assert set(hub.files) == {"README.md", "model.safetensors"}


@pytest.mark.slow
def test_public_only_if_asked_for(hub: Hub, merged: Path) -> None:
    hub.private["team/open"] = False
    code, said = pushed(hub.url, "team/open")
    assert code == 2
    assert plain(said) == snapshot(
        "--push team/open: exists and is public, so nothing was uploaded; add --public, or choose another name"
    )
    assert hub.files == {}
    assert pushed(hub.url, "team/open", "public")[0] == 0
    assert set(hub.files) == {"README.md", "model.safetensors"}
    assert pushed(hub.url, "team/new", "public")[0] == 0
    assert hub.private["team/new"] is False


@pytest.mark.slow
def test_a_private_repository_is_not_taken_for_a_public_one(hub: Hub, merged: Path) -> None:
    hub.private["team/closed"] = True
    code, said = pushed(hub.url, "team/closed", "public")
    assert code == 2
    assert plain(said) == snapshot(
        "--push team/closed: exists and is private, so nothing was uploaded; remove --public, or choose "
        "another name"
    )
    assert hub.files == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            401,
            snapshot(
                "--push team/summary: the hub rejects the token; set a valid HF_TOKEN, or log in: hf auth login; "
                "merged is kept, and the same command with --no-verify tries the upload again"
            ),
        ),
        (
            403,
            snapshot(
                "--push team/summary: the token has no write access there; create one with write access, or "
                "choose another owner; merged is kept, and the same command with --no-verify tries the upload "
                "again"
            ),
        ),
        (
            413,
            snapshot(
                "--push team/summary: HTTP 413: …; merged is kept, and the same command with --no-verify tries "
                "the upload again"
            ),
        ),
    ],
)
def test_a_hub_that_refuses(hub: Hub, merged: Path, status: int, told: str) -> None:
    hub.refuse = status
    code, said = pushed(hub.url, "team/summary")
    assert code == 1
    # The reason of the hub's library, and the status in Python's words.
    assert plain(re.sub(r"HTTP 413: [^;]*", "HTTP 413: …", said)) == told
    assert "\n" not in said
    assert (merged / "model.safetensors").is_file()


@pytest.mark.slow
def test_no_network(merged: Path) -> None:
    code, said = pushed("http://127.0.0.1:9", "team/summary")
    assert code == 1
    assert plain(said) == snapshot(
        "--push team/summary: the hub cannot be reached (Connection refused); merged is kept, "
        "and the same command with --no-verify tries the upload again"
    )
    assert "\n" not in said


@pytest.mark.slow
def test_no_token(hub: Hub, merged: Path) -> None:
    code, said = pushed(hub.url, "team/summary", HF_TOKEN="")
    assert code == 2
    assert plain(said) == snapshot(
        "--push team/summary: no token for the hub; set HF_TOKEN, or log in: hf auth login"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "summary",
            snapshot("--push summary: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "a/b/c",
            snapshot("--push a/b/c: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "team/",
            snapshot("--push team/: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "/summary",
            snapshot("--push /summary: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "team/a b",
            snapshot("--push team/a b: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "team/요약",
            snapshot("--push team/요약: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        (
            "team/a--b",
            snapshot("--push team/a--b: not a repository's name; expected owner/name, such as team/summary-qwen3"),
        ),
        ("", snapshot("--push '': not a repository's name; expected owner/name, such as team/summary-qwen3")),
    ],
)
def test_a_name_that_is_none(name: str, message: str) -> None:
    with raises(InputError) as error:
        check_push(name)
    assert error.message == message


@pytest.mark.parametrize("name", ["team/summary-", "team/x.", "team/x.git", f"team/{'x' * 100}"])
def test_a_name_that_the_hub_refuses_is_reported_before_anything_is_made(name: str) -> None:
    # The reason is in the hub library's words.
    with pytest.raises(InputError, match="not a repository's name"):
        check_push(name)


def test_offline_is_reported_before_anything_is_merged() -> None:
    with raises(InputError) as error:  # tests/conftest.py sets it
        check_push("team/summary")
    assert error.message == snapshot(
        "--push team/summary: the hub's client is offline (HF_HUB_OFFLINE is set); unset that variable"
    )
