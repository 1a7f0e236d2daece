"""Canaries: what train/tracking.py takes of transformers' callbacks and of trackers beyond public names."""

from __future__ import annotations

import inspect

import pytest

from llm_summ.core.compat.trackers import mark_begun, tracker_module

pytestmark = [
    pytest.mark.canary,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::wandb", "ignore:::trackio"),
]


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_callback_keeps_its_tracker_and_whether_it_has_begun(tracker: str) -> None:
    pytest.importorskip(tracker)
    from transformers import integrations

    kind = {"wandb": integrations.WandbCallback, "trackio": integrations.TrackioCallback}[tracker]
    callback = kind()
    assert tracker_module(callback).__name__ == tracker
    assert callback._initialized is False
    mark_begun(callback)
    assert callback._initialized is True
    assert "self._initialized" in inspect.getsource(kind.on_train_begin)
    assert callable(kind.setup)


def test_settings_of_wandb() -> None:
    wandb = pytest.importorskip("wandb")
    for name in (
        *("x_disable_meta", "x_disable_machine_info", "x_disable_stats", "x_disable_viewer"),
        *("x_save_requirements", "x_transaction_log_flush_interval", "finish_timeout_raises"),
    ):
        assert name in wandb.Settings.model_fields, name
