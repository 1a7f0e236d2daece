"""An engine that does not compute with the trained weights is refused before it writes anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the extra train is not installed")

from llm_summ.core.errors import GenerationError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.generate.proof import Proving, next_token, prove

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

PROMPT = (5, 6, 7, 8)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    quiet_libraries()
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)


class Answers:
    """An engine's likeliest next tokens, with and without the adapter."""

    name = "vllm"

    def __init__(self, tuned: dict[int, float], base: dict[int, float]) -> None:
        self.tuned, self.base = tuned, base

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        assert tuple(prompt_ids) == PROMPT
        return self.tuned if adapter else self.base


def likeliest(model: Any, shift: float = 0.0) -> dict[int, float]:
    """Return the model's five likeliest tokens with their log-probabilities."""
    found = next_token(model, PROMPT, range(model.config.vocab_size))
    return {token: found[token] + shift for token in sorted(found, key=found.__getitem__, reverse=True)[:5]}


def test_probabilities_sum_to_one(model: Any) -> None:
    import math

    found = next_token(model, PROMPT, range(model.config.vocab_size))
    assert math.fsum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-4)


def test_an_engine_that_computes_the_same_passes(model: Any) -> None:
    engine = Answers(likeliest(model, 1e-4), {1: -1.0})
    assert isinstance(engine, Proving)
    prove(engine, [PROMPT], attached=True, dtype="float32", reference=lambda: model, others="hf")
    prove(engine, [PROMPT], attached=False, dtype="bfloat16", reference=None, others="hf")


def test_an_adapter_that_is_left_out(model: Any) -> None:
    same = likeliest(model)
    with pytest.raises(
        GenerationError, match=r"^vllm: the attached adapter changes no probability.*generate\.adapter=merge"
    ):
        prove(Answers(same, dict(same)), [PROMPT], attached=True, dtype="float32", reference=None, others="hf")
    prove(Answers(same, dict(same)), [PROMPT], attached=False, dtype="float32", reference=None, others="hf")


@pytest.mark.parametrize(("dtype", "shift"), [("float32", 0.06), ("float16", 0.4), ("bfloat16", 0.7)])
def test_an_engine_that_computes_something_else(model: Any, dtype: str, shift: float) -> None:
    engine = Answers(likeliest(model, shift), {})
    with pytest.raises(
        GenerationError,
        match=rf"differ from those of transformers by {shift:.2f}, expected .*generate\.prove=false",
    ):
        prove(engine, [PROMPT], attached=False, dtype=dtype, reference=lambda: model, others="hf")


def test_nan_does_not_count_as_agreement(model: Any) -> None:
    engine = Answers(dict.fromkeys(likeliest(model), float("nan")), {})
    with pytest.raises(GenerationError, match="differ from those of transformers by inf"):
        prove(engine, [PROMPT], attached=False, dtype="bfloat16", reference=lambda: model, others="hf")
