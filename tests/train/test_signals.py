"""A first signal asks, a second one stops at once; afterwards everything is as it was."""

from __future__ import annotations

import os
import signal
import time

import pytest

from llm_summ.train.signals import StopSignals


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_stop(kind: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
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
    assert err.startswith(f"{kind.name}: stopping after this step")
    assert len(err.splitlines()) == 1
