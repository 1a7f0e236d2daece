"""huggingface_hub: offline from now on, and the errors of its connections."""

from __future__ import annotations

import os

__all__ = ["connection_error", "go_offline"]


def go_offline() -> None:
    """Stop this process, and those that it starts, from sending requests to the model hub.

    The client reads HF_HUB_OFFLINE when it is imported and has no function to change it later. Without it every
    cached file of a model waits for a connection that is known to be missing.
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

    error_class: type[Exception] = HTTPError
    return error_class
