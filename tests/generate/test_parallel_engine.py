"""Copies of the engine hf in processes of their own: the same candidates, and what happens when one dies."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import make_tiny_model

from llm_summ.errors import EngineError, GenerationError, ModelError
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.parallel_engine import ParallelEngine, places

STOP_ID, PAD_ID = 2, 0
REQUESTS = [Request([1, *range(300 + 11 * row, 303 + 17 * row)], 12 + row, seed=1000 * row) for row in range(9)]


@dataclass(frozen=True)
class Start:
    """Makes an engine in whatever process it is called."""

    folder: Path

    def __call__(self) -> Engine:
        from transformers import AutoModelForCausalLM

        from llm_summ.generate.hf_engine import HfEngine

        return HfEngine(AutoModelForCausalLM.from_pretrained(self.folder), pad_id=PAD_ID, batch_size=4)


def refuse() -> Engine:
    raise ModelError("tiny: no such model")


def break_down() -> Engine:
    raise ZeroDivisionError("nothing to divide by")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return Start(make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def engine(start: Start) -> Iterator[ParallelEngine]:
    engine = ParallelEngine("hf", start, places(2, 1, 0))
    yield engine
    engine.close()


def found(engine: Engine, decoding: Decoding, done: frozenset[Key] = frozenset()) -> dict[Key, Output]:
    outputs = list(engine.generate(REQUESTS, stop_id=STOP_ID, decoding=decoding, done=done))
    by_key = {(output.index, output.sample): output for output in outputs}
    assert len(by_key) == len(outputs)
    return by_key


@pytest.mark.slow
@pytest.mark.parametrize("decoding", [GREEDY, Decoding(n=3, temperature=1.0)])
def test_copies_write_what_one_engine_writes(engine: ParallelEngine, start: Start, decoding: Decoding) -> None:
    together, alone = found(engine, decoding), found(start(), decoding)
    assert len(together) == 9 * decoding.n
    for key, output in alone.items():
        assert together[key].token_ids == output.token_ids
        assert together[key].finish_reason == output.finish_reason
        assert together[key].logprob == pytest.approx(output.logprob, abs=1e-3)


@pytest.mark.slow
def test_what_is_there_is_not_asked_for_again(engine: ParallelEngine) -> None:
    everything = found(engine, GREEDY)
    assert not found(engine, GREEDY, frozenset(everything))
    missing = (4, 0)
    again = found(engine, GREEDY, frozenset(everything) - {missing})
    assert again[missing].token_ids == everything[missing].token_ids
    assert len(again) < 9  # those of its batch, and none of the other copy's


@pytest.mark.slow
def test_a_copy_that_dies_is_told_and_takes_the_others_along(start: Start) -> None:
    before = set(multiprocessing.active_children())
    with closing(ParallelEngine("hf", start, places(2, 1, 0))) as engine:
        copies = set(multiprocessing.active_children()) - before
        assert len(copies) == 2
        outputs = engine.generate(REQUESTS, stop_id=STOP_ID, decoding=Decoding(n=200, temperature=1.0))
        assert next(outputs).token_ids
        copies.pop().kill()
        with pytest.raises(
            GenerationError, match=r"^hf: copy \d of 2 died \(exit code -9\); what was finished is k"
        ):
            list(outputs)
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize(
    ("start", "told"),
    [(refuse, "tiny: no such model"), (break_down, "ZeroDivisionError: nothing to divide by")],
)
def test_a_copy_that_does_not_start_says_why(start: type, told: str) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(GenerationError) as caught:
        ParallelEngine("hf", start, [{}, {}])
    assert str(caught.value) == told
    assert set(multiprocessing.active_children()) == before


@pytest.mark.parametrize(
    ("visible", "copies", "each", "expected"),
    [
        (None, 2, 1, ["0", "1"]),
        (None, 2, 2, ["0,1", "2,3"]),
        ("3,5,6,7", 2, 2, ["3,5", "6,7"]),
        ("GPU-a,GPU-b", 2, 1, ["GPU-a", "GPU-b"]),
        (None, 1, 1, ["0"]),
    ],
)
def test_each_copy_has_gpus_of_its_own(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, copies: int, each: int, expected: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = places(copies, each, 4 if visible is None else len(visible.split(",")))
    assert found == [{"CUDA_VISIBLE_DEVICES": gpus} for gpus in expected]


def test_too_many_copies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(EngineError) as caught:
        places(4, 2, 4)
    assert str(caught.value) == (
        "generate.data_parallel 4 with tensor_parallel 2: needs 8 GPUs, found 4; set it to 2"
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with pytest.raises(EngineError, match="this machine has 2 cores"):
        places(3, 1, 0)


def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 6, 7, 8})
    shares = places(2, 1, 0)
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in shares] == ["4,5", "6,7"]
    assert [share["OMP_NUM_THREADS"] for share in shares] == ["2", "2"]
