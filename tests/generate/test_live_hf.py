"""The live form of the engine hf: the texts of the engine, for callers that come and go while others wait."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_hf_engine import PAD_ID, STOP_ID

from llm_summ.core.errors import AbandonedError, EngineDownError, GenerationError
from llm_summ.generate.engine import GREEDY, Decoding, Output, Request
from llm_summ.generate.live import LiveEngine, Piece
from llm_summ.generate.live_process import EngineProcess, Restarts

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

SAMPLED = Decoding(n=3, temperature=1.0, top_p=0.9, top_k=200, no_repeat_ngram=3, min_new_tokens=4)
BATCH = 4


def requests(count: int = 24) -> list[Request]:
    """Prompts of 1 to 90 tokens, and limits of 3 to 30 tokens, in no order."""
    rng = random.Random(0)
    return [
        Request(
            [1, *rng.choices(range(300, 1400), k=rng.choice((0, 3, 20, 60, 89)))], rng.randint(3, 30), seed=row
        )
        for row in range(count)
    ]


def load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@dataclass(frozen=True)
class Start:
    folder: Path

    def __call__(self) -> LiveEngine:
        from llm_summ.generate.engines.hf import HfEngine
        from llm_summ.generate.engines.hf_live import HfLive

        return HfLive(HfEngine(load(self.folder), pad_id=PAD_ID, batch_size=BATCH))


@pytest.fixture(scope="module")
def process(tiny_model: Path) -> Iterator[EngineProcess]:
    with closing(EngineProcess("hf", Start(tiny_model), Restarts(pauses=(0.0, 0.0, 0.0)))) as process:
        process.wait()
        yield process


def offline(model: Any, decoding: Decoding, asked: list[Request]) -> dict[tuple[int, int], Output]:
    from llm_summ.generate.engines.hf import HfEngine

    engine = HfEngine(model, pad_id=PAD_ID, batch_size=BATCH)
    return {(one.index, one.sample): one for one in engine.generate(asked, stop_id=STOP_ID, decoding=decoding)}


def check_equal(found: dict[tuple[int, int], Output], expected: dict[tuple[int, int], Output]) -> None:
    assert {key: one.token_ids for key, one in found.items()} == {
        key: one.token_ids for key, one in expected.items()
    }
    for key, one in found.items():
        assert one.finish_reason == expected[key].finish_reason
        assert one.logprob == pytest.approx(expected[key].logprob, abs=1e-3)


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_many_threads_get_the_texts_of_the_engine(
    process: EngineProcess, tiny_model: Path, decoding: Decoding
) -> None:
    asked = requests()

    def ask(row: int) -> tuple[list[Output], dict[int, list[int]]]:
        streamed: dict[int, list[int]] = {}
        view = process.engine(lambda index, sample, new: streamed.setdefault(sample, []).extend(new))  # type: ignore[arg-type]
        return list(view.generate([asked[row]], stop_id=STOP_ID, decoding=decoding)), streamed

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(len(asked))))
    found = {(row, one.sample): one for row, (outputs, _) in enumerate(answers) for one in outputs}
    check_equal(found, offline(load(tiny_model), decoding, asked))
    for outputs, streamed in answers:
        for one in outputs:
            assert streamed.get(one.sample, []) == [token for token in one.token_ids if token != STOP_ID]
    assert (process.running, process.waiting) == (0, 0)


def test_callers_with_other_settings_wait_for_one_another(process: EngineProcess, tiny_model: Path) -> None:
    asked = requests(12)
    settings = [GREEDY, Decoding(temperature=0.7), Decoding(n=2, beams=3)]
    with ThreadPoolExecutor(12) as pool:
        futures = [
            pool.submit(
                lambda row: list(process.generate([asked[row]], stop_id=STOP_ID, decoding=settings[row % 3])), row
            )
            for row in range(12)
        ]
        found = [future.result() for future in futures]
    model = load(tiny_model)
    for kind, decoding in enumerate(settings):
        expected = offline(model, decoding, asked[kind::3])
        mine = {(row, one.sample): one.token_ids for row, each in enumerate(found[kind::3]) for one in each}
        assert mine == {key: one.token_ids for key, one in expected.items()}


def test_a_stopped_request_leaves_the_batch_and_others_stay(process: EngineProcess, tiny_model: Path) -> None:
    endless = Decoding(min_new_tokens=1900)
    stop, began = threading.Event(), threading.Event()

    def ask_without_end() -> None:
        view = process.engine(lambda *_: began.set(), stop)
        list(view.generate([Request([1, 400, 500], 1900)] * BATCH, stop_id=STOP_ID, decoding=endless))

    with ThreadPoolExecutor(2) as pool:
        stopped = pool.submit(ask_without_end)
        assert began.wait(60)
        other = pool.submit(lambda: list(process.generate(requests(1), stop_id=STOP_ID)))
        assert not other.done()  # the batch is full
        stop.set()
        with pytest.raises(AbandonedError):
            stopped.result()
        assert len(other.result(60)) == 1
    assert process.running == 0


def test_a_request_that_the_model_cannot_read_fails_alone(process: EngineProcess) -> None:
    asked = requests(9)
    asked[4] = Request([1, 10**6], 5)  # no such token
    asked[5] = Request([1, 400], 5, seed=2**70)  # no such seed
    asked[6] = Request([], 5)
    drawn = Decoding(temperature=1.0)
    with ThreadPoolExecutor(9) as pool:
        futures = [
            pool.submit(lambda one: list(process.generate([one], stop_id=STOP_ID, decoding=drawn)), one)
            for one in asked
        ]
        for row, future in enumerate(futures):
            if row in (4, 5, 6):
                with pytest.raises(GenerationError):
                    future.result()
            else:
                assert len(future.result()) == 1
    assert process.state == "ready"


def test_a_killed_process_loses_what_is_under_way(process: EngineProcess) -> None:
    import os
    import signal

    began = threading.Event()
    endless = Decoding(min_new_tokens=1900)
    view = process.engine(lambda *_: began.set())
    with ThreadPoolExecutor(6) as pool:
        lost = [
            pool.submit(lambda: list(view.generate([Request([1, 400], 1900)], stop_id=STOP_ID, decoding=endless)))
            for _ in range(6)
        ]
        assert began.wait(60)
        os.kill(process.pid or 0, signal.SIGKILL)
        for future in lost:
            with pytest.raises(EngineDownError):
                future.result(60)


async def pieces(live: LiveEngine, request: Request, decoding: Decoding, delay: float) -> list[Piece]:
    await asyncio.sleep(delay)
    return [piece async for piece in live.stream(request, stop_id=STOP_ID, decoding=decoding)]


def ask_at_times(live: LiveEngine, asked: list[Request], decoding: Decoding) -> dict[tuple[int, int], Output]:
    """Ask in this process, each request a moment after the one before."""

    async def ask() -> list[list[Piece]]:
        found = await asyncio.gather(*(pieces(live, one, decoding, 0.01 * row) for row, one in enumerate(asked)))
        await live.close()
        return list(found)

    answers = asyncio.run(ask())
    outputs = [(row, piece.output) for row, each in enumerate(answers) for piece in each if piece.output]
    return {(row, output.sample): output for row, output in outputs}


def test_a_request_that_is_stopped_between_two_steps_stays_alone(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped when its rows are in the batch and the engine has just looked at them for the last time."""
    from llm_summ.generate.engines import hf_live
    from llm_summ.generate.engines.hf import HfEngine

    model = load(tiny_model)
    kept = requests(2)
    expected = offline(model, GREEDY, kept)
    endless = Request([1, 400, 500], 1900)
    calls: list[Any] = []
    batches: list[Any] = []

    class Recorded(hf_live.HfLive):
        def _work(self, taken: Any) -> None:
            calls.extend(taken)
            super()._work(taken)

    class StopsOne(hf_live.RowBatch):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            batches.append(self)

        def advance(self, *arguments: Any) -> list[Output]:
            outputs = super().advance(*arguments)
            for call in calls:
                if call.request is endless:
                    call.is_cancelled = True
            return outputs

    monkeypatch.setattr(hf_live, "RowBatch", StopsOne)
    live = Recorded(HfEngine(model, pad_id=PAD_ID, batch_size=BATCH))

    async def ask() -> list[list[Piece]]:
        stopped = asyncio.create_task(pieces(live, endless, GREEDY, 0.0))
        found = await asyncio.gather(*(pieces(live, one, GREEDY, 0.0) for one in kept))
        stopped.cancel()
        await live.close()
        return list(found)

    for row, each in enumerate(asyncio.run(ask())):
        [output] = [piece.output for piece in each if piece.output]
        assert output.token_ids == expected[row, 0].token_ids
    assert len(batches) == 1  # none was made again


@pytest.mark.parametrize("window", [8, 64])
def test_rows_join_models_that_see_a_window(window: int) -> None:
    """Layers with a window hold fewer states than the others."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from llm_summ.generate.engines.hf import HfEngine
    from llm_summ.generate.engines.hf_live import HfLive

    torch.manual_seed(1)
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=1500,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            sliding_window=window,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            initializer_range=0.3,
        )
    )
    asked = requests(16)
    expected = offline(model, GREEDY, asked)
    found = ask_at_times(HfLive(HfEngine(model, pad_id=PAD_ID, batch_size=BATCH)), asked, GREEDY)
    assert {key: one.token_ids for key, one in found.items()} == {
        key: one.token_ids for key, one in expected.items()
    }


def test_a_batch_that_is_too_large_is_halved_and_no_token_comes_twice(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from llm_summ.generate.engines.hf import HfEngine
    from llm_summ.generate.engines.hf_live import HfLive

    model = load(tiny_model)
    asked = [Request(request.prompt_ids, 12) for request in requests(10)]
    expected = offline(model, GREEDY, asked)
    forward, sizes = model.forward, []

    def limited(*arguments: Any, **options: Any) -> Any:
        rows, steps = options["input_ids"].shape
        sizes.append(rows)
        if rows > 2 and steps == 1:  # in the middle of a text
            raise torch.OutOfMemoryError("no")
        return forward(*arguments, **options)

    monkeypatch.setattr(model, "forward", limited)
    live = HfLive(HfEngine(model, pad_id=PAD_ID, batch_size=BATCH))

    async def ask() -> list[list[Piece]]:
        found = await asyncio.gather(*(pieces(live, one, GREEDY, 0.0) for one in asked))
        await live.close()
        return list(found)

    for row, each in enumerate(asyncio.run(ask())):
        [output] = [piece.output for piece in each if piece.output]
        assert output.token_ids == expected[row, 0].token_ids
        tokens = [token for piece in each for token in piece.token_ids]
        assert tokens == [token for token in output.token_ids if token != STOP_ID]
    assert max(sizes) == BATCH
    assert live.rows_at_once == 2
