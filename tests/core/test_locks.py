"""A lock keeps others out only while its process runs; the error names the process that holds it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import RunError
from llm_summ.core.locks import FOLDER, locked

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from llm_summ.core.locks import locked\n"
    "with locked(Path('run'), 'training', 'run: busy'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(float(sys.argv[1]))\n"
)


@contextmanager
def holding(seconds: float, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock for a while."""
    command = [sys.executable, "-c", HOLD, str(seconds), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def take(wait: float = 0.0) -> None:
    with locked(Path("run"), "training", "run: busy", wait=wait):
        pass


def test_the_second_process_is_told_who_is_first(in_tmp: Path) -> None:
    with holding(60, "두 낱말", "--data", "a\nb") as process, pytest.raises(RunError) as refused:
        take()
    [line] = str(refused.value).splitlines()
    assert line.startswith(f"run: busy by process {process.pid} (-c 60 '두 낱말' --data 'a?b', since ")
    assert line.endswith("; wait for it, or stop it")
    assert refused.value.exit_code == 2


def test_another_lock_of_the_same_run_is_free(in_tmp: Path) -> None:
    with holding(60), locked(Path("run"), "predictions/dev.hf.jsonl", "busy"):
        assert (Path("run") / FOLDER / "predictions" / "dev.hf.jsonl.lock").is_file()


def test_a_killed_process_leaves_no_lock(in_tmp: Path) -> None:
    with holding(60) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    holder = Path("run") / FOLDER / "training.holder"
    assert json.loads(holder.read_text(encoding="utf-8"))["pid"] == process.pid
    take()
    assert not holder.exists()


def test_the_name_of_a_dead_process_is_not_given(in_tmp: Path) -> None:
    with holding(60):
        holder = Path("run") / FOLDER / "training.holder"
        found = json.loads(holder.read_text(encoding="utf-8"))
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        for content in (json.dumps(found | {"pid": gone.pid}), "", "[]", "{}"):
            holder.write_text(content, encoding="utf-8")
            with raises(RunError) as error:
                take()
            assert error.message == snapshot("run: busy by another process; wait for it, or stop it")
        holder.write_text(json.dumps(found | {"pid": gone.pid, "host": "other"}), encoding="utf-8")
        with raises(RunError) as error:
            take()
        assert error.message == snapshot(
            "run: busy by process … on other (-c 60, since …); wait for it, or stop it"
        )


def test_a_short_lock_is_waited_for(in_tmp: Path) -> None:
    with holding(0.3):
        take(wait=30)


def test_who_waits_for_ever_says_so(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(0.3) as process:
        take(wait=float("inf"))
    assert capsys.readouterr().err.startswith(f"run: busy by process {process.pid} (")


def test_who_waits_too_long_is_refused(in_tmp: Path) -> None:
    with holding(60):
        began = time.monotonic()
        with pytest.raises(RunError):
            take(wait=0.2)
        assert 0.2 <= time.monotonic() - began < 20


def test_the_thread_that_holds_a_lock_may_take_it_again_and_others_may_not(in_tmp: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        with locked(Path("run"), "training", "run: busy"):
            take()
            assert isinstance(other.submit(take).exception(), RunError)
        other.submit(take).result()


def test_a_failure_gives_the_lock_back(in_tmp: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(Path("run"), "training", "run: busy"):
        raise KeyboardInterrupt
    with ThreadPoolExecutor(1) as other:
        other.submit(take).result()


def test_a_lock_is_found_whatever_way_leads_to_its_run(in_tmp: Path) -> None:
    Path("run").mkdir()
    Path("latest").symlink_to("run")
    with holding(60), pytest.raises(RunError), locked(in_tmp / "latest", "training", "busy"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_that_can_only_be_read_is_not_locked(in_tmp: Path) -> None:
    Path("run").mkdir(mode=0o500)
    take()
    assert list(Path("run").iterdir()) == []


def test_a_full_disk_takes_only_the_name(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path("run") / FOLDER / "training.holder").mkdir(parents=True)  # cannot be written, as on a full disk
    with ThreadPoolExecutor(1) as other, locked(Path("run"), "training", "run: busy"):
        assert isinstance(other.submit(take).exception(), RunError)
