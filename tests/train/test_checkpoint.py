"""Checkpoints: listing, checking and removing them."""

from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain

from llm_summ.core.files import file_sha256, write_json
from llm_summ.train.checkpoint import CHECKSUMS, Checkpoint, checkpoints, newest_whole, prune


def make(folder: Path, step: int) -> Checkpoint:
    path = folder / f"step-{step:06d}"
    path.mkdir(parents=True)
    (path / "weights").write_bytes(bytes([step % 256]) * 64)
    write_json(path / "progress.json", {"tokens": step})
    write_json(path / CHECKSUMS, {name: file_sha256(path / name) for name in ("weights", "progress.json")})
    return Checkpoint(path, step)


def test_the_last_undamaged_checkpoint_is_used(tmp_path: Path) -> None:
    assert newest_whole(tmp_path / "none") is None
    for step in (8, 16, 1_000_000):
        make(tmp_path, step)
    checkpoint = newest_whole(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1_000_000
    assert checkpoint.progress() == {"tokens": 1_000_000}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: (path / "weights").write_bytes(b"\0" * 64),
            snapshot(
                "…/step-000002: the checkpoint is damaged (weights differs from its checksum); renamed it to "
                "damaged-step-000002; trying an earlier one\n"
            ),
        ),
        (
            lambda path: (path / "weights").write_bytes(b"\1" * 63),
            snapshot(
                "…/step-000002: the checkpoint is damaged (weights differs from its checksum); renamed it to "
                "damaged-step-000002; trying an earlier one\n"
            ),
        ),
        (
            lambda path: (path / "weights").unlink(),
            snapshot(
                "…/step-000002: the checkpoint is damaged (no weights); renamed it to damaged-step-000002; trying "
                "an earlier one\n"
            ),
        ),
        (
            lambda path: (path / CHECKSUMS).unlink(),
            snapshot(
                "…/step-000002: the checkpoint is damaged (no checksums.json); renamed it to damaged-step-000002; "
                "trying an earlier one\n"
            ),
        ),
        (
            lambda path: (path / CHECKSUMS).write_text("{", encoding="utf-8"),
            snapshot(
                "…/step-000002: the checkpoint is damaged (checksums.json: …); renamed it to damaged-step-000002; "
                "trying an earlier one\n"
            ),
        ),
        (
            lambda path: (path / CHECKSUMS).write_text("[1]", encoding="utf-8"),
            snapshot(
                "…/step-000002: the checkpoint is damaged (checksums.json: expected an object, with the checksum "
                "of each file); renamed it to damaged-step-000002; trying an earlier one\n"
            ),
        ),
    ],
)
def test_a_damaged_checkpoint_is_reported_and_an_earlier_one_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, message: str
) -> None:
    make(tmp_path, 1)
    broken = make(tmp_path, 2)
    damage(broken.path)  # type: ignore[operator]
    checkpoint = newest_whole(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1
    err = capsys.readouterr().err
    assert plain(err) == message
    assert len(err.splitlines()) == 1
    assert not broken.path.exists()


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    make(tmp_path, 3)
    (tmp_path / ".step-000004.abc").mkdir()
    (tmp_path / ".step-000004.abc" / "weights").write_bytes(b"half")
    (tmp_path / "step-x").mkdir()
    checkpoint = newest_whole(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-x"]


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        make(tmp_path, step)
    prune(tmp_path, 2, {2})
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [5, 4, 2]
    prune(tmp_path, 1, set())
    assert [checkpoint.step for checkpoint in checkpoints(tmp_path)] == [5]
