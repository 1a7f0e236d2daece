"""Canaries: the private names that a training needs are there, and are still used as it expects."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.canary,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch", "ignore:::peft"),
]


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_save_checkpoint", ["self", "model", "trial"]),
        ("_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
        ("_load_optimizer_and_scheduler", ["self", "checkpoint"]),
        ("_get_grad_norm", ["self", "model", "grad_norm"]),
        ("_save_optimizer_and_scheduler", ["self", "output_dir"]),
        ("_save_scaler", ["self", "output_dir"]),
        ("_save_rng_state", ["self", "output_dir"]),
    ],
)
def test_the_library_has_its_private_methods(name: str, expected: list[str]) -> None:
    from transformers import Trainer

    assert parameters(getattr(Trainer, name)) == expected


def test_the_hooks_are_called_and_the_unlogged_loss_is_the_librarys(tmp_path: Path) -> None:
    """A real loop of three steps, logged at the second, saved at every one."""
    import torch
    from transformers import TrainingArguments

    from llm_summ.core.compat.trainer import HookedTrainer

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self, x: Any) -> dict[str, Any]:
            return {"loss": (self.weight * x).sum()}

    class Hooked(HookedTrainer):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.called: list[str] = []
            self.unlogged: list[tuple[float, int]] = []
            super().__init__(*arguments, **options)

        def save_due_checkpoint(self) -> None:
            self.called.append("save")
            self.unlogged.append(self.unlogged_loss)
            folder = tmp_path / f"step-{self.state.global_step}"
            folder.mkdir(exist_ok=True)
            torch.save(self.model.state_dict(), folder / "pytorch_model.bin")
            torch.save(self.model.state_dict(), folder / "weights.pt")
            self.save_optimizer(folder)
            self.save_scaler_and_random_state(folder)
            self.state.save_to_json(str(folder / "trainer_state.json"))

        def load_weights(self, folder: str) -> None:
            self.called.append("weights")
            self.model.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))

        def load_optimizer(self, folder: str) -> None:
            self.called.append("optimizer")
            super().load_optimizer(folder)

        def gradient_norm(self, norm: Any) -> Any:
            self.called.append("norm")
            return super().gradient_norm(norm)

    def trainer() -> Hooked:
        arguments = TrainingArguments(
            **{"output_dir": str(tmp_path / "out"), "use_cpu": True, "report_to": "none", "disable_tqdm": True},
            **{"max_steps": 3, "logging_steps": 2, "save_steps": 1, "per_device_train_batch_size": 1},
            **{"learning_rate": 0.1, "lr_scheduler_type": "constant"},
        )
        return Hooked(model=Model(), args=arguments, train_dataset=[{"x": torch.ones(2)}] * 3)

    whole = trainer()
    whole.train()
    assert whole.called.count("save") == 3
    assert "norm" in whole.called
    # Before it is logged, a loss is in the sum: 2.0 at the first step, nothing after the second.
    (first, count), (after_log, none), (last, one) = whole.unlogged
    assert (first, count, after_log, none, one) == (2.0, 1, 0.0, 0, 1)
    assert 0 < last < 2
    resumed = trainer()
    resumed.train(resume_from_checkpoint=str(tmp_path / "step-1"))
    assert resumed.called[:2] == ["weights", "optimizer"]
    assert torch.equal(resumed.model.weight, whole.model.weight)
    resumed.set_unlogged_loss(5.0, 2)
    assert resumed.unlogged_loss == (5.0, 2)


def test_names_of_models(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    from llm_summ.core.compat.trainer import layer_classes, let_all_generate_alike, tied_weights

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert layer_classes(model) == {"LlamaDecoderLayer"}
    assert list(tied_weights(model)) == ["lm_head.weight"]
    from transformers.distributed.fsdp import is_fsdp_managed_module

    assert not is_fsdp_managed_module(model)
    let_all_generate_alike(model)
    assert is_fsdp_managed_module(model)


def test_norms() -> None:
    import torch

    from llm_summ.core.compat.trainer import norms

    found = norms([torch.tensor([3.0, 4.0], dtype=torch.bfloat16), torch.zeros(2, 2)])
    assert [float(norm) for norm in found] == [5.0, 0.0]
    assert {norm.dtype for norm in found} == {torch.float32}


def test_a_quantized_layer_keeps_its_state() -> None:
    import torch
    from bitsandbytes.nn import Linear4bit

    from llm_summ.core.compat.trainer import keep_quantization_state

    layer = Linear4bit(64, 64, bias=False, quant_type="nf4").to("cpu")
    layer(torch.ones(1, 64))
    assert layer.weight.quant_state is not None
    keep_quantization_state(layer)
    assert layer.quant_state is layer.weight.quant_state
    plain = torch.nn.Linear(2, 2)
    keep_quantization_state(plain)
    assert not hasattr(plain, "quant_state")
