"""Load the model to be trained, and make its trainer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from llm_summ.check.report import CheckReport
from llm_summ.core.errors import TrainingError, first_line
from llm_summ.core.progress import say
from llm_summ.models.adapter import add_adapter
from llm_summ.models.dequantized import keep_dequantized
from llm_summ.models.device import Device
from llm_summ.models.load import keep_trainable, load_base, quantization_config
from llm_summ.models.trained_weights import trained_weights
from llm_summ.train.distributed import ALONE, ProcessGroup
from llm_summ.train.shard import shard

__all__ = ["load_trained", "make_trainer"]


def load_trained(
    report: CheckReport, processes: ProcessGroup = ALONE, *, sharded: bool = False, dequantized: bool = True
) -> Any:
    """Return the model to be trained: the base with a new adapter, or the base; if sharded, this process's part.

    A sharded base need not fit into the device: it is divided on the CPU.

    Args:
        report: of the check.
        processes: the processes that train together.
        sharded: whether each of them holds a part of the base.
        dequantized: whether to keep dequantized weights, if the check has memory for them.

    Raises:
        RecipeError: `lora.targets` names no layer of the base.
    """
    recipe, device = report.plan.recipe, report.device
    where = dataclasses.replace(device, kind="cpu") if sharded else device
    model = _load_base(report, where, dequantized=dequantized)
    if trained_weights(recipe).has_adapter:
        model = add_adapter(model, recipe, report.plan.family)
    if sharded:
        shard(model, device.kind, processes)
    return model


def _load_base(report: CheckReport, device: Device, *, dequantized: bool) -> Any:
    """Load the base as it is trained.

    Args:
        report: of the check.
        device: to load it on.
        dequantized: whether to keep dequantized weights, if the check has memory for them.
    """
    import torch

    recipe, compute = report.plan.recipe, getattr(torch, report.dtype)
    stored = getattr(torch, trained_weights(recipe).stored_dtype(report.dtype))
    quantization = quantization_config(
        recipe.model.quantization, double=recipe.model.double_quantization, compute_dtype=compute
    )
    say(f"Loading {recipe.model.base}")
    model = load_base(recipe.model, report.plan.location, device, stored, quantization)
    keep_trainable(model)
    if dequantized and report.memory is not None and report.memory.dequantized and device.kind == "cpu":
        keep_dequantized(model, report.memory.dequantized)
    # The token that ends a training row also ends a generation.
    model.config.eos_token_id = model.generation_config.eos_token_id = report.plan.renderer.stop_id
    model.generation_config.update(**report.plan.family.generation_fields(report.plan.renderer.frame))
    return model


def make_trainer(
    report: CheckReport, model: Any, callbacks: list[Any], scratch: Path, processes: ProcessGroup, sharded: bool
) -> Any:
    """Make the trainer of a model.

    Args:
        report: of the check.
        model: the model to be trained: the base with its adapter, or the base itself.
        callbacks: for the library.
        scratch: a folder for the library's files.
        processes: the processes that train together.
        sharded: whether each of them holds a part of the base.
    """
    from transformers import PrinterCallback, TrainingArguments

    from llm_summ.train.objectives import ObjectiveInputs, make_objective
    from llm_summ.train.step_trainer import StepTrainer

    plan, device = report.plan, report.device
    recipe = plan.recipe
    train = recipe.train
    on_gpu = device.kind == "cuda"
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
        bf16=report.dtype == "bfloat16",
        fp16=on_gpu and report.dtype == "float16",
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
            fields=train,
            micro_batch_size=report.micro_batch_size,
            learning_rate_ratio=recipe.lora.learning_rate_ratio,
            processes=processes,
            sharded=sharded,
        )
    except ValueError as error:
        raise TrainingError(f"the trainer refuses this recipe: {first_line(error)}") from error
    trainer.remove_callback(PrinterCallback)
    return trainer
