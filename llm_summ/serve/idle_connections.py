"""Connections on which no request comes: uvicorn waits for the end of a request's headers without a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

__all__ = ["close_idle"]


async def close_idle(connections: Collection[Any], seconds: float) -> None:
    """Close connections that have had no request for so long, until this is cancelled.

    What a client has sent of its next headers is no request yet.

    Args:
        connections: those of uvicorn's server state. `cycle` of each is its latest request, or None.
        seconds: as long as a connection may be kept for the next request.
    """
    idle: dict[Any, tuple[object, float]] = {}
    while True:
        now = time.monotonic()
        before, idle = idle, {}
        for connection in list(connections):
            latest = connection.cycle
            if latest is not None and not latest.response_complete:
                continue
            known, since = before.get(connection, (latest, now))
            idle[connection] = (latest, since if known is latest else now)
            if now - idle[connection][1] > seconds:
                if connection.transport.is_closing():  # its client does not read the last answer
                    connection.transport.abort()
                connection.transport.close()
        await asyncio.sleep(seconds / 4)
