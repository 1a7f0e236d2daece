"""transformers' Trainer with whole optimizer steps: an objective gives the loss, and knows nothing of steps."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import is_peft_model
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerCallback, TrainerState, TrainingArguments

from llm_summ.core.errors import TrainingError, first_line
from llm_summ.core.progress import say
from llm_summ.plan.step_batches import micro_batches
from llm_summ.recipe import TrainFields
from llm_summ.train.checkpoint import Checkpoint
from llm_summ.train.gradients import layer_group_norms
from llm_summ.train.learning_rates import end_schedule, lora_plus_optimizer
from llm_summ.train.log import memory_gib
from llm_summ.train.model_and_trainer import leave_out_router_loss
from llm_summ.train.objectives import Objective
from llm_summ.train.process_group import ALONE, ProcessGroup
from llm_summ.train.sharded_trainer import ShardedTrainer
from llm_summ.train.step_loader import as_they_are, step_loader
from llm_summ.train.time_budget import FixedSteps

__all__ = ["StepSettings", "StepTrainer"]


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How a step is made.

    Attributes:
        train: the recipe's fields.
        micro_batch_size: examples of a micro batch at the start.
        learning_rate_ratio: of LoRA+, or None.
        sharded: whether each process holds a part of the base.
    """

    train: TrainFields
    micro_batch_size: int
    learning_rate_ratio: float | None = None
    sharded: bool = False


class StepTrainer(ShardedTrainer):
    """Trains an objective; a batch of the library's loop is a whole optimizer step.

    A step's examples are sorted by length and cut into micro batches here. The loss is the weighted mean over the
    step, so the gradient does not depend on the size of the micro batches. On out-of-memory the micro batch is
    halved, and the step is repeated.

    Args:
        model: the model to be trained: the base with its adapter, or the base itself.
        arguments: for the library; `per_device_train_batch_size` is a step's examples, accumulation is 1.
        objective: the loss, and the examples.
        tokenizer: is saved with the model.
        callbacks: for the library.
        settings: how a step is made.
        processes: the processes that train together; the library sees only this one.

    Raises:
        TrainingError: the library would divide the model among several GPUs of this process.
    """

    def __init__(
        self,
        *,
        model: Any,
        arguments: TrainingArguments,
        objective: Objective,
        tokenizer: Any,
        callbacks: list[TrainerCallback],
        settings: StepSettings,
        processes: ProcessGroup = ALONE,
    ) -> None:
        self.processes, self.is_sharded, self.objective = processes, settings.sharded, objective
        # With an adapter only the frozen base is sharded.
        self.trains_parts = settings.sharded and not is_peft_model(model)
        self._fields, self._learning_rate_ratio = settings.train, settings.learning_rate_ratio
        self.micro_batch_size = settings.micro_batch_size
        self.tokens = 0
        """Tokens of all examples so far, padding left out, over all devices."""
        self.write_checkpoint: Callable[[], None] = lambda: None
        """Called when a checkpoint is due."""
        self._layer_norms: dict[str, float] = {}
        self._tokens_logged, self._logged_at = 0, time.monotonic()
        self.paused = self.paused_in_all = 0.0
        """Seconds in which nothing was trained: since the last line of the log, and since the training began."""
        self._fixed: FixedSteps | None = None
        if is_peft_model(model) and arguments.gradient_checkpointing:
            model.enable_input_require_grads()  # without it no gradient reaches the first checkpointed layer
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=objective.examples,
            data_collator=as_they_are,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        if self.args.n_gpu > 1:
            raise TrainingError(
                f"{self.args.n_gpu} GPUs are visible to this process, which trains on one; set "
                "CUDA_VISIBLE_DEVICES to one of them before anything uses CUDA, or train with --devices"
            )
        leave_out_router_loss(self.model)
        objective.prepare(self.model)

    def get_train_dataloader(self) -> Any:
        """Return the steps of an epoch; every process draws the same, and takes its share."""
        return step_loader(self.objective, self._fields, self.args.seed, self.processes)

    def create_optimizer(self, model: Any = None) -> Any:
        """Return the library's optimizer; with LoRA+, B learns faster than A."""
        if getattr(self, "optimizer", None) is None and self._learning_rate_ratio is not None:
            trained = self.model if model is None else model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            options |= {"loraplus_weight_decay": self.args.weight_decay}
            self.optimizer = lora_plus_optimizer(trained, kind, self._learning_rate_ratio, options)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the library's schedule of the learning rate, or one that ends where the training ends."""
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if self._fixed is not None:
            end_schedule(scheduler, self.args, self._fixed)
        return scheduler

    def fix_steps(self, fixed: FixedSteps) -> None:
        """End the training, and the schedule of its learning rate, after the fixed number of steps."""
        self._fixed = fixed
        self.args.max_steps = self.state.max_steps = fixed.steps
        if self.lr_scheduler is not None:
            end_schedule(self.lr_scheduler, self.args, fixed)

    def training_step(self, model: Any, inputs: list[Any], num_items_in_batch: Any = None) -> Any:
        """Compute the gradients of a step.

        Args:
            model: the model as the library wrapped it.
            inputs: this process's examples of the step.
            num_items_in_batch: unused; it is counted here.

        Returns:
            the step's loss: the mean over its weights, those of other processes included.

        Raises:
            TrainingError: a single example does not fit into memory.
        """
        model.train()
        objective = self.objective
        weight, tokens, count = self.processes.sum(
            sum(map(objective.weight, inputs)), sum(map(objective.length, inputs)), len(inputs)
        )
        while True:
            reason, loss = "", torch.zeros((), device=self.args.device)
            self._draw_for_this_process()
            try:
                loss = self._forward_backward(model, inputs, weight, int(count))
            except Exception as error:
                # If sharded, the other processes wait for this one's part of the model, so it cannot retry.
                if self.is_sharded or not should_reduce_batch_size(error):
                    raise
                reason = first_line(error)
            if not self.processes.any(bool(reason)):
                break
            # Outside the except block: the traceback keeps tensors alive.
            self._halve(
                min(self.micro_batch_size, self.processes.most(int(count))), reason or "in another process"
            )
            model.zero_grad()
        self.processes.add_gradients(model)
        if self.processes.world > 1:
            loss = loss.new_tensor(self.processes.sum(float(loss))[0])
        self.tokens += int(tokens)
        if self._fields.log_layers:
            scaler = self.accelerator.scaler  # in float16 the gradients are still multiplied by its scale
            scale = 1.0 if scaler is None else float(scaler.get_scale())
            self._layer_norms = {group: norm / scale for group, norm in layer_group_norms(model).items()}
        return loss

    def mean_loss(self, examples: Sequence[Any]) -> float:
        """Return the mean of the objective over examples, without dropout or smoothing."""
        was_training = self.model.training
        self.model.eval()
        share = examples[self.processes.rank :: self.processes.world]
        total = 0.0
        # Before a process's first step the library has not yet wrapped the model with autocast.
        with torch.no_grad(), self.accelerator.autocast():
            for part in self._micro_batches(share, len(examples)):
                total += float(self.objective.loss(self.model, part or [self._spare])) * bool(part)
        self.model.train(was_training)
        total, weight = self.processes.sum(total, sum(map(self.objective.weight, share)))
        return total / weight

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with fields the library lacks: tokens, their rate since the last line, memory, norms of layers."""
        if "loss" in logs:
            now = time.monotonic()
            rate = (self.tokens - self._tokens_logged) / max(now - self._logged_at - self.paused, 1e-9)
            self._tokens_logged, self._logged_at, self.paused = self.tokens, now, 0.0
            logs |= {"num_tokens": self.tokens, "tokens_per_second": rate, "memory_gib": memory_gib()}
            logs |= {f"grad_norm/{group}": norm for group, norm in self._layer_norms.items()}
            logs |= {f"objective/{name}": value for name, value in self.objective.log_fields().items()}
        super().log(logs, start_time)

    def progress(self) -> dict[str, Any]:
        """Return what a resumed training needs in addition to what the library saves."""
        loss, steps = self.unlogged_loss
        return {
            "tokens": self.tokens,
            "rows_at_a_time": self.micro_batch_size,
            "loss_sum": loss,
            "loss_steps": steps,
        }

    def restore(self, progress: dict[str, Any]) -> None:
        """Restore what `progress` returned; to be called when the library's loop begins."""
        self.tokens = self._tokens_logged = progress["tokens"]
        self.micro_batch_size = progress["rows_at_a_time"]
        self.set_unlogged_loss(progress["loss_sum"], progress["loss_steps"])
        self._logged_at, self.paused = time.monotonic(), 0.0

    def restore_checkpoint(self, begin: Checkpoint) -> None:
        """Restore a checkpoint's state without entering the training loop."""
        self.load_weights(str(begin.path))
        self.state = TrainerState.load_from_json(str(begin.path / "trainer_state.json"))
        progress = begin.progress()
        self.tokens, self.micro_batch_size = progress["tokens"], progress["rows_at_a_time"]

    def save_due_checkpoint(self) -> None:
        """Write the run's checkpoint."""
        self.write_checkpoint()

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the library's count needs a tensor of ids, which these inputs do not have."""
        return 0

    def _forward_backward(self, model: Any, examples: Sequence[Any], weight: float, of_all: int) -> Any:
        total = torch.zeros((), device=self.args.device)
        # For sharded parameters PyTorch computes the mean of the processes' gradients, not their sum.
        factor = self.processes.world if self.trains_parts else 1
        for part in self._micro_batches(examples, of_all):
            loss = self.objective.loss(model, part or [self._spare]) * (bool(part) / weight)
            self.accelerator.backward(loss * factor)
            total += loss.detach()
        return total

    def _micro_batches(self, examples: Sequence[Any], of_all: int) -> list[list[Any]]:
        """Return this process's micro batches, of `of_all` examples in all processes.

        If the base is sharded, every process needs the same number of them: the last may be empty.
        """
        parts = micro_batches(examples, self.micro_batch_size, self.objective.length)
        if self.is_sharded:
            parts += [[]] * (-(-self.processes.most(of_all) // self.micro_batch_size) - len(parts))
        return parts

    @property
    def _spare(self) -> Any:
        """The example to compute, without effect, if a process has none."""
        return min(self.objective.examples, key=self.objective.length)

    def _draw_for_this_process(self) -> None:
        """Seed dropout by seed, step and process: a checkpoint has the random state of the first process only."""
        if self.processes.world > 1:
            torch.manual_seed(
                random.Random(f"{self.args.seed}/{self.state.global_step}/{self.processes.rank}").getrandbits(63)
            )

    def _halve(self, now: int, reason: str) -> None:
        if now <= 1:
            raise TrainingError(
                f"step {self.state.global_step + 1}: out of memory with {now} rows at a time ({reason}); lower "
                "train.micro_batch_size or prompt.max_prompt_tokens, or set train.gradient_checkpointing: on"
            )
        self.micro_batch_size = -(-now // 2)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(
            f"step {self.state.global_step + 1}: out of memory with {now} rows at a time; continuing with "
            f"{self.micro_batch_size} (the batch stays {self._fields.batch_size})"
        )
