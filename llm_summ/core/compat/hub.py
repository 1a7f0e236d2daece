"""huggingface_hub: offline from now on, and the errors of its connections."""

from __future__ import annotations

import os

__all__ = ["connection_error", "go_offline"]


def go_offline() -> None:
    """Keep this process, and those that it starts, from asking the model hub for anything.

    The client reads HF_HUB_OFFLINE when it is imported and has no function to change it later. Without it every
    file of a model in the cache waits for a connection that was just found missing.
    """
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"


def connection_error() -> type[Exception]:
    """Return the class of errors of the client's connections: httpx's or httpx2's, whichever it uses.

    The client raises them as they are and exports no class for them. Without it a push without a network ends in
    a traceback.
    """
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    found: type[Exception] = HTTPError
    return found
