"""A first signal asks, a second one stops at once; afterwards everything is as it was."""

from __future__ import annotations

import os
import signal
import time

import pytest
from inline_snapshot import snapshot
from messages import plain

from llm_summ.train.signals import StopSignals


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            signal.SIGTERM,
            snapshot("SIGTERM: stopping after this step, which is saved; send it again to stop at once\n"),
        ),
        (
            signal.SIGINT,
            snapshot("SIGINT: stopping after this step, which is saved; send it again to stop at once\n"),
        ),
    ],
)
def test_a_signal_asks_for_a_stop(kind: signal.Signals, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(kind)
    with StopSignals() as stops:
        assert stops.received is None
        os.kill(os.getpid(), kind)
        assert stops.received == kind
        os.kill(os.getpid(), kind)  # the same signal a second time, forwarded by the launcher
        time.sleep(1.1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), kind)
    assert signal.getsignal(kind) == before
    err = capfd.readouterr().err
    assert plain(err) == message
