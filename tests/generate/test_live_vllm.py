"""The live form of the engine vllm on a tiny model: texts, stopped requests, and the death of vLLM's process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises
from test_hf_engine import PAD_ID, STOP_ID, requests
from test_live_process import is_alive, until

from llm_summ.core.errors import AbandonedError, EngineDownError, GenerationError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.live import LiveEngine
from llm_summ.generate.live_process import EngineProcess, Restarts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
    pytest.mark.filterwarnings("ignore:::transformers"),
]


@dataclass(frozen=True)
class Start:
    folder: Path

    def __call__(self) -> LiveEngine:
        quiet_libraries()
        from llm_summ.generate.engines.vllm import Limits, VllmModel
        from llm_summ.generate.engines.vllm_live import VllmLive

        return VllmLive(VllmModel(str(self.folder), "float32"), Limits(max_tokens=1024, gpu_memory=0.3))


@pytest.fixture(scope="module")
def process(tiny_model: Path) -> Iterator[EngineProcess]:
    with closing(EngineProcess("vllm", Start(tiny_model), Restarts(pauses=(0.0, 0.0, 0.0)))) as process:
        process.wait()
        yield process


def below(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="utf-8").split()
    ]
    assert set(map(int, listed)) <= set(children)
    return [*children, *(each for child in children for each in below(child))]


def test_many_threads_get_the_texts_of_hf(process: EngineProcess, tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from llm_summ.generate.engines.hf import HfEngine

    def ask(one: Request) -> tuple[Output, list[int]]:
        streamed: list[int] = []
        view = process.engine(lambda index, sample, new: streamed.extend(new))  # type: ignore[arg-type]
        [output] = view.generate([one], stop_id=STOP_ID)
        return output, streamed

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, requests(16)))
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    hf = HfEngine(model, pad_id=PAD_ID, batch_size=8)
    expected = {output.index: output for output in hf.generate(requests(16), stop_id=STOP_ID)}
    for row, (output, streamed) in enumerate(answers):
        assert output.token_ids == expected[row].token_ids
        assert output.logprob == pytest.approx(expected[row].logprob, abs=1e-3)
        assert streamed == [token for token in output.token_ids if token != STOP_ID]


def test_candidates_are_drawn_by_their_seeds(process: EngineProcess) -> None:
    drawn = Decoding(n=3, temperature=0.7)
    one, other = (
        {
            (output.index, output.sample): output.token_ids
            for output in process.generate(requests(4), stop_id=STOP_ID, decoding=drawn)
        }
        for _ in range(2)
    )
    assert one == other
    assert set(one) == {(index, sample) for index in range(4) for sample in range(3)}
    assert len(set(one.values())) == 12


def test_candidates_of_more_prompts_than_one_step_computes(process: EngineProcess) -> None:
    asked = [Request([1, *range(400 + row, 800 + row)], 4, seed=row) for row in range(16)]
    drawn = Decoding(n=2, temperature=0.7)
    keys = [(one.index, one.sample) for one in process.generate(asked, stop_id=STOP_ID, decoding=drawn)]
    assert sorted(keys) == [(index, sample) for index in range(16) for sample in range(2)]


def test_a_prompt_that_is_too_long_fails_alone(process: EngineProcess) -> None:
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(lambda: list(process.generate(requests(3), stop_id=STOP_ID)))
        with raises(GenerationError) as raised:
            list(process.generate([Request([1] * 1024, 5)], stop_id=STOP_ID))
        assert raised.message == snapshot(
            "vllm: a prompt of 1024 tokens leaves no room for a text; at most 1024 tokens fit"
        )
        assert len(other.result()) == 3


def test_a_stopped_request_ends_and_others_stay(process: EngineProcess) -> None:
    stop, began = threading.Event(), threading.Event()

    def ask_without_end() -> None:
        endless = Decoding(min_new_tokens=900)
        list(
            process.engine(lambda *_: began.set(), stop).generate(
                [Request([1, 400], 900)] * 40, stop_id=STOP_ID, decoding=endless
            )
        )

    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(ask_without_end)
        assert began.wait(60)
        other = pool.submit(lambda: list(process.generate(requests(2), stop_id=STOP_ID, decoding=GREEDY)))
        stop.set()
        with pytest.raises(AbandonedError):
            stopped.result()
        assert len(other.result(60)) == 2
    assert (process.running, process.waiting) == (0, 0)


def test_the_death_of_vllms_process_is_noticed_and_leaves_nothing_behind(process: EngineProcess) -> None:
    began = threading.Event()
    endless = Decoding(min_new_tokens=900)
    view = process.engine(lambda *_: began.set())
    before = process.pid or 0
    with ThreadPoolExecutor(4) as pool:
        lost = [
            pool.submit(lambda: list(view.generate([Request([1, 400], 900)], stop_id=STOP_ID, decoding=endless)))
            for _ in range(4)
        ]
        assert began.wait(60)
        # The last one is the process that computes; the first one tracks resources.
        pids = [before, *below(before)]
        os.kill(pids[-1], signal.SIGKILL)
        for future in lost:
            with pytest.raises(EngineDownError):
                future.result(60)
    until(lambda: not any(map(is_alive, pids)))
    until(lambda: process.pid not in (None, before))  # the new start would take most of a minute
    new = process.pid or 0
    process.close(0.0)
    assert not is_alive(new)
