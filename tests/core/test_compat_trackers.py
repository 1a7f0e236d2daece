"""Canary: the settings of wandb that train/tracking.py uses beyond its documented ones."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.canary, pytest.mark.slow, pytest.mark.filterwarnings("ignore:::wandb")]


def test_settings_of_wandb() -> None:
    wandb = pytest.importorskip("wandb")
    for name in (
        *("x_disable_meta", "x_disable_machine_info", "x_disable_stats", "x_disable_viewer"),
        *("x_save_requirements", "x_transaction_log_flush_interval", "finish_timeout_raises"),
    ):
        assert name in wandb.Settings.model_fields, name
