"""Norms by groups of layers: they name every parameter, and together they are the norm of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch", "ignore:::peft"),
]


def llama(layers: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=False,
        )
    )


def backward(model: Any) -> None:
    import torch

    ids = torch.arange(3, 20)[None]
    model(input_ids=ids, labels=ids).loss.backward()


def of_all(model: Any) -> float:
    import torch

    return float(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm())


@pytest.mark.parametrize(
    ("layers", "ranges"),
    [
        (1, ["00-00"]),
        (4, ["00-00", "01-01", "02-02", "03-03"]),
        (5, ["00-01", "02-03", "04-04"]),
        (18, ["00-04", "05-09", "10-14", "15-17"]),
    ],
)
def test_full_fine_tuning_has_all_groups(layers: int, ranges: list[str]) -> None:
    from llm_summ.train.gradients import layer_group_norms

    model = llama(layers)
    backward(model)
    norms = layer_group_norms(model)
    blocks = {f"layers.{which}/{part}" for which in ranges for part in ("attention", "mlp")}
    assert set(norms) == blocks | {"embeddings", "head", "norms"}
    assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(of_all(model), rel=1e-5)


def test_each_group_is_the_norm_of_its_parameters() -> None:
    import torch

    from llm_summ.train.gradients import layer_group_norms

    model = llama(2)
    for name, parameter in model.named_parameters():
        parameter.grad = torch.full_like(parameter, 3.0 if "layers.1.mlp" in name else 0.0)
    weights = sum(p.numel() for n, p in model.named_parameters() if "layers.1.mlp" in n)
    norms = layer_group_norms(model)
    assert norms.pop("layers.01-01/mlp") == pytest.approx(3 * weights**0.5)
    assert set(norms.values()) == {0.0}


def test_an_adapter_has_only_groups_of_layers(tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from llm_summ.train.gradients import layer_group_norms

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    model = get_peft_model(base, LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    assert layer_group_norms(model) == {}
    backward(model)
    norms = layer_group_norms(model)
    assert list(norms) == [
        "layers.00-00/attention",
        "layers.00-00/mlp",
        "layers.01-01/attention",
        "layers.01-01/mlp",
    ]
    assert min(norms.values()) > 0
    assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(of_all(model), rel=1e-5)


def test_large_gradients_in_half_precision_do_not_overflow() -> None:
    import torch

    from llm_summ.train.gradients import layer_group_norms

    model = llama(1).half()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 40_000.0)
    assert max(layer_group_norms(model).values()) < float("inf")
