"""What several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from inline_snapshot.plugin import Builder, Custom, customize
from messages import pieces, temporary
from tiny import make_tiny_model

# How long an example takes depends on what else the machine does; how many are thrown away, on chance.
UNSURE = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("suite", deadline=None, suppress_health_check=UNSURE)
settings.load_profile("suite")

# No test asks a model hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
# A test computes too little for threads to pay, and threads of processes that share cores wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# They start first, so that short files are left for the end and no process waits long for the other.
LONGEST = (
    *("train/test_devices.py", "models/test_embedded.py", "test_end_to_end.py", "test_resume.py"),
    *(
        "generate/test_vllm_engine.py",
        "families/test_families.py",
        "test_bench_sft.py",
        "train/test_time_budget.py",
    ),
    *("generate/test_processes.py", "merge/test_merge.py", "train/test_tracking.py", "check/test_memory.py"),
    *("test_methods.py", "test_at_once.py", "train/test_trainer.py", "check/test_check.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, in that order (with xdist's --no-loadscope-reorder)."""
    folder = Path(__file__).parent
    place = {folder / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny model, made once for all processes; a test that changes it uses a copy."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the processes share
    with FileLock(folder / "tiny.lock"):
        if not (folder / "tiny").exists():
            make_tiny_model(folder / "tiny.part").rename(folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="session", autouse=True)
def _shown() -> Iterator[None]:
    """Print messages like the commands, so that tests see what a user sees."""
    from llm_summ.core.terminal import shown_on_stderr

    with shown_on_stderr():
        yield


@pytest.fixture(scope="session", autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> None:
    temporary(tmp_path_factory.getbasetemp())


@customize
def _long_strings_in_pieces(value: object, builder: Builder) -> Custom | None:
    """Write a long string of a snapshot as several short ones, one below the other."""
    if not isinstance(value, str) or len(parts := pieces(value)) < 2:
        return None
    return builder.create_code(" ".join(map(repr, parts)))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
