"""Connections without a request are closed; those that are used are not."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import Receive, Scope, Send

from llm_summ.serve.idle_connections import close_idle

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMIT = 2.0


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer /slow after twice the limit, and all others at once."""
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * LIMIT)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def connections() -> list[bytes]:
    """Return what each client has got at its end: nothing, half a header, a slow request, many requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off", ws="none"))
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener])),
        asyncio.create_task(close_idle(server.server_state.connections, LIMIT)),
    ]

    async def client(first: bytes, times: int = 1) -> bytes:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        got = b""
        for _ in range(times):
            writer.write(first)
            if first == REQUEST:
                got += (await reader.readuntil(b"ok"))[-2:]
                await asyncio.sleep(LIMIT / 20)
        got += (await asyncio.wait_for(reader.read(), 20))[-2:]
        writer.close()
        return got

    try:
        return await asyncio.gather(
            client(b""), client(REQUEST[:20]), client(REQUEST.replace(b"/ ", b"/slow ")), client(REQUEST, 30)
        )
    finally:
        server.should_exit = True
        tasks[1].cancel()
        await tasks[0]


def test_a_connection_is_closed_when_no_request_comes() -> None:
    assert asyncio.run(connections()) == [b"", b"", b"ok", b"ok" * 30]
