"""What several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No test asks a model hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and one stands in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
