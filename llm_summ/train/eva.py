"""EVA: initialise an adapter with the principal components of its layers' inputs.

Paischer et al. 2024, https://arxiv.org/abs/2410.07170.
"""

from __future__ import annotations

import random
from typing import Any

from llm_summ.plan.step_batches import micro_batches
from llm_summ.plan.training_plan import TrainingPlan

__all__ = ["begin_with_components"]

_ROWS, _ROWS_AT_A_TIME = 256, 4


def begin_with_components(model: Any, plan: TrainingPlan, *, device: Any, rows_at_a_time: int) -> None:
    """Initialise the adapter.

    Args:
        model: with a LoRA adapter whose configuration asks for EVA.
        plan: of the training; up to 256 of its rows are drawn by its seed.
        device: of the model.
        rows_at_a_time: the micro batch of the training; at most 4 are used.
    """
    from peft import initialize_lora_eva_weights

    rows, family, seed = plan.rows, plan.family, plan.recipe.seed
    drawn = random.Random(seed).sample(range(len(rows)), min(len(rows), _ROWS))
    batches = []
    for part in micro_batches([rows[index] for index in drawn], min(rows_at_a_time, _ROWS_AT_A_TIME)):
        inputs, labels = family.collate(part, plan.renderer.pad_id, device, packing=False)
        batches.append(inputs | {"labels": labels})
    random.Random(seed).shuffle(batches)
    initialize_lora_eva_weights(
        model,
        batches,
        # The logits of all positions would be thrown away.
        forward_fn=family.forward_layers,
        gather_distributed_inputs=False,  # every process has the same rows
        show_progress_bar=False,
    )
    for parameter in model.parameters():
        if parameter.requires_grad:  # PEFT creates them again, in the base's dtype
            parameter.data = parameter.data.float()
