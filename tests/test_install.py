"""The installation says what stops it before it begins."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder: Path, stand_in: str, says: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder of its own, with another program in the place of one that it asks."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install.sh", folder / "scripts")
    programs = folder / "programs"
    programs.mkdir()
    (programs / stand_in).write_text(f"#!/bin/sh\n{says}\n")
    (programs / stand_in).chmod(0o755)
    return subprocess.run(
        ["bash", "scripts/install.sh"],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": "python3"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    done = install(tmp_path, "df", "echo head; echo /dev/x 100000000 96000000 4000000 96% /")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"install.sh: found 3 GiB free for {tmp_path}/.venv, expected at least 6; make room")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_is_told_with_how_to_name_another(tmp_path: Path) -> None:
    done = install(tmp_path, "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    [line] = done.stderr.splitlines()
    assert line.startswith("install.sh: found Python 3.9.2, expected Python 3.11 or newer; set PYTHON=/path/to")
    assert (done.returncode, done.stdout) == (2, "")
