"""Fast decoding gives the same texts as the library's own loop, prompt by prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_summ.generate.engine import GREEDY, Decoding, Request

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

STOP_ID, PAD_ID = 2, 0


def sliding_model() -> Any:
    """A Gemma 3 with random weights and windows of 16 tokens: shorter than the prompts."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(1)
    config = Gemma3TextConfig(
        **{"vocab_size": 1500, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 4},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "sliding_window": 16},
        **{"pad_token_id": PAD_ID, "eos_token_id": STOP_ID, "initializer_range": 0.2},
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    return Gemma3ForCausalLM(config).eval()


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def model(request: pytest.FixtureRequest, tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    if request.param == "gemma3":
        return sliding_model()
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def requests() -> list[Request]:
    """Prompts of 5 to 75 tokens with limits from 1 to 90: rows leave the batch throughout the generation."""
    limits = [30, 1, 90, 12, 30, 47, 5, 30]
    return [
        Request([1, *((7 * row + 13 * at) % 1400 + 50 for at in range(4 + 10 * row))], limit, seed=99 * row)
        for row, limit in enumerate(limits)
    ]


def texts(engine: Any, asked: list[Request], decoding: Decoding = GREEDY) -> dict[tuple[int, int], Any]:
    found = engine.generate(asked, stop_id=STOP_ID, decoding=decoding)
    return {(output.index, output.sample): output for output in found}


def by_the_library(model: Any, request: Request) -> tuple[int, ...]:
    """The greedy text of one prompt, from transformers without our code."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([request.prompt_ids])
    config = GenerationConfig(
        max_new_tokens=request.max_new_tokens, do_sample=False, eos_token_id=STOP_ID, pad_token_id=PAD_ID
    )
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return tuple(made[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_rows_that_leave_a_batch_change_no_text(model: Any, batch_size: int) -> None:
    from llm_summ.generate.engines.hf import HfEngine

    asked = requests()
    found = texts(HfEngine(model, pad_id=PAD_ID, batch_size=batch_size), asked)
    for index, request in enumerate(asked):
        assert found[index, 0].token_ids == by_the_library(model, request)
        assert (found[index, 0].finish_reason == "stop") == (found[index, 0].token_ids[-1] == STOP_ID)


def test_draws_and_logprobs_do_not_depend_on_the_batch(model: Any) -> None:
    from llm_summ.generate.engines.hf import HfEngine

    decoding = Decoding(n=2, temperature=1.0, top_p=0.9)
    together, alone = (
        texts(HfEngine(model, pad_id=PAD_ID, batch_size=size), requests(), decoding) for size in (7, 1)
    )
    assert {key: output.token_ids for key, output in together.items()} == {
        key: output.token_ids for key, output in alone.items()
    }
    assert [output.logprob for output in together.values()] == pytest.approx(
        [alone[key].logprob for key in together], abs=1e-3
    )


def test_the_model_is_left_as_it_was(model: Any) -> None:
    from llm_summ.generate.engines.hf import HfEngine

    list(texts(HfEngine(model, pad_id=PAD_ID, batch_size=4), requests()[:2]))
    assert model.config._attn_implementation == "sdpa"
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_states_of_prompts_are_those_of_every_batch_and_stay_as_they_are(model: Any) -> None:
    """Work that continues from the states of the prompts sees each prompt once, and changes no text."""
    import torch

    from llm_summ.generate.engines.hf import HfEngine

    seen: list[int] = []

    def look(states: Any) -> None:
        seen.extend(states.indexes)
        for _ in range(2):  # the states can be used again
            cache = states.rows([0, 0, len(states.indexes) - 1])
            ids = states.ids[[0, 0, -1]]
            model(input_ids=ids[:, -1:].repeat(1, 30), past_key_values=cache, use_cache=True)

    asked = requests()
    plain = texts(HfEngine(model, pad_id=PAD_ID, batch_size=3), asked)
    with torch.no_grad():
        looked = texts(HfEngine(model, pad_id=PAD_ID, batch_size=3, logprobs=False, with_states=look), asked)
    assert sorted(seen) == list(range(len(asked)))
    assert {key: one.token_ids for key, one in looked.items()} == {
        key: one.token_ids for key, one in plain.items()
    }
    assert all(one.logprob is None for one in looked.values())


@pytest.mark.parametrize("window", [None, 16])
def test_a_growing_cache_gives_what_the_librarys_gives(window: int | None) -> None:
    """In pieces of many sizes, with rows selected in between, and with more tokens than its room."""
    import torch
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    from llm_summ.generate.growing_cache import _Layer, _SlidingLayer

    torch.manual_seed(0)
    ours: Any = _Layer() if window is None else _SlidingLayer(window)
    theirs: Any = DynamicLayer() if window is None else DynamicSlidingWindowLayer(window)
    rows = 4
    for step, size in enumerate([20, 1, 1, 3, 1, *[1] * 140, 17, 1, 1]):
        if step in (3, 60, 61):
            kept = torch.tensor([row for row in range(rows) if row != step % rows])
            ours.batch_select_indices(kept)
            theirs.batch_select_indices(kept)
            rows = len(kept)
        new = torch.randn(2, rows, 2, size, 8)
        for mine, reference in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(mine, reference)
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert ours.get_mask_sizes(5) == theirs.get_mask_sizes(5)


@pytest.mark.parametrize("rows", [(1,), (2,), (3, 5), (64,), (5, 13), (200,)])
@pytest.mark.parametrize("bias", [False, True])
def test_products_are_those_of_pytorch(rows: tuple[int, ...], bias: bool) -> None:
    import torch

    from llm_summ.models.cpu_decoding import linear

    torch.manual_seed(0)
    x = torch.randn(*rows, 24, requires_grad=True)
    weight, added = torch.randn(10, 24), torch.randn(10) if bias else None
    expected = torch.nn.functional.linear(x, weight, added)
    assert torch.allclose(linear(x, weight, added), expected, atol=1e-5)
    ours, theirs = (
        torch.autograd.grad(found.square().sum(), x)[0] for found in (linear(x, weight, added), expected)
    )
    assert torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("boolean", [True, False])
def test_attention_of_one_query_is_pytorchs(boolean: bool) -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from llm_summ.models.cpu_decoding import _one_query

    torch.manual_seed(0)
    query, key, value = torch.randn(3, 6, 1, 8), torch.randn(3, 2, 11, 8), torch.randn(3, 2, 11, 8)
    seen = torch.rand(3, 1, 1, 11) > 0.3
    seen[..., -1] = True
    mask = seen if boolean else torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    expected = scaled_dot_product_attention(
        query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), attn_mask=mask, scale=0.3
    )
    assert torch.allclose(_one_query(query, key, value, mask, None, 0.3), expected.transpose(1, 2), atol=1e-6)


def test_a_model_with_recurrent_states_is_not_split() -> None:
    """Its rows stay in the batch to the end, which takes longer and changes no text."""
    from types import SimpleNamespace

    from transformers import Qwen3NextConfig

    from llm_summ.generate.growing_cache import can_be_split

    config = Qwen3NextConfig(
        **{"vocab_size": 1500, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 4},
        layer_types=["linear_attention", "full_attention"] * 2,
    )
    assert not can_be_split(SimpleNamespace(config=config))
    assert can_be_split(sliding_model())
