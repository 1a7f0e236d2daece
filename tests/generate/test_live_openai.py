"""The live form of the engine openai with the small test server: texts as they come, and what can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises
from server import Server, serving
from test_openai_engine import requests, said

from llm_summ.core.errors import UpstreamError
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.live import Piece
from llm_summ.recipe import ServerFields

pytest.importorskip("openai")

SECRET = "비밀이야"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


def ask(
    server: Server, asked: list[Request], decoding: Decoding = GREEDY, **fields: Any
) -> list[list[Piece] | Exception]:
    """Return the pieces of each request, or its error; all are asked at the same time."""
    from llm_summ.generate.engines.openai_live import OpenaiLive

    async def pieces(live: OpenaiLive, request: Request) -> list[Piece]:
        return [piece async for piece in live.stream(request, stop_id=2, decoding=decoding)]

    async def everything() -> list[list[Piece] | Exception]:
        live = OpenaiLive(ServerFields(url=server.url, model="summary", **fields))
        found = await asyncio.gather(*(pieces(live, one) for one in asked), return_exceptions=True)
        await live.close()
        assert not [one for one in found if isinstance(one, BaseException) and not isinstance(one, Exception)]
        return list(found)  # type: ignore[arg-type]

    return asyncio.run(everything())


def texts_and_outputs(pieces: list[Piece] | Exception) -> tuple[str, list[Output]]:
    if isinstance(pieces, Exception):
        raise pieces
    return "".join(piece.text for piece in pieces), [piece.output for piece in pieces if piece.output]


def test_the_text_comes_in_parts_and_as_a_whole(server: Server) -> None:
    found = ask(server, requests(20), prompt="chat", concurrency=4)
    for row, pieces in enumerate(found):
        text, [output] = texts_and_outputs(pieces)
        assert text == output.text == f"요약: {row}번"
        assert (output.finish_reason, output.tokens) == ("stop", 3)
        assert sum(bool(piece.text) for piece in pieces) > 2  # type: ignore[union-attr]
    assert server.most == 4


def test_outputs_are_those_of_the_engine(server: Server) -> None:
    from llm_summ.generate.engines.openai import OpenaiEngine

    decoding = Decoding(n=2, temperature=0.7)
    engine = OpenaiEngine(ServerFields(url=server.url))
    engine.find_model()
    expected = {(one.index, one.sample): one for one in engine.generate(requests(6), stop_id=2, decoding=decoding)}
    engine.close()
    for row, pieces in enumerate(ask(server, requests(6), decoding)):
        _, outputs = texts_and_outputs(pieces)
        assert len(outputs) == 2
        for output in outputs:
            same = expected[row, output.sample]
            assert (output.token_ids, output.finish_reason) == (same.token_ids, same.finish_reason)
            assert output.logprob == pytest.approx(same.logprob)


def test_thoughts_are_never_shown(server: Server) -> None:
    server.replies = {
        (0, 0): [said("<think>생각 <think>더</think> 끝</think>\n\n요약이다.")],
        (1, 0): [said("요약 <think>이다.")],
        (2, 0): [said("<think>끝없는 생각", "length")],
        (3, 0): [said("  <thinking 아님")],
    }
    found = ask(server, requests(4), prompt="chat")
    assert texts_and_outputs(found[0])[0] == "요약이다."
    assert [one.text for one in texts_and_outputs(found[0])[1]] == ["요약이다."]
    assert texts_and_outputs(found[1])[0] == "요약 <think>이다."
    with raises(UpstreamError) as raised:
        texts_and_outputs(found[2])
    assert raised.message == snapshot("http://127.0.0.1:…/v1: no answer to a prompt (<think> not closed)")
    assert server.asked_for(2) == 3
    assert texts_and_outputs(found[3])[0] == "  <thinking 아님"


def test_an_answer_that_cannot_be_used_is_asked_for_again(server: Server) -> None:
    server.replies = {
        (0, 0): [said(None, "content_filter"), said("요약이다.")],
        (1, 0): [said("", refusal="싫어")],
    }
    server.filtered = {2}
    found = ask(server, requests(3), prompt="chat")
    assert [one.text for one in texts_and_outputs(found[0])[1]] == ["요약이다."]
    messages = []
    for row in (1, 2):
        with raises(UpstreamError) as raised:
            texts_and_outputs(found[row])
        messages.append(raised.message)
    assert messages == snapshot(
        [
            "http://127.0.0.1:…/v1: no answer to a prompt (refusal)",
            "http://127.0.0.1:…/v1: no answer to a prompt (content filter)",
        ]
    )


def test_an_answer_that_breaks_off_is_asked_for_again(server: Server) -> None:
    server.breaks_off = 1
    [pieces] = ask(server, requests(1), prompt="chat")
    assert [one.text for one in texts_and_outputs(pieces)[1]] == ["요약: 0번"]
    assert server.asked_for(0) == 2


@pytest.mark.parametrize(
    "garbled", [b'{"id": ', b"[1]", b'{"id": "1"}', b"\xff", b'{"choices": [1]}', b'{"choices": [], "usage": 5}']
)
def test_a_part_that_is_none_breaks_an_answer_off(server: Server, garbled: bytes) -> None:
    server.garbled = [garbled]
    [pieces] = ask(server, requests(1), prompt="chat")
    assert [one.text for one in texts_and_outputs(pieces)[1]] == ["요약: 0번"]
    assert server.asked_for(0) == 2


def test_a_failing_server_is_asked_again_and_a_refused_request_is_not(server: Server) -> None:
    server.failures = [(503, {"error": {"message": "busy"}}, {"Retry-After": "0.01"}), None]
    found = ask(server, requests(3), prompt="chat")
    assert [texts_and_outputs(pieces)[0] for pieces in found] == [f"요약: {row}번" for row in range(3)]
    server.failures = [(400, {"error": {"message": f"cannot read {SECRET}"}}, {})]
    [refused] = ask(server, requests(1), prompt="chat")
    with raises(UpstreamError) as raised:
        texts_and_outputs(refused)
    assert raised.message == snapshot("http://127.0.0.1:…/v1: HTTP 400")


def test_a_server_that_stays_away_is_given_up(server: Server) -> None:
    server.failures = [(503, {"error": {"message": SECRET}}, {"Retry-After": "0.1"})] * 20
    [pieces] = ask(server, requests(1), prompt="chat", patience_minutes=0.005)
    with raises(UpstreamError) as raised:
        texts_and_outputs(pieces)
    assert raised.message == snapshot("http://127.0.0.1:…/v1: HTTP 503; gave up after … s without an answer")


def test_a_server_that_counts_no_tokens_is_asked_without(server: Server) -> None:
    server.unknown = ["stream_options"]
    found = ask(server, requests(2), prompt="chat")
    assert [texts_and_outputs(pieces)[0] for pieces in found] == ["요약: 0번", "요약: 1번"]


def test_a_stopped_request_closes_its_connection(server: Server) -> None:
    from llm_summ.generate.engines.openai_live import OpenaiLive

    server.pause = 0.02
    server.replies = {(0, 0): [said("긴 요약. " * 200)]}

    async def stop() -> None:
        live = OpenaiLive(ServerFields(url=server.url, model="summary", prompt="chat"))

        async def read(one: Request) -> list[Piece]:
            return [piece async for piece in live.stream(one, stop_id=2)]

        first, second = requests(2)
        task = asyncio.create_task(read(first))
        other = asyncio.create_task(read(second))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert texts_and_outputs(await other)[0] == "요약: 1번"
        for _ in range(200):
            if server.gone:
                break
            await asyncio.sleep(0.02)
        await live.close()

    asyncio.run(stop())
    assert server.gone == 1
