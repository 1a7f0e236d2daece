"""The engine vllm on a tiny model, compared with the engine hf: candidates, seeds, limits and probabilities."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from test_hf_engine import PAD_ID, STOP_ID, log_probability, requests

from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request
from llm_summ.generate.proof import next_token

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
    pytest.mark.filterwarnings("ignore:::transformers"),
]

SAMPLED = Decoding(n=3, temperature=0.7)

Found = dict[Key, Output]
Candidates = Callable[..., Found]

_engine: Any = None  # in vLLM's process


def _start(model: str) -> None:
    global _engine
    quiet_libraries()
    from llm_summ.generate.engines.vllm import Limits, VllmEngine, VllmModel

    _engine = VllmEngine(VllmModel(model, "float32"), Limits(max_tokens=512, gpu_memory=0.3))


def _ask(asked: list[Request], decoding: Decoding, done: Collection[Key]) -> list[Output]:
    return list(_engine.generate(asked, stop_id=STOP_ID, decoding=decoding, done=done))


def _next_token(ids: Sequence[int]) -> dict[int, float]:
    found: dict[int, float] = _engine.next_token(ids)
    return found


def _close() -> None:
    _engine.close()


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)


@pytest.fixture(scope="module")
def candidates(tiny_model: Path) -> Iterator[Candidates]:
    """Generates with vLLM, which is started once in its own process, because it changes the process's state."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(str(tiny_model),)) as pool:

        def ask(asked: list[Request], decoding: Decoding, done: Collection[Key] = ()) -> Found:
            found = pool.submit(_ask, asked, decoding, done).result()
            by_key = {(output.index, output.sample): output for output in found}
            assert len(by_key) == len(found)
            return by_key

        ask.next_token = lambda ids: pool.submit(_next_token, ids).result()  # type: ignore[attr-defined]
        yield ask
        pool.submit(_close).result()


def tokens(found: Found) -> dict[Key, tuple[int, ...]]:
    return {key: output.token_ids for key, output in found.items()}


def test_every_request_has_its_samples_and_they_differ(candidates: Candidates) -> None:
    found = candidates(requests(), SAMPLED)
    assert set(found) == {(index, sample) for index in range(7) for sample in range(3)}
    for output in found.values():
        assert 1 <= len(output.token_ids) <= 12
        stopped = output.token_ids[-1] == STOP_ID
        assert output.finish_reason == ("stop" if stopped else "length")
        assert stopped or len(output.token_ids) == 12
        assert STOP_ID not in output.token_ids[:-1]
    assert len(set(tokens(found).values())) == 21


def test_candidates_of_more_prompts_than_one_step_computes(candidates: Candidates) -> None:
    asked = [Request([1, *range(400 + row, 800 + row)], 4, seed=row) for row in range(16)]
    assert set(candidates(asked, SAMPLED)) == {(index, sample) for index in range(16) for sample in range(3)}


def test_neither_order_nor_company_changes_a_sample(candidates: Candidates) -> None:
    asked = requests()
    others = [Request([1, *range(700, 730 + row)], 12, seed=9000 + row) for row in range(5)]
    together = tokens(candidates(asked, SAMPLED))
    turned = tokens(candidates([*others, *asked[::-1]], SAMPLED))
    assert {(index, sample): turned[5 + 6 - index, sample] for index, sample in together} == together
    assert {key: ids for key, ids in together.items() if key[0] == 3} == {
        (3, sample): ids for (_, sample), ids in tokens(candidates(asked[3:4], SAMPLED)).items()
    }


def test_another_seed_gives_other_samples(candidates: Candidates) -> None:
    moved = [Request(request.prompt_ids, 12, request.seed + 50) for request in requests()]
    one, other = (tokens(candidates(asked, SAMPLED)) for asked in (requests(), moved))
    assert set(one.values()).isdisjoint(other.values())


def test_what_is_done_is_left_out_and_the_rest_is_the_same(candidates: Candidates) -> None:
    asked = requests()
    whole = candidates(asked, SAMPLED)
    done = {(0, 0), (0, 1), (0, 2), (2, 1), (6, 0), (6, 1), (6, 2)}
    rest = candidates(asked, SAMPLED, done)
    assert set(whole) - done <= set(rest)
    assert {index for index, _ in rest} == {1, 2, 3, 4, 5}
    assert tokens(rest) == {key: ids for key, ids in tokens(whole).items() if key in rest}
    assert candidates(asked, SAMPLED, set(whole)) == {}


def test_limits_are_those_of_each_request(candidates: Candidates) -> None:
    asked = [Request(request.prompt_ids, 2 + row) for row, request in enumerate(requests(5))]
    for (index, _), output in candidates(asked, GREEDY).items():
        assert len(output.token_ids) <= 2 + index
        assert output.finish_reason == "stop" or len(output.token_ids) == 2 + index


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_a_logprob_is_the_models_own_at_temperature_1(
    model: Any, candidates: Candidates, decoding: Decoding
) -> None:
    asked = requests()
    for (index, _), output in candidates(asked, decoding).items():
        assert output.logprob == pytest.approx(log_probability(model, asked[index], output), abs=1e-3)


def test_greedy_gives_what_hf_gives(model: Any, candidates: Candidates) -> None:
    from llm_summ.generate.engines.hf import HfEngine

    hf = HfEngine(model, pad_id=PAD_ID, batch_size=4).generate(requests(), stop_id=STOP_ID)
    own = candidates(requests(), GREEDY)
    assert {(output.index, output.sample): output.token_ids for output in hf} == tokens(own)
    assert len(own) == 7


def test_the_next_token_is_as_likely_as_transformers_says(model: Any, candidates: Any) -> None:
    for request in requests(3):
        found = candidates.next_token(list(request.prompt_ids))
        assert len(found) == 5
        assert found == pytest.approx(next_token(model, request.prompt_ids, found), abs=1e-3)
