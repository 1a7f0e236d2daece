"""The engine hf on a tiny model: candidates, their probabilities, and that neither order nor batch matters."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.generate.engine import GREEDY, Decoding, Output, Request

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

STOP_ID, PAD_ID = 2, 0
SAMPLED = Decoding(n=3, temperature=1.0, top_p=0.9, top_k=200)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


def requests(count: int = 7, new: int = 12) -> list[Request]:
    """Prompts of 4 to 40 tokens."""
    return [
        Request([1, *range(300 + 11 * row, 300 + 11 * row + 3 + 6 * row)], new, seed=1000 * row)
        for row in range(count)
    ]


def candidates(
    model: Any, asked: list[Request], decoding: Decoding, batch_size: int = 4, **options: Any
) -> dict[tuple[int, int], Output]:
    from llm_summ.generate.engines.hf import HfEngine

    engine = HfEngine(model, pad_id=PAD_ID, batch_size=batch_size)
    found = list(engine.generate(asked, stop_id=STOP_ID, decoding=decoding, **options))
    by_key = {(output.index, output.sample): output for output in found}
    assert len(by_key) == len(found)
    return by_key


def generators(count: int) -> list[Any]:
    import torch

    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def log_probability(model: Any, request: Request, output: Output) -> float:
    import torch

    ids = torch.tensor([[*request.prompt_ids, *output.token_ids]])
    with torch.no_grad():
        logits = model(ids).logits[0].log_softmax(-1)
    begin = len(request.prompt_ids)
    return float(sum(logits[begin + at - 1, token] for at, token in enumerate(output.token_ids)))


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_a_logprob_is_the_models_own(model: Any, decoding: Decoding) -> None:
    asked = requests(4)
    for (index, _), output in candidates(model, asked, decoding).items():
        assert output.logprob == pytest.approx(log_probability(model, asked[index], output), abs=1e-3)


def test_neither_order_nor_batch_changes_a_sample(model: Any) -> None:
    asked = requests()
    together = candidates(model, asked, SAMPLED, batch_size=8)
    alone = candidates(model, asked, SAMPLED, batch_size=1)
    reversed_ = candidates(model, asked[::-1], SAMPLED, batch_size=5)
    assert len(together) == 21
    for (index, sample), output in together.items():
        assert output.token_ids == alone[index, sample].token_ids
        assert output.token_ids == reversed_[6 - index, sample].token_ids


def test_candidates_differ_and_another_seed_gives_others(model: Any) -> None:
    one = candidates(model, requests(2), SAMPLED)
    assert len({output.token_ids for output in one.values()}) == 6
    moved = [Request(request.prompt_ids, 12, request.seed + 50) for request in requests(2)]
    assert {output.token_ids for output in one.values()}.isdisjoint(
        output.token_ids for output in candidates(model, moved, SAMPLED).values()
    )


def test_the_likeliest_token_alone_is_greedy(model: Any) -> None:
    greedy = candidates(model, requests(), GREEDY)
    only = candidates(model, requests(), Decoding(temperature=1.0, top_k=1))
    cold = candidates(model, requests(), Decoding(temperature=1e-4))
    for key, output in greedy.items():
        assert output.token_ids == only[key].token_ids == cold[key].token_ids


def test_draws_follow_the_models_distribution() -> None:
    """Of 4,000 draws, each token's share is within four standard deviations of its probability."""
    import torch

    from llm_summ.generate.engines.sampling import SeededDraw

    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -8.0])
    for decoding, kept in ((Decoding(temperature=0.7), 5), (Decoding(temperature=1.5, top_k=3), 3)):
        draws = SeededDraw(generators(4000), decoding)(None, logits.repeat(4000, 1)).argmax(1)
        probabilities = (logits[:kept] / decoding.temperature).softmax(0).tolist()
        count = Counter(draws.tolist())
        assert max(count) < kept
        for token, probability in enumerate(probabilities):
            deviation = math.sqrt(probability * (1 - probability) / 4000)
            assert abs(count[token] / 4000 - probability) <= 4 * deviation + 1e-9


def test_a_nucleus_is_what_the_likeliest_tokens_make_up() -> None:
    import torch

    from llm_summ.generate.engines.sampling import SeededDraw

    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    draws = SeededDraw(generators(500), Decoding(temperature=1.0, top_p=0.7))(None, logits.repeat(500, 1))
    assert set(draws.argmax(1).tolist()) == {0, 1}


def test_the_head_gets_states_that_need_no_copies(model: Any) -> None:
    """For a view, PyTorch would copy the head's weights for every row. The model is unchanged afterwards."""
    head, seen = model.get_output_embeddings(), []
    hook = head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].is_contiguous()))
    candidates(model, requests(), GREEDY)
    from llm_summ.generate.engines.hf import HfEngine

    keeping = HfEngine(model, pad_id=PAD_ID, batch_size=4, with_states=lambda states: None)
    list(keeping.generate(requests(), stop_id=STOP_ID))
    hook.remove()
    assert len(seen) > 2
    assert all(seen)
    assert not head._forward_pre_hooks


def test_limits_are_those_of_each_request(model: Any) -> None:
    asked = [Request(request.prompt_ids, 2 + row) for row, request in enumerate(requests(5))]
    for (index, _), output in candidates(model, asked, GREEDY, batch_size=5).items():
        assert output.finish_reason == "stop" or len(output.token_ids) == 2 + index
        assert len(output.token_ids) <= 2 + index


def test_beams_are_ranked_and_find_what_is_likelier_than_greedy(model: Any) -> None:
    asked = requests(4, new=6)
    greedy = candidates(model, asked, GREEDY)
    beams = candidates(model, asked, Decoding(n=3, beams=4))
    assert set(beams) == {(index, sample) for index in range(4) for sample in range(3)}
    for index, request in enumerate(asked):
        scores = [
            log_probability(model, request, beams[index, sample]) / len(beams[index, sample].token_ids)
            for sample in range(3)
        ]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] >= log_probability(model, request, greedy[index, 0]) / 6 - 1e-5
    assert {output.logprob for output in beams.values()} == {None}


def test_no_run_of_tokens_comes_twice(model: Any) -> None:
    asked = requests(4, new=40)
    looping = candidates(model, asked, GREEDY)
    free = candidates(model, asked, Decoding(no_repeat_ngram=2))

    def repeats(output: Output) -> int:
        pairs = list(zip(output.token_ids, output.token_ids[1:], strict=False))
        return len(pairs) - len(set(pairs))

    assert sum(map(repeats, looping.values())) > 0  # a random model repeats itself
    assert [repeats(output) for output in free.values()] == [0] * 4


def test_tokens_of_the_prompt_may_be_written_again() -> None:
    """A dialogue's #Person1# has to be copied."""
    import torch

    from llm_summ.generate.engines.sampling import NoRepeat

    prompt, completion = [5, 6, 7, 5, 6], [5, 8, 5]
    scores = NoRepeat(2, [len(prompt)])(torch.tensor([prompt + completion]), torch.zeros(1, 10))
    assert (scores[0] == float("-inf")).nonzero()[:, 0].tolist() == [8]
    assert (NoRepeat(1, [5])(torch.tensor([prompt + completion]), torch.zeros(1, 10))[0] < 0).nonzero()[
        :, 0
    ].tolist() == [5, 8]
    assert (NoRepeat(2, [5])(torch.tensor([prompt]), torch.zeros(1, 10)) == 0).all()


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED, Decoding(n=2, beams=2)])
def test_what_is_done_is_left_out_and_the_rest_is_the_same_to_the_last_bit(model: Any, decoding: Decoding) -> None:
    asked = requests()
    whole = candidates(model, asked, decoding)
    done = set(list(whole)[:5])
    rest = candidates(model, asked, decoding, done=done)
    assert set(whole) - done <= set(rest)
    assert len(rest) < len(whole)
    for key, output in rest.items():
        assert output == whole[key]
    assert candidates(model, asked, decoding, done=set(whole)) == {}


def test_out_of_memory_says_what_to_do(model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    from llm_summ.core.errors import GenerationError

    def full(**_: Any) -> None:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(model, "generate", full)
    with raises(GenerationError) as error:
        candidates(model, requests(), GREEDY, batch_size=6)
    assert error.message == snapshot(
        "hf: out of memory with 6 candidates of prompts of up to 40 tokens; halve the batch: --set "
        "generate.batch_size=3"
    )
