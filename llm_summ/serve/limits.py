"""What the service is started with: its address, its key and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from llm_summ.core.errors import InputError
from llm_summ.core.formatting import counted

__all__ = ["KEY_VARIABLE", "MOST_CHARACTERS", "MOST_DIALOGUES", "MOST_TURNS", "ServiceSettings", "is_loopback"]

KEY_VARIABLE = "LLM_SUMM_API_KEY"
"""The environment variable of the key."""

MOST_DIALOGUES = 1000
"""Of a request."""

MOST_TURNS = 10_000
MOST_CHARACTERS = 500_000
"""Of a dialogue; a meeting of a whole day has fewer. With masks and tags, so many take about two seconds
before the model begins, and nothing stops that."""

_BODY_SECONDS = 30.0
_MOST_BODIES = 16  # of the largest size, in memory at a time; smaller ones are limited by their number


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the service works.

    Attributes:
        host: the address it listens on.
        port: 0 takes a free one.
        key: clients must send it as ``Authorization: Bearer KEY``; None: no key is needed.
        is_open: whether it was chosen to need no key (``--no-key``), on any host and under any name.
        max_requests: requests at a time; further ones are refused.
        max_body: bytes of a request.
        max_dialogues: of a request.
        timeout: seconds that a request may take.
        feedback: the file that feedback is appended to; None: none is taken.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = field(default=None, repr=False)
    is_open: bool = False
    max_requests: int = 64
    max_body: int = 20_000_000
    max_dialogues: int = MOST_DIALOGUES
    timeout: float = 600.0
    feedback: Path | None = None

    def check(self) -> None:
        """Check what does not go together.

        Raises:
            InputError: any other machine could use the service, and `is_open` is not set.
        """
        if not is_loopback(self.host) and self.key is None and not self.is_open:
            raise InputError(
                f"--host {self.host}: other machines could use the service without a key; set {KEY_VARIABLE} in "
                "the environment, or add --no-key"
            )

    @property
    def checks_names(self) -> bool:
        """Whether requests must name this machine as their host.

        Without a key, a page of another site that a browser on this machine shows could reach the service.
        """
        return self.key is None and not self.is_open

    @property
    def all_bodies(self) -> int:
        """Bytes of all requests that are in memory at a time."""
        return _MOST_BODIES * self.max_body

    @property
    def body_seconds(self) -> float:
        """Seconds in which a client must have sent its request."""
        return min(_BODY_SECONDS, self.timeout)

    def described(self) -> str:
        """Return what is on, for people."""
        key = "key needed" if self.key is not None else "no key"
        most = counted(self.max_requests, "request")
        limits = f"at most {most} at a time, {self.max_body / 1e6:g} MB and {self.timeout:g} s each"
        feedback = "no feedback" if self.feedback is None else f"feedback to {self.feedback}"
        return f"{key}; {limits}; {feedback}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
