"""Load the model to be trained, and make its trainer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from llm_summ.core.errors import TrainingError, first_line
from llm_summ.core.progress import say
from llm_summ.models.adapter import add_adapter
from llm_summ.models.dequantized import keep_dequantized
from llm_summ.models.device import Device
from llm_summ.models.load import keep_trainable, load_base, quantization_config
from llm_summ.models.trained_weights import trained_weights
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.train.process_group import ALONE, ProcessGroup
from llm_summ.train.shard import is_sharded, shard

__all__ = ["leave_out_router_loss", "load_trained", "make_trainer"]


def load_trained(setup: TrainingSetup, processes: ProcessGroup = ALONE) -> Any:
    """Return the model to be trained: the base with a new adapter, or the base; if sharded, this process's part.

    A sharded base need not fit into the device: it is divided on the CPU, by one process after the other.

    Args:
        setup: of the training.
        processes: the processes that train together.

    Raises:
        RecipeError: `lora.targets` names no layer of the base.
    """
    device = setup.plan.device
    if not is_sharded(setup.plan.recipe, processes):
        return _load(setup, device)

    def load_part() -> Any:
        model = _load(setup, dataclasses.replace(device, kind="cpu"))
        shard(model, device.kind, processes)
        return model

    return processes.in_turn(load_part)


def _load(setup: TrainingSetup, device: Device) -> Any:
    """Load the model to be trained, complete, on a device."""
    import torch

    plan = setup.plan
    recipe = plan.recipe
    quantization = quantization_config(
        recipe.model.quantization,
        double=recipe.model.double_quantization,
        compute_dtype=getattr(torch, plan.dtype),
    )
    say(f"Loading {recipe.model.base}")
    weights = trained_weights(recipe)
    stored = getattr(torch, weights.stored_dtype(plan.dtype))
    model = load_base(recipe.model, plan.location, device, stored, quantization)
    keep_trainable(model)
    if setup.dequantized and device.kind == "cpu":
        keep_dequantized(model, setup.dequantized)
    # The token that ends a training row also ends a generation.
    model.config.eos_token_id = plan.renderer.stop_id
    plan.family.end_at(model, plan.renderer.stop_id, plan.tokenizer.pad_token_id, plan.renderer.frame)
    return weights.adapted(model, lambda base: add_adapter(base, recipe, plan.family))


def leave_out_router_loss(model: Any) -> None:
    """Leave out the load-balancing loss of a mixture of experts: no objective has it, an evaluation would fail."""
    for config in (model.config, model.config.get_text_config()):
        if hasattr(config, "output_router_logits"):
            config.output_router_logits = False


def make_trainer(
    setup: TrainingSetup, model: Any, callbacks: list[Any], scratch: Path, processes: ProcessGroup = ALONE
) -> Any:
    """Make the trainer of a model.

    Args:
        setup: of the training.
        model: the model to be trained: the base with its adapter, or the base itself.
        callbacks: for the library.
        scratch: a folder for the library's files.
        processes: the processes that train together.
    """
    from transformers import PrinterCallback, TrainingArguments

    from llm_summ.train.objectives import ObjectiveInputs, make_objective
    from llm_summ.train.step_trainer import StepSettings, StepTrainer

    plan = setup.plan
    recipe, train = plan.recipe, plan.recipe.train
    on_gpu, sharded = plan.device.kind == "cuda", is_sharded(plan.recipe, processes)
    arguments = TrainingArguments(
        output_dir=str(scratch),
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=not on_gpu,
        num_train_epochs=train.epochs,
        max_steps=plan.steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=train.warmup_ratio,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        optim=train.optimizer_name(on_gpu=on_gpu),
        # The library sees a whole step as one batch; `StepTrainer` cuts it into micro batches.
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=1,
        gradient_checkpointing=train.checkpoints(on_gpu=on_gpu),
        bf16=plan.dtype == "bfloat16",
        fp16=on_gpu and plan.dtype == "float16",
        neftune_noise_alpha=train.neftune_alpha,
        save_strategy="no",
        logging_steps=train.log_every,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
    )
    objective = make_objective(
        ObjectiveInputs(
            train,
            plan.rows,
            plan.family,
            pad_id=int(plan.tokenizer.pad_token_id),
            device=arguments.device,
            sharded=sharded,
        )
    )
    try:
        trainer = StepTrainer(
            model=model,
            arguments=arguments,
            objective=objective,
            tokenizer=plan.tokenizer,
            callbacks=callbacks,
            settings=StepSettings(train, setup.micro_batch_size, recipe.lora.learning_rate_ratio, sharded),
            processes=processes,
        )
    except ValueError as error:
        raise TrainingError(f"the trainer refuses this recipe: {first_line(error)}") from error
    trainer.remove_callback(PrinterCallback)
    return trainer
