"""What a request may cost: memory and time, without a model."""

from __future__ import annotations

import asyncio
import io
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from llm_summ.core.errors import AbandonedError, DataError
from llm_summ.data import Dialogue
from llm_summ.prompt.windows import cut_windows
from llm_summ.serve.bodies import (
    DialogueBody,
    DialoguesBody,
    FeedbackBody,
    SummariesBody,
    parsed,
    validated,
)
from llm_summ.serve.chat_body import ChatBody
from llm_summ.serve.errors import HttpError
from llm_summ.serve.gate import Gate
from llm_summ.serve.limits import MOST_CHARACTERS, MOST_TURNS, ServiceSettings
from llm_summ.serve.metrics import Metrics
from llm_summ.serve.notices import collected, kept_out_of_the_log
from llm_summ.serve.reading import Upload, read_dialogues, read_uploads, read_whole
from llm_summ.serve.requests import receive_body
from llm_summ.serve.summarizing import check_of
from llm_summ.serve.work import Places, Work

TALK = "민지: 응\n도윤: 그래"


def nothing() -> None:
    """Let the work continue."""


def refused(do: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(HttpError) as error:
        do()
    assert "\n" not in error.value.message
    return error.value.status, error.value.code


def table(**columns: list[Any]) -> Upload:
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    return Upload("rows.parquet", out.getvalue())


def test_a_small_parquet_file_cannot_become_a_large_one() -> None:
    settings = ServiceSettings(max_body=100_000)
    texts = table(fname=[f"d{number}" for number in range(900)], dialogue=[TALK * 2000] * 900)
    rows = table(fname=["d"] * 100_000, dialogue=[TALK] * 100_000)
    nulls = table(fname=["d"], turns=[[{"speaker": None, "text": None}] * 100_000])
    for upload, code in ((texts, "body_too_large"), (rows, "too_many_dialogues"), (nulls, "body_too_large")):
        assert len(upload.content) < 60_000
        tracemalloc.start()
        assert refused(lambda: read_uploads([upload], None, settings, nothing)) == (413, code)  # noqa: B023
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        tracemalloc.stop()
    found = read_uploads([table(fname=["d"], dialogue=[TALK])], None, settings, nothing)
    assert [(one.dialogue.id, one.dialogue.text) for one in found] == [("d", TALK)]
    with pytest.raises(DataError, match=r"rows.parquet: not a parquet file"):
        read_uploads([Upload("rows.parquet", b"PAR1 and no more")], None, settings, nothing)


def test_the_rows_of_a_table_are_counted_before_their_turns_are_read() -> None:
    # The last row has no id: it is not reached.
    rows = b"fname,dialogue\n" + b"".join(b"d%d,A: b\n" % number for number in range(20)) + b",A: b\n"
    read = partial(read_uploads, [Upload("rows.csv", rows)], None, ServiceSettings(max_dialogues=20), nothing)
    assert refused(read) == (413, "too_many_dialogues")


def test_a_zip_in_a_zip_has_the_same_limit() -> None:
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large.txt", f"{TALK}\n" * 100_000)
        archive.writestr("small.txt", TALK)
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    upload = Upload("a.zip", outer.getvalue())
    settings = ServiceSettings(max_body=100_000)
    with kept_out_of_the_log(), collected() as notices:
        found = read_uploads([upload], None, settings, nothing)
    assert [one.dialogue.id for one in found] == ["small"]
    assert "a.zip/inner.zip/large.txt: found more than 1 MB; divide the file" in notices


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        (SummariesBody, '{"dialogues": [' + "1," * 50_000 + "1]}", (400, "invalid_field")),
        (SummariesBody, '{"dialogues": [' + "{}," * 50_000 + "{}]}", (413, "too_many_dialogues")),
        (
            SummariesBody,
            "{" + ",".join(f'"k{number}": 1' for number in range(50_000)) + "}",
            (400, "unknown_field"),
        ),
        (
            SummariesBody,
            '{"names": {' + ",".join(f'"k{number}": 1' for number in range(9000)) + "}}",
            (400, "invalid_field"),
        ),
        (ChatBody, '{"messages": [' + "1," * 50_000 + "1]}", (400, "invalid_field")),
        (
            ChatBody,
            '{"messages": [{"role": "user", "content": [' + "1," * 50_000 + "1]}]}",
            (400, "invalid_field"),
        ),
        (FeedbackBody, '{"dialogue": {"txt": "a"}}', (400, "unknown_field")),
    ],
)
def test_what_is_not_valid_a_thousand_times_is_one_error(model: Any, body: str, expected: tuple[int, str]) -> None:
    content = body.encode()
    tracemalloc.start()
    assert refused(lambda: parsed(model, content)) == expected
    assert tracemalloc.get_traced_memory()[1] < 40 * len(content) + 100_000
    tracemalloc.stop()


def test_names_in_a_form_that_are_nested_without_end() -> None:
    assert refused(lambda: validated(SummariesBody, {"names": "[" * 100_000})) == (400, "invalid_field")


def test_a_dialogue_has_limits() -> None:
    turns = [f"민지: {number}" for number in range(MOST_TURNS + 1)]
    for body in (DialogueBody(turns=turns), DialogueBody(text="\n".join(turns))):
        with pytest.raises(DataError, match=r"a: found 10,001 turns; expected at most 10,000 in a dialogue"):
            read_whole(body, "a")
    long = "민지: " + "가" * 300_000
    text = "\n".join([long] * (MOST_CHARACTERS // 300_000 + 1))
    items = [DialogueBody(id="long", text=text), DialogueBody(id="short", text=TALK)]
    found = read_dialogues(DialoguesBody(dialogues=items), nothing)
    assert str(found[0].error).startswith("long: found 600,0")
    assert (found[0].dialogue.text, found[1].error) == ("", None)


def test_work_that_nobody_waits_for_ends() -> None:
    cancelled = threading.Event()
    check = check_of(cancelled)
    calls = 0

    def count(dialogue: Dialogue) -> int:
        nonlocal calls
        calls += 1
        if calls == 10:
            cancelled.set()
        return len(dialogue.text)

    dialogue = Dialogue("d", "\n".join([TALK] * 1000))
    with pytest.raises(AbandonedError):
        cut_windows(dialogue, count, 100, check=check)
    assert calls == 10
    items = [DialogueBody(text=TALK)]
    for read in (
        lambda: read_dialogues(DialoguesBody(dialogues=items), check),
        lambda: read_uploads([Upload("a.txt", TALK.encode())], None, ServiceSettings(), check),
    ):
        with pytest.raises(AbandonedError):
            read()


def request_of(*chunks: bytes) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "headers": []}, receive)


def test_bodies_are_counted_until_their_work_has_ended() -> None:
    settings = ServiceSettings(max_body=100)
    go_on = threading.Event()

    async def run() -> None:
        places = Places(2, 150)
        with places.reading() as first:
            await receive_body(request_of(b"x" * 60, b"x" * 40), settings, first.add)
            with places.reading() as second:
                with pytest.raises(HttpError) as error:
                    await receive_body(request_of(b"x" * 40, b"x" * 40), settings, second.add)
                assert (error.value.status, error.value.code) == (429, "too_many_requests")
                assert error.value.close
                assert places.held == 140
            assert places.held == 100
            work = Work(lambda emit, cancelled: go_on.wait(20))
            places.start(work, first)
        assert (places.held, places.taken) == (100, 1)
        go_on.set()
        while places.taken:
            await asyncio.sleep(0.01)
        assert places.held == 0
        with places.reading() as third:  # refused before the work begins
            third.add(70)
            assert places.held == 70
        assert places.held == 0
        places.close()

    asyncio.run(run())


@pytest.mark.parametrize("headers", [{"Host": "["}, {"Host": "[::1"}, {"Origin": "http://[", "Host": "localhost"}])
def test_a_header_that_is_no_address_is_refused(headers: dict[str, str]) -> None:
    gate = Gate(PlainTextResponse("in"), ServiceSettings(), Metrics())

    async def ask(**other: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://localhost") as client:
            return await client.get("/", headers=other or headers)

    response = asyncio.run(ask())
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_header")
    assert asyncio.run(ask(Host="127.0.0.1:8000")).text == "in"
