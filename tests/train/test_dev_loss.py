"""The dev loss from the states of prompts; dequantized weights and a merged adapter, which change no result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_summ.models.families import CAUSAL
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import TrainFields

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("dev-loss")
    (folder / "tiny").symlink_to(tiny_model)
    return folder


def make_trainer(folder: Path, *, quantized: bool = False, dense: bool = False) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

    from llm_summ.models.dequantized import dequantized_bytes, keep_dequantized
    from llm_summ.models.load import quantization_config
    from llm_summ.train.objectives import ObjectiveInputs, make_objective
    from llm_summ.train.step_trainer import StepSettings, StepTrainer

    torch.manual_seed(5)
    config = quantization_config("nf4", double=True, compute_dtype=torch.float32) if quantized else None
    model = AutoModelForCausalLM.from_pretrained(
        folder / "tiny", quantization_config=config, device_map={"": "cpu"}
    )
    if dense:
        size = dequantized_bytes(model)
        assert keep_dequantized(model, size - 1) == 0
        assert keep_dequantized(model, size) == size > 0
    torch.manual_seed(6)
    # Random, so that B is not zero and the adapter does something.
    model = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    )
    arguments = TrainingArguments(
        **{"output_dir": str(folder / "out"), "use_cpu": True, "report_to": "none", "max_steps": 2},
        **{"disable_tqdm": True, "save_strategy": "no", "per_device_train_batch_size": 6},
    )
    fields = TrainFields.model_validate({"batch_size": 6})
    rows = [row for rows in COMPLETIONS for row in rows]
    return StepTrainer(
        model=model,
        arguments=arguments,
        objective=make_objective(ObjectiveInputs(fields, rows, CAUSAL, 0, arguments.device)),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tiny"),
        callbacks=[],
        settings=StepSettings(fields, 2),
    )


def _ids(seed: int, count: int) -> tuple[int, ...]:
    return tuple((seed * 31 + at * 17) % 1400 + 50 for at in range(count))


def _completions() -> Iterator[list[TokenizedExample]]:
    """Prompts of 3 to 60 tokens, with up to three references of 1 to 40; one names another length each time."""
    for number, (prompt, references) in enumerate(
        ((30, (9, 4, 40)), (3, (1,)), (60, (5, 5)), (12, (17, 2, 3)), (44, (8, 9)))
    ):
        changed = number == 4
        yield [
            TokenizedExample(
                str(number), (1, *_ids(number + 9 * changed * at, prompt)), _ids(70 + at, completion), 2
            )
            for at, completion in enumerate(references)
        ]


COMPLETIONS = list(_completions())
PROMPTS = [TokenizedExample(rows[0].id, rows[0].prompt_ids, (), 2) for rows in COMPLETIONS]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_loss_from_shared_prompts_is_the_mean_loss(folder: Path, batch_size: int) -> None:
    from llm_summ.generate.engine import greedy_requests
    from llm_summ.generate.engines.hf import HfEngine
    from llm_summ.train.dev_loss import DevLoss

    trainer = make_trainer(folder)
    expected = trainer.mean_loss([row for rows in COMPLETIONS for row in rows])
    losses = DevLoss(trainer, PROMPTS, COMPLETIONS)
    assert losses.shares_prompts
    losses.of_share(range(len(PROMPTS)))
    engine = HfEngine(trainer.model, pad_id=0, batch_size=batch_size, logprobs=False, with_states=losses.add)
    outputs = list(engine.generate(greedy_requests([row.prompt_ids for row in PROMPTS], 8), stop_id=2))
    assert len(outputs) == len(PROMPTS)
    assert losses.mean() == pytest.approx(expected, rel=1e-5)


def test_without_shared_prompts_it_is_the_mean_loss_as_well(folder: Path) -> None:
    from llm_summ.train.dev_loss import DevLoss

    trainer = make_trainer(folder)
    losses = DevLoss(trainer, PROMPTS, COMPLETIONS)
    losses.of_share(range(len(PROMPTS)))
    assert losses.mean() == trainer.mean_loss([row for rows in COMPLETIONS for row in rows])


def test_dequantized_weights_change_nothing_but_rounding(folder: Path) -> None:
    """Losses and gradients of an nf4 base, with its weights dequantized once and at every pass."""
    import torch

    found = []
    for dense in (False, True):
        trainer = make_trainer(folder, quantized=True, dense=dense)
        loss = trainer.training_step(trainer.model, trainer.objective.examples)
        gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
        found.append((float(loss), torch.cat([gradient.flatten() for gradient in gradients])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def test_the_merged_adapter_is_there_for_a_while(folder: Path) -> None:
    import torch

    from llm_summ.models.dequantized import with_adapter_merged

    trainer = make_trainer(folder, quantized=True, dense=True)
    model, ids = trainer.model.eval(), torch.tensor([PROMPTS[0].prompt_ids])
    with torch.no_grad():
        before = model(ids).logits
        with with_adapter_merged(model):
            layers = [
                module for module in model.modules() if hasattr(module, "lora_A") and "forward" in vars(module)
            ]
            assert len(layers) == 14
            merged = model(ids).logits
        after = model(ids).logits
        with model.disable_adapter():
            base = model(ids).logits
    assert torch.equal(before, after)
    assert torch.allclose(before, merged, atol=1e-3)
    assert not torch.allclose(before, base, atol=1e-1)


def test_without_dequantized_weights_nothing_is_merged(folder: Path) -> None:
    from llm_summ.models.dequantized import with_adapter_merged

    trainer = make_trainer(folder, quantized=True)
    with with_adapter_merged(trainer.model):
        assert not [m for m in trainer.model.modules() if hasattr(m, "lora_A") and "forward" in vars(m)]
