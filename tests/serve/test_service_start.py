"""What ends `llm-summ serve` before it begins: one line, and exit code 2. What errors show."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot

from llm_summ.core.errors import (
    EngineDownError,
    EngineError,
    GenerationError,
    InputError,
    PromptError,
    UpstreamError,
)
from llm_summ.data.turn_list import read_turns
from llm_summ.serve.errors import as_http_error, log_failure, place_of
from llm_summ.serve.limits import KEY_VARIABLE, ServiceSettings, is_loopback


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused(llm_summ("serve", "--port", str(port)))
    assert line == snapshot("127.0.0.1:…: another program uses this port; choose another one with --port")


def test_an_address_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "key")
    assert refused(llm_summ("serve", "--host", "192.0.2.1")).startswith("--host 192.0.2.1: not an address of this")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_machines_need_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    line = refused(llm_summ("serve", "--host", host))
    assert KEY_VARIABLE in line
    assert "--no-key" in line
    for settings in (ServiceSettings(host, key="k"), ServiceSettings(host, is_open=True)):
        settings.check()
    with pytest.raises(InputError):
        ServiceSettings(host).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_this_machine_needs_none(host: str) -> None:
    assert is_loopback(host)
    ServiceSettings(host).check()


def test_a_run_that_is_unknown_or_not_finished(in_tmp: Path) -> None:
    Path("runs/half").mkdir(parents=True)
    assert refused(llm_summ("serve", "--port", "0", "--run", "other")) == snapshot(
        "--run other: no such run in runs; runs here: none"
    )
    assert refused(llm_summ("serve", "--port", "0", "--run", "half")) == snapshot(
        "runs/half: no recipe.yaml; expected a folder made by `llm-summ sft`"
    )


def test_feedback_that_cannot_be_written(in_tmp: Path) -> None:
    Path("feedback").mkdir()
    line = refused(llm_summ("serve", "--port", "0", "--feedback", "feedback"))
    assert line == snapshot("--feedback feedback: cannot be written (Is a directory); choose another name")


def test_a_key_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "key")
    line = refused(llm_summ("serve", "--no-key"))
    assert line == snapshot("--no-key: LLM_SUMM_API_KEY is set in the environment, too; choose one of them")


@pytest.mark.parametrize("key", ["비밀", "a\nb", "a\tb", "é"])
def test_a_key_that_no_client_can_send(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    line = refused(llm_summ("serve"))
    assert line == snapshot(
        "LLM_SUMM_API_KEY: has characters that an HTTP header cannot have; use printable ASCII"
    )


def test_what_another_server_did_is_logged_and_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    for error in (UpstreamError("http://10.0.0.7/v1: HTTP 401"), EngineError("http://10.0.0.7/v1: no token ids")):
        assert "10.0.0.7" not in as_http_error(error).message
        log_failure(error)
    log_failure(PromptError("비밀: too long"))
    assert caplog.messages == ["http://10.0.0.7/v1: HTTP 401", "http://10.0.0.7/v1: no token ids"]


def test_the_key_is_shown_nowhere() -> None:
    settings = ServiceSettings(key="geheim")
    assert "geheim" not in repr(settings)
    assert "key needed" in settings.described()


def test_an_unexpected_error_shows_its_place_and_no_text() -> None:
    with pytest.raises(KeyError) as missing:
        _ = {"비밀": 1}["민지: 비밀"]
    assert place_of(missing.value).startswith("KeyError at test_service_start.py:")
    answer = as_http_error(missing.value)
    assert answer.status == 500
    assert "비밀" not in f"{place_of(missing.value)} {answer.body}"
    with pytest.raises(TypeError) as caught:
        read_turns("turns", 5)  # type: ignore[arg-type]
    assert place_of(caught.value).startswith("TypeError at llm_summ/data/turn_list.py:")


@pytest.mark.parametrize(
    ("error", "status", "retries"),
    [
        (PromptError("too long"), 400, False),
        (GenerationError("no answer"), 500, False),
        (EngineDownError("ended"), 503, True),
        (UpstreamError("http://10.0.0.7/v1: HTTP 500"), 502, False),
        (EngineError("set OPENAI_API_KEY"), 500, False),
        (ZeroDivisionError(), 500, False),
    ],
)
def test_the_status_of_an_error(error: Exception, status: int, retries: bool) -> None:
    answer = as_http_error(error)
    assert answer.status == status
    assert ("Retry-After" in answer.headers) == retries
