"""QLoRA supervised fine-tuning: TRL's SFTTrainer on rows of our own renderer."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.check.plan import TrainingPlan
from llm_summ.check.report import check_recipe
from llm_summ.data.source import resolve_source
from llm_summ.errors import InputError, RecipeError, TrainingError, first_line
from llm_summ.files import append_lines, file_sha256, text_sha256, whole_directory, write_json, write_text
from llm_summ.model.adapter import lora_config
from llm_summ.model.base import load_base, quantization_config
from llm_summ.model.device import Device, keep_large_buffers
from llm_summ.progress import Progress, say
from llm_summ.prompt.trained import keep, kept_sha256
from llm_summ.recipe import Recipe, dump_recipe
from llm_summ.run import Run, create_run, environment, mark_latest, run_path

if TYPE_CHECKING:
    from llm_summ.sft.log import LogCallback

__all__ = ["dry_run", "sft"]


def dry_run(recipe: Recipe, *, runs: Path, name: str | None, stem: str, force: bool = False) -> list[str]:
    """What a training would do; nothing is trained, and no run is made. Arguments as for `sft`.

    Raises:
        InputError: the training could not start.
    """
    run_path(runs, name, stem)
    report = check_recipe(recipe, memory_may_not_do=force)
    if report.failures:
        raise InputError("\n".join(report.failures))
    return [*report.lines(), *(f"note: {note}" for note in report.notes)]


def sft(recipe: Recipe, *, runs: Path, name: str | None, stem: str, force: bool = False) -> Run:
    """Train an adapter.

    Args:
        recipe: what to train, on what, how.
        runs: the folder of all runs.
        name: the run's name; None makes one from `stem` and the time.
        stem: the recipe file's name without its ending.
        force: train even if the memory is estimated not to do.

    Returns:
        the finished run; it is the latest from now on.

    Raises:
        InputError: the training could not start; nothing was written.
        TrainingError: it failed; what there is of its log stays.
    """
    path = run_path(runs, name, stem)
    # One GPU: with several in sight the trainer would wrap the model in DataParallel, which TRL refuses.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    report = check_recipe(recipe, memory_may_not_do=force)
    for line in (*report.lines(), *(f"note: {note}" for note in report.notes)):
        say(line)
    if report.failures:
        raise InputError("\n".join(report.failures))
    plan, device, dtype = report.plan, report.device, report.dtype
    manifest = _manifest(plan, device, dtype)
    run = create_run(path, recipe, plan.renderer.template.text, manifest)
    try:
        keep(run, plan.length, plan.pool)
        manifest["kept"] = kept_sha256(run)
        write_json(run.manifest_path, manifest)
        model = _load_model(plan, device, dtype)
        started = time.monotonic()
        from llm_summ.sft.log import LogCallback

        with append_lines(run.log_path) as log, Progress("Training", plan.steps) as progress:
            loss, tokens = _train(plan, run, device, dtype, model, LogCallback(log, progress))
    except BaseException:  # Ctrl-C too
        if not run.log_path.is_file() or not run.log_path.stat().st_size:
            shutil.rmtree(run.path)  # not a step was made: the name is free again
        raise
    seconds = time.monotonic() - started
    manifest["training"] = {
        "finished": _now(),
        "seconds": round(seconds, 1),
        "steps": plan.steps,
        "tokens": tokens,
        "last_loss": loss,
        "adapter_sha256": file_sha256(run.adapter / "adapter_model.safetensors"),
    }
    write_json(run.manifest_path, manifest)
    write_json(run.adapter / "manifest.json", manifest)
    mark_latest(run)
    say(
        f"Trained {plan.steps} steps in {seconds:.0f} s, {tokens / seconds:.0f} tokens/s, last loss {loss:.3f} "
        f"-> {run.adapter}"
    )
    return run


def _train(
    plan: TrainingPlan, run: Run, device: Device, dtype: str, model: Any, callback: LogCallback
) -> tuple[float, int]:
    """Run the trainer and save the adapter; gives the last loss and the number of tokens seen."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig

    from llm_summ.sft.trainer import AnswerLossTrainer

    recipe = plan.recipe
    train = recipe.train
    if device.kind == "cpu":
        keep_large_buffers()
    rows = Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in plan.rows])
    on_gpu = device.kind == "cuda"
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".trainer.") as scratch:
        arguments = SFTConfig(
            output_dir=scratch,
            seed=recipe.seed,
            data_seed=recipe.seed,
            use_cpu=device.kind == "cpu",
            num_train_epochs=train.epochs,
            max_steps=train.max_steps or -1,
            learning_rate=train.learning_rate,
            lr_scheduler_type=train.schedule,
            warmup_steps=train.warmup_ratio,
            weight_decay=train.weight_decay,
            max_grad_norm=train.max_grad_norm,
            optim=train.optimizer_name(on_gpu=on_gpu),
            per_device_train_batch_size=train.micro_batch_size,
            gradient_accumulation_steps=train.batch_size // train.micro_batch_size,
            gradient_checkpointing=train.checkpoints(on_gpu=on_gpu),
            train_sampling_strategy="group_by_length" if train.group_by_length else "random",
            bf16=device.kind == "cuda" and dtype == "bfloat16",
            fp16=device.kind == "cuda" and dtype == "float16",
            # The rows are rendered already: TRL is neither to tokenize nor to cut them.
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
            completion_only_loss=False,
            save_strategy="no",
            logging_steps=train.log_every,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=device.kind == "cuda",
        )
        try:
            trainer = AnswerLossTrainer(
                model=model,
                args=arguments,
                train_dataset=rows,
                processing_class=plan.tokenizer,
                peft_config=lora_config(recipe.lora),
                callbacks=[callback],
            )
        except ValueError as error:
            if "arget modules" in str(error):
                raise RecipeError(f"lora.targets: {first_line(error)}") from error
            raise TrainingError(f"the trainer refuses this recipe: {first_line(error)}") from error
        trainer.remove_callback(PrinterCallback)
        # TRL turns the adapter of a quantized base into bfloat16, whose 8 bits of mantissa swallow small
        # updates; the adapter is small, so its own weights and the optimizer's stay in float32.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        try:
            trainer.train()
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"out of memory on {device.name}; lower train.micro_batch_size (now {train.micro_batch_size}) or "
                f"prompt.max_prompt_tokens, or set train.gradient_checkpointing: on ({first_line(error)})"
            ) from error
        with whole_directory(run.adapter) as building:
            trainer.model.save_pretrained(building, safe_serialization=True)
            plan.tokenizer.save_pretrained(building)
            write_text(building / "recipe.yaml", dump_recipe(recipe))
    return callback.last_loss, callback.tokens


def _load_model(plan: TrainingPlan, device: Device, dtype: str) -> Any:
    import torch

    recipe, compute = plan.recipe, getattr(torch, dtype)
    quantization = quantization_config(
        recipe.model.quantization, double=recipe.model.double_quantization, compute_dtype=compute
    )
    say(f"Loading {recipe.model.base}")
    model = load_base(recipe.model, plan.location, device, compute, quantization)
    # The stop contract: what ends a training row also ends a generation.
    model.config.eos_token_id = model.generation_config.eos_token_id = plan.renderer.stop_id
    return model


def _manifest(plan: TrainingPlan, device: Device, dtype: str) -> dict[str, Any]:
    recipe, template = plan.recipe, plan.renderer.template
    data = recipe.data
    sources = {"train": data.train_sources, "dev": [data.dev or ""], "test": [data.test or ""]}
    return {
        "started": _now(),
        "seed": recipe.seed,
        "device": {"kind": device.kind, "name": device.name, "dtype": dtype},
        "recipe_sha256": text_sha256(dump_recipe(recipe)),
        "prompt": {"name": template.name, "sha256": template.sha256},
        "data": {
            part: {
                "rows": len(plan.data[part]),
                "sha256": {source: file_sha256(resolve_source(source)) for source in sources[part]},
            }
            for part in plan.data
        },
        "stop_id": plan.renderer.stop_id,
        "shortened": plan.shortened,
        **environment(),
    }


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
