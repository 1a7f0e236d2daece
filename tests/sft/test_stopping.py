"""A first signal asks, a second one stops at once; afterwards everything is as it was."""

from __future__ import annotations

import os
import signal

import pytest

from llm_summ.sft.stopping import StopSignals


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_stop(kind: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(kind)
    with StopSignals() as stops:
        assert stops.received is None
        os.kill(os.getpid(), kind)
        assert stops.received == kind
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), kind)
    assert signal.getsignal(kind) == before
    assert capsys.readouterr().err.startswith(f"{kind.name}: stopping after this step")
