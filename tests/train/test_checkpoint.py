"""Checkpoints: found, checked, and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_summ.core.files import file_sha256, write_json
from llm_summ.train.checkpoint import CHECKSUMS, Checkpoint, checkpoints, newest_whole, prune


def make(folder: Path, step: int) -> Checkpoint:
    path = folder / f"step-{step:06d}"
    path.mkdir(parents=True)
    (path / "weights").write_bytes(bytes([step % 256]) * 64)
    write_json(path / "progress.json", {"tokens": step})
    write_json(path / CHECKSUMS, {name: file_sha256(path / name) for name in ("weights", "progress.json")})
    return Checkpoint(path, step)


def test_the_last_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    assert newest_whole(tmp_path / "none") is None
    for step in (8, 16, 1_000_000):
        make(tmp_path, step)
    found = newest_whole(tmp_path)
    assert found is not None
    assert found.step == 1_000_000
    assert found.progress() == {"tokens": 1_000_000}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "weights").write_bytes(b"\0" * 64), "weights is not what was written"),
        (lambda path: (path / "weights").write_bytes(b"\1" * 63), "weights is not what was written"),
        (lambda path: (path / "weights").unlink(), "no weights"),
        (lambda path: (path / CHECKSUMS).unlink(), f"no {CHECKSUMS}"),
        (lambda path: (path / CHECKSUMS).write_text("{", encoding="utf-8"), f"{CHECKSUMS}: "),
        (lambda path: (path / CHECKSUMS).write_text("[1]", encoding="utf-8"), f"{CHECKSUMS}: "),
    ],
)
def test_a_damaged_checkpoint_is_told_and_an_earlier_one_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, told: str
) -> None:
    make(tmp_path, 1)
    broken = make(tmp_path, 2)
    damage(broken.path)  # type: ignore[operator]
    found = newest_whole(tmp_path)
    assert found is not None
    assert found.step == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{broken.path}: the checkpoint is damaged ({told}")
    assert len(err.splitlines()) == 1
    assert not broken.path.exists()


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    make(tmp_path, 3)
    (tmp_path / ".step-000004.abc").mkdir()
    (tmp_path / ".step-000004.abc" / "weights").write_bytes(b"half")
    (tmp_path / "step-x").mkdir()
    found = newest_whole(tmp_path)
    assert found is not None
    assert found.step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-x"]


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        make(tmp_path, step)
    prune(tmp_path, 2, {2})
    assert [one.step for one in checkpoints(tmp_path)] == [5, 4, 2]
    prune(tmp_path, 1, set())
    assert [one.step for one in checkpoints(tmp_path)] == [5]
