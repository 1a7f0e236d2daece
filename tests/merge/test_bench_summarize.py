"""The bench of `summarize` runs, and shows both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run_script
from tiny_run import make_run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_summarize.py"


def test_the_bench_compares_many_files_with_generate(tiny_model: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, tiny_model)
    options = ["--data", "sample:test", "--files", "2", "--engine", "echo", "--least"]
    done = run_script(SCRIPT, "--run", str(run.path), *options, "0")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["one", "generate", "summarize", "summarize"]
    assert not (run.path / "predictions").exists()
    assert run_script(SCRIPT, "--data", "sample:test").code == 2
    assert "no such run" in run_script(SCRIPT, "--run", "nowhere", "--files", "1").err
