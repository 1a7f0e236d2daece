"""A service with the engine echo, which several files use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running, running


@pytest.fixture(scope="session")
def echo(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("echo")
    arguments = (
        "--model",
        str(tiny_model),
        "--engine",
        "echo",
        "--feedback",
        "feedback.jsonl",
        "--max-body",
        "0.3",
    )
    with running(*arguments, "--set", "prompt.max_prompt_tokens=300", cwd=folder) as service:
        yield service
