"""Workers of the engine hf in their own processes: the same candidates, and errors when a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import EngineError, GenerationError, LlmSummError, MissingPackageError, ModelError
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.placement.processes import ParallelEngine, worker_environments

STOP_ID, PAD_ID = 2, 0
REQUESTS = [Request([1, *range(300 + 11 * row, 303 + 17 * row)], 12 + row, seed=1000 * row) for row in range(9)]


@dataclass(frozen=True)
class Start:
    """Makes an engine in the process that calls it."""

    folder: Path

    def __call__(self) -> Engine:
        from transformers import AutoModelForCausalLM

        from llm_summ.generate.engines.hf import HfEngine

        return HfEngine(AutoModelForCausalLM.from_pretrained(self.folder), pad_id=PAD_ID, batch_size=4)


class Sleeper:
    """An engine that sleeps for each prompt's first id, in tenths of a second."""

    name = "sleeper"

    def __init__(self, error: Exception | None = None, token: int = STOP_ID) -> None:
        self.error, self.token = error, token

    def generate(
        self, requests: Sequence[Request], *, stop_id: int, decoding: Decoding = GREEDY, done: Collection[Key] = ()
    ) -> Iterator[Output]:
        for index, request in enumerate(requests):
            time.sleep(request.prompt_ids[0] / 10)
            if len(request.prompt_ids) > 1:
                raise self.error or EOFError("half a file")
            yield Output(index, (self.token,), "stop")

    def close(self) -> None:
        pass


def refuse() -> Engine:
    raise ModelError("tiny: no such model")


def break_down() -> Engine:
    raise ZeroDivisionError("nothing to divide by")


def lack() -> Engine:
    raise MissingPackageError("x", "train", "this")


def with_orphan() -> Engine:
    """Like vLLM's engine, it starts a process that inherits the pipe and outlives the worker."""
    orphan = subprocess.Popen(["sleep", "300"], close_fds=False)
    return Sleeper(token=orphan.pid)


@pytest.fixture(scope="module")
def start(tiny_model: Path) -> Start:
    return Start(tiny_model)


@pytest.fixture(scope="module")
def engine(start: Start) -> Iterator[ParallelEngine]:
    engine = ParallelEngine("hf", start, worker_environments(2, 1, 0))
    yield engine
    engine.close()


def found(engine: Engine, decoding: Decoding, done: frozenset[Key] = frozenset()) -> dict[Key, Output]:
    outputs = list(engine.generate(REQUESTS, stop_id=STOP_ID, decoding=decoding, done=done))
    by_key = {(output.index, output.sample): output for output in outputs}
    assert len(by_key) == len(outputs)
    return by_key


@pytest.mark.slow
@pytest.mark.parametrize("decoding", [GREEDY, Decoding(n=3, temperature=1.0)])
def test_workers_write_the_same_texts_as_one_engine(
    engine: ParallelEngine, start: Start, decoding: Decoding
) -> None:
    together, alone = found(engine, decoding), found(start(), decoding)
    assert len(together) == 9 * decoding.n
    for key, output in alone.items():
        assert together[key].token_ids == output.token_ids
        assert together[key].finish_reason == output.finish_reason
        assert together[key].logprob == pytest.approx(output.logprob, abs=1e-3)


@pytest.mark.slow
def test_existing_candidates_are_not_generated_again(engine: ParallelEngine) -> None:
    everything = found(engine, GREEDY)
    assert not found(engine, GREEDY, frozenset(everything))
    missing = (4, 0)
    again = found(engine, GREEDY, frozenset(everything) - {missing})
    assert again[missing].token_ids == everything[missing].token_ids
    assert len(again) < 9  # those of its batch, and none of the other worker's


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_and_ends_the_others(start: Start) -> None:
    before = set(multiprocessing.active_children())
    with closing(ParallelEngine("hf", start, worker_environments(2, 1, 0))) as engine:
        workers = set(multiprocessing.active_children()) - before
        assert len(workers) == 2
        outputs = engine.generate(REQUESTS, stop_id=STOP_ID, decoding=Decoding(n=200, temperature=1.0))
        assert next(outputs).token_ids
        workers.pop().kill()
        with pytest.raises(
            GenerationError, match=r"^hf: worker \d of 2 died \(exit code -9\); finished outputs are k"
        ):
            list(outputs)
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize(
    ("start", "error", "told"),
    [
        (refuse, ModelError, snapshot("tiny: no such model")),
        (
            break_down,
            GenerationError,
            snapshot("ZeroDivisionError: nothing to divide by (--debug shows where)"),
        ),
        (
            lack,
            GenerationError,
            snapshot(
                "MissingPackageError: this: the package x is not installed; install it: pip install '…' (--debug "
                "shows where)"
            ),
        ),
    ],
)
def test_a_worker_that_does_not_start_reports_the_reason(start: Any, error: type[LlmSummError], told: str) -> None:
    before = set(multiprocessing.active_children())
    with raises(error) as caught:
        ParallelEngine("hf", start, [{}, {}])
    assert caught.message == told
    assert "in _serve" in caught.value.__notes__[0]  # where it happened, for --debug
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (None, GenerationError, snapshot("EOFError: half a file (--debug shows where)")),
        (GenerationError("hf: out of memory"), GenerationError, snapshot("hf: out of memory")),
    ],
)
def test_outputs_of_the_other_workers_are_kept_if_one_fails(error: Any, kind: type[Exception], told: str) -> None:
    engine = ParallelEngine("sleeper", partial(Sleeper, error), [{}, {}])
    # The longest prompt goes first, to the first worker; meanwhile the second worker has four to answer.
    asked = [Request([2, 0], 5), *(Request([0], 5) for _ in range(7))]
    outputs: list[Output] = []
    with raises(kind) as caught:
        outputs.extend(engine.generate(asked, stop_id=STOP_ID))
    assert caught.message == told
    assert sorted(output.index for output in outputs) == [1, 3, 5, 7]
    with raises(GenerationError) as error:
        list(engine.generate(asked, stop_id=STOP_ID))
    assert error.message == snapshot("sleeper: was closed; start it again")


def test_a_caller_that_stops_early_gets_no_outputs_later() -> None:
    engine = ParallelEngine("sleeper", Sleeper, [{}, {}])
    outputs = engine.generate([Request([1], 5)] * 6, stop_id=STOP_ID)
    next(outputs)
    outputs.close()
    with raises(GenerationError) as error:
        next(engine.generate([Request([1], 5)], stop_id=STOP_ID))
    assert error.message == snapshot("sleeper: was closed; start it again")


def test_the_death_of_a_worker_is_noticed_although_its_child_process_still_runs() -> None:
    before = set(multiprocessing.active_children())
    with closing(ParallelEngine("sleeper", with_orphan, [{}])) as engine:
        [worker] = set(multiprocessing.active_children()) - before
        outputs = engine.generate([Request([1], 5), Request([100], 5)], stop_id=STOP_ID)
        [orphan] = next(outputs).token_ids
        worker.kill()
        with raises(GenerationError) as error:
            next(outputs)
        assert error.message == snapshot(
            "sleeper: worker 1 of 1 died (exit code -9); finished outputs are kept, and the same command "
            "resumes there"
        )
        os.kill(orphan, signal.SIGKILL)  # it still runs


def test_workers_of_an_engine_without_probabilities_answer_nothing() -> None:
    with closing(ParallelEngine("sleeper", Sleeper, [{}, {}])) as engine:
        assert engine.next_tokens([[1, 2]]) == {}
        assert len(list(engine.generate([Request([0], 5)] * 2, stop_id=STOP_ID))) == 2


def test_workers_end_when_the_main_process_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import multiprocessing\n"
        "from test_processes import Request, Sleeper, STOP_ID\n"
        "from llm_summ.generate.placement.processes import ParallelEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = ParallelEngine('sleeper', Sleeper, [{}, {}])\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    list(engine.generate([Request([100], 5)] * 4, stop_id=STOP_ID))\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    for _ in range(600):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail("a worker still runs")


@pytest.mark.parametrize(
    ("visible", "workers", "each", "expected"),
    [
        (None, 2, 1, ["0", "1"]),
        (None, 4, 1, ["0", "1", "2", "3"]),
        (None, 2, 2, ["0,1", "2,3"]),
        ("3,5,6,7", 2, 2, ["3,5", "6,7"]),
        ("GPU-a,GPU-b", 2, 1, ["GPU-a", "GPU-b"]),
        (None, 1, 1, ["0"]),
    ],
)
def test_each_worker_has_gpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, workers: int, each: int, expected: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = worker_environments(workers, each, 4 if visible is None else len(visible.split(",")))
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == expected


def test_too_many_workers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with raises(EngineError) as caught:
        worker_environments(4, 2, 4)
    assert caught.message == snapshot(
        "generate.data_parallel 4 with tensor_parallel 2: needs 8 GPUs, found 4; set it to 2 or less"
    )
    with raises(EngineError) as error:
        worker_environments(1, 8, 4)
    assert error.message == snapshot("generate.tensor_parallel 8: needs 8 GPUs, found 4; set it to 4 or less")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with raises(EngineError) as error:
        worker_environments(3, 1, 0)
    assert error.message == snapshot("generate.data_parallel 3: this machine has 2 cores; set it to that or less")


def test_each_worker_has_cores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 6, 7, 8})
    shares = worker_environments(2, 1, 0)
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in shares] == ["4,5", "6,7"]
    assert [share["OMP_NUM_THREADS"] for share in shares] == ["2", "2"]
