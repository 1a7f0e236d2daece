"""Canaries: the words of PEFT's errors and its names of layers, as core/compat/peft.py takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.compat.peft import (
    BASE_PREFIX,
    are_targets_missing,
    is_another_base,
    is_dropout_refused,
    is_mamba_refused,
    is_not_finite,
)

pytestmark = [
    pytest.mark.canary,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::peft", "ignore:::transformers", "ignore:::torch"),
]


def base(hidden_size: int = 32) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": hidden_size, "intermediate_size": 64, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=16, num_attention_heads=2, num_key_value_heads=1, **sizes))


def lora(**fields: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", "r": 2, "target_modules": ["q_proj"], **fields})


def refusal(function: Any, *arguments: Any, **options: Any) -> BaseException:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        function(*arguments, **options)
    return caught.value


def test_names_of_the_bases_layers() -> None:
    from peft import get_peft_model

    names = dict(base().named_modules()).keys()
    adapted = [name for name, _ in get_peft_model(base(), lora()).named_modules()]
    assert names - {""} <= {name.removeprefix(BASE_PREFIX) for name in adapted if name.startswith(BASE_PREFIX)}


def test_no_layer_of_that_name() -> None:
    from peft import get_peft_model

    error = refusal(get_peft_model, base(), lora(target_modules=["no_such_layer"]))
    assert are_targets_missing(error)


@pytest.mark.parametrize("kind", ["shapes", "layers"])
def test_an_adapter_of_another_base(tmp_path: Path, kind: str) -> None:
    from peft import PeftModel, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel

    get_peft_model(base(), lora()).save_pretrained(tmp_path)
    other = base(64) if kind == "shapes" else GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2))
    assert is_another_base(refusal(PeftModel.from_pretrained, other, tmp_path))
    assert not is_another_base(ValueError("anything else"))


def test_a_merge_that_is_not_finite() -> None:
    from peft import get_peft_model

    model = get_peft_model(base(), lora(init_lora_weights=False))
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            weight.data.fill_(float("nan"))
    error = refusal(model.merge_and_unload, safe_merge=True)
    assert is_not_finite(error)


def test_dropout_does_not_go_with_experts() -> None:
    import torch
    from peft import get_peft_model
    from torch import nn

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 4, 4))

    model = nn.ModuleDict({"experts": Experts()})
    fields = {"target_modules": [], "target_parameters": ["experts.weight"], "task_type": None}
    error = refusal(get_peft_model, model, lora(lora_dropout=0.1, **fields))
    assert is_dropout_refused(error)


def test_layers_that_carry_a_state_are_not_adapted() -> None:
    from peft import get_peft_model
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=16, hidden_size=32, state_size=4, num_hidden_layers=1))
    error = refusal(get_peft_model, model, lora(target_modules=["out_proj"]))
    assert is_mamba_refused(error)
    assert not is_mamba_refused(ValueError("anything else"))
