"""What several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does; how many are thrown away, on chance.
UNSURE = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("suite", deadline=None, suppress_health_check=UNSURE)
settings.load_profile("suite")

# No test asks a model hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and one stands in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
