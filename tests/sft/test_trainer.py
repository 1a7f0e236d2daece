"""Our loss is TRL's loss, at less cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import make_tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]


def make_trainer(kind: type, folder: Path, rows: list[dict[str, list[int]]]) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig

    return kind(
        model=AutoModelForCausalLM.from_pretrained(folder / "tiny"),
        args=SFTConfig(
            output_dir=str(folder / "out"),
            use_cpu=True,
            bf16=False,
            report_to="none",
            max_length=None,
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            completion_only_loss=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder / "tiny"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False),
    )


@pytest.mark.parametrize("items", [None, 40])
def test_loss_and_gradients_equal_those_of_trl(tmp_path: Path, items: int | None) -> None:
    import torch
    from trl import SFTTrainer

    from llm_summ.sft.trainer import AnswerLossTrainer

    make_tiny_model(tmp_path / "tiny")
    generator = torch.Generator().manual_seed(1)
    rows = []
    for prompt, answer in ((30, 9), (12, 17), (44, 1)):
        ids = torch.randint(3, 1000, (prompt + answer,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    losses, gradients = [], []
    for kind in (SFTTrainer, AnswerLossTrainer):
        trainer = make_trainer(kind, tmp_path, rows)
        batch = trainer.data_collator(rows)
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=items)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert gradients[0].abs().max() > 1e-4
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)
