"""The engine openai against a small server of our own that fails in every way that servers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from server import KEY, Handler, Server, serving

from llm_summ.errors import EngineError, GenerationError
from llm_summ.generate.engine import Decoding, Output, Request
from llm_summ.recipe import ServerFields

pytest.importorskip("openai")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


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
        ((200, {"error": {"message": "no"}}, {}), "answers without a text; is it such a server"),
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
