"""The installation says what stops it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the script; it is not the repository's, so that nothing there is touched."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def install(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a stand-in for Python, a line of shell."""
    program(folder / "python", python)
    return subprocess.run(
        ["bash", "scripts/install.sh"],
        cwd=folder,
        env={**os.environ, "PYTHON": str(folder / "python")},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_too_little_room_is_told_before_anything_is_written(folder: Path) -> None:
    done = install(folder, f'case "$2" in *disk_usage*) echo 3;; *) exec {sys.executable} "$@";; esac')
    [line] = done.stderr.splitlines()
    assert line.startswith(f"install.sh: found room for 3 GiB in {folder}/.venv, expected at least 6; make room")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (folder / ".venv").exists()


def test_an_old_python_is_told_with_how_to_name_another(folder: Path) -> None:
    done = install(folder, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    [line] = done.stderr.splitlines()
    assert line.startswith("install.sh: found Python 3.9.2, expected Python 3.11 or newer; set PYTHON=/path/to")
    assert (done.returncode, done.stdout) == (2, "")


def test_why_vllm_cannot_be_had_is_told_and_the_rest_is_installed(folder: Path) -> None:
    program(
        folder / ".venv" / "bin" / "python",
        'case "$*" in *torch==*|*vllm*) printf "ERROR: none\\nERROR: No such thing\\n" >&2; exit 1;;'
        f' *install*) echo "$*" >> {folder}/installed;; esac',
    )
    done = install(folder, f'case "$2" in *disk_usage*) echo 9;; *) exec {sys.executable} "$@";; esac')
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot be installed here (No such thing; more in .venv/vllm.log); generation will use" in done.stdout
    assert (folder / "installed").read_text().endswith("-e .[train,embedded,plots]\n")
