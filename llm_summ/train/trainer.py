"""TRL's SFTTrainer, with a step of our own: no work for padding or for tokens that are no targets."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerState, get_scheduler
from trl import SFTConfig, SFTTrainer

from llm_summ.check.step_batches import StepBatchSampler, micro_batches
from llm_summ.core.errors import TrainingError, first_line
from llm_summ.core.progress import say
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.render import IGNORED
from llm_summ.recipe import TrainFields
from llm_summ.train.checkpoint import Checkpoint
from llm_summ.train.collate import head_on, packed, padded
from llm_summ.train.distributed import ALONE, ProcessGroup
from llm_summ.train.gradients import layer_group_norms
from llm_summ.train.log import memory_gib
from llm_summ.train.shard import load_optimizer, load_weights, whole_state
from llm_summ.train.time_budget import FixedSteps

__all__ = ["CompletionLossTrainer"]


class StepLoader(DataLoader):  # type: ignore[misc]
    """Gives the rows of a step at a time, as they are."""

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on."""
        self.batch_sampler.set_epoch(epoch)


class CompletionLossTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on rendered rows; a batch of the library's loop is a whole optimizer step.

    A step's rows are sorted by length and cut into micro batches here; each is padded to its own longest row, or
    packed. The loss is the mean over the step's target tokens, whatever the micro batches, so all of them give the
    same gradient. Where memory does not do, the micro batch is halved, and the step is made again.

    Without Triton (on a CPU) TRL scores every position of the prompt as well, and throws the result away: seven
    eighths of the work of a vocabulary of 262,144, which is more than half of a step. Here the model's own head is
    given the hidden states of target positions alone. On a GPU, TRL's fused head does the same, and is used.

    Args:
        model: the base model.
        arguments: for the library; `per_device_train_batch_size` is a step's rows, accumulation is 1.
        rows: the training rows.
        tokenizer: is saved with the model.
        adapter: PEFT's configuration, or None to train the model itself.
        callbacks: for the library.
        fields: of the recipe.
        rows_at_a_time: rows of a micro batch to begin with.
        learning_rate_ratio: of LoRA+, or None.
        processes: the processes that train together; the library sees this one alone.
        sharded: whether each of them holds a part of the base.
    """

    def __init__(
        self,
        *,
        model: Any,
        arguments: SFTConfig,
        rows: Sequence[TokenizedExample],
        tokenizer: Any,
        adapter: Any,
        callbacks: list[TrainerCallback],
        fields: TrainFields,
        rows_at_a_time: int,
        learning_rate_ratio: float | None = None,
        processes: ProcessGroup = ALONE,
        sharded: bool = False,
    ) -> None:
        self.processes, self.is_sharded = processes, sharded
        # Of a model that is trained in parts, PyTorch gives the mean of the processes' gradients, not their sum.
        self._gradient_factor = processes.world if sharded and adapter is None and not is_peft_model(model) else 1
        self._rows, self._fields, self._learning_rate_ratio = rows, fields, learning_rate_ratio
        self._pad_id = int(tokenizer.pad_token_id)
        self.rows_at_a_time = rows_at_a_time
        self.tokens = 0
        """Tokens of all rows so far, padding left out, over all devices."""
        self.write_checkpoint: Callable[[], None] = lambda: None
        """Is called when a checkpoint is due."""
        self._layer_norms: dict[str, float] = {}
        self._tokens_logged, self._logged_at = 0, time.monotonic()
        self.paused = self.paused_in_all = 0.0
        """Seconds in which nothing was trained: since the last line of the log, and since the training began."""
        self._fixed: FixedSteps | None = None
        super().__init__(
            model=model,
            args=arguments,
            # TRL wants to look at a row of a dataset of its own kind; what is trained comes from our loader.
            train_dataset=Dataset.from_list([{"input_ids": rows[0].input_ids, "labels": rows[0].labels}]),
            data_collator=_as_they_are,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks,
        )

        # The library has switched it on to balance experts, which is none of this loss; an evaluation would fail.
        for config in (self.model.config, self.model.config.get_text_config()):
            if hasattr(config, "output_router_logits"):
                config.output_router_logits = False

    def get_train_dataloader(self) -> Any:
        """The steps of an epoch; every process draws the same, and takes its share."""
        rows = self._rows
        steps = StepBatchSampler(
            [len(row) for row in rows],
            self._fields.batch_size,
            seed=self.args.seed,
            grouped=self._fields.group_by_length,
            rank=self.processes.rank,
            world=self.processes.world,
        )
        # A generator of its own: PyTorch draws a number for every pass, and would draw it from the one of dropout.
        return StepLoader(rows, batch_sampler=steps, collate_fn=_as_they_are, generator=torch.Generator())

    def create_optimizer(self, model: Any = None) -> Any:
        """The library's optimizer; with LoRA+, B learns faster than A."""
        if getattr(self, "optimizer", None) is None and self._learning_rate_ratio is not None:
            from peft.optimizers import create_loraplus_optimizer

            trained = self.model if model is None else model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = create_loraplus_optimizer(
                model=trained,
                optimizer_cls=kind,
                loraplus_lr_ratio=self._learning_rate_ratio,
                loraplus_weight_decay=self.args.weight_decay,
                **options,
            )
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The library's schedule of the learning rate; for a training that ends earlier, if that is known."""
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if self._fixed is not None:
            self._end_schedule(self._fixed)
        return scheduler

    def fix_steps(self, fixed: FixedSteps) -> None:
        """End after so many steps, and with the learning rate at its end there."""
        self._fixed = fixed
        self.args.max_steps = self.state.max_steps = fixed.steps
        if self.lr_scheduler is not None:
            self._end_schedule(fixed)

    def _end_schedule(self, fixed: FixedSteps) -> None:
        stages = [(last, self._learning_rates(steps)) for last, steps in fixed.stages()]

        def share(step: int) -> float:
            return next(rate for last, rate in stages if step <= last)(step)

        self.lr_scheduler.lr_lambdas = [share] * len(self.lr_scheduler.lr_lambdas)

    def _learning_rates(self, steps: int) -> Callable[[int], float]:
        """What the learning rate is multiplied with at each step of a training of so many."""
        unused = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=self.args.learning_rate)
        scheduler = get_scheduler(
            self.args.lr_scheduler_type,
            unused,
            num_warmup_steps=self.args.get_warmup_steps(steps),
            num_training_steps=steps,
        )
        found: Callable[[int], float] = scheduler.lr_lambdas[0]
        return found

    def training_step(self, model: Any, inputs: list[TokenizedExample], num_items_in_batch: Any = None) -> Any:
        """Make the gradients of a step.

        Args:
            model: the model as the library wrapped it.
            inputs: this process's rows of the step.
            num_items_in_batch: is counted here.

        Returns:
            the step's loss: the mean over its target tokens, those of other processes included.

        Raises:
            TrainingError: a single row does not fit into memory.
        """
        model.train()
        target_tokens, tokens, rows = self.processes.sum(
            sum(row.target_tokens for row in inputs), sum(map(len, inputs)), len(inputs)
        )
        while True:
            reason, loss = "", torch.zeros((), device=self.args.device)
            self._draw_for_this_process()
            try:
                loss = self._forward_backward(model, inputs, target_tokens, int(rows))
            except Exception as error:
                # The others wait for this one's part of the model.
                if self.is_sharded or not should_reduce_batch_size(error):
                    raise
                reason = first_line(error)
            if not self.processes.any(bool(reason)):
                break
            # Out here the error is gone, and the tensors that its traceback held on to with it.
            self._halve(min(self.rows_at_a_time, self.processes.most(int(rows))), reason or "in another process")
            model.zero_grad()
        self.processes.add_gradients(model)
        if self.processes.world > 1:
            loss = loss.new_tensor(self.processes.sum(float(loss))[0])
        self.tokens += int(tokens)
        if self._fields.log_layers:
            scaler = self.accelerator.scaler  # of float16: the gradients still have its factor
            scale = 1.0 if scaler is None else float(scaler.get_scale())
            self._layer_norms = {group: norm / scale for group, norm in layer_group_norms(model).items()}
        return loss

    def completion_loss(self, model: Any, rows: Sequence[TokenizedExample]) -> Any:
        """The cross entropy of the target tokens of a micro batch, summed.

        Args:
            model: the model as the library wrapped it.
            rows: of the micro batch; at least one.
        """
        device = self.args.device
        inputs, labels = packed(rows, device) if self._fields.packing else padded(rows, self._pad_id, device)
        smoothing = self._fields.label_smoothing if model.training else 0.0
        if labels.device.type != "cpu" and not smoothing and not self.is_sharded:
            return -model(**inputs, labels=labels, fused_lm_head=True, use_cache=False).log_probs.sum()
        targets = labels[:, 1:]
        is_target = targets != IGNORED
        with head_on(self.model.get_output_embeddings(), is_target):
            logits = model(**inputs, use_cache=False).logits  # (n, v)
        return functional.cross_entropy(
            logits.float(), targets[is_target], reduction="sum", label_smoothing=smoothing
        )

    def mean_loss(self, rows: Sequence[TokenizedExample]) -> float:
        """The mean cross entropy of the target tokens of rows, without dropout or smoothing."""
        was_training = self.model.training
        self.model.eval()
        share = rows[self.processes.rank :: self.processes.world]
        total = 0.0
        # Before the first step of a process the library has not yet made this a part of the model.
        with torch.no_grad(), self.accelerator.autocast():
            for part in self._micro_batches(share, len(rows)):
                total += float(self.completion_loss(self.model, part or [self._spare])) * bool(part)
        self.model.train(was_training)
        total, target_tokens = self.processes.sum(total, sum(row.target_tokens for row in share))
        return total / target_tokens

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the library does not know: tokens, their rate since the last line, memory, norms of layers."""
        if "loss" in logs:
            now = time.monotonic()
            rate = (self.tokens - self._tokens_logged) / max(now - self._logged_at - self.paused, 1e-9)
            self._tokens_logged, self._logged_at, self.paused = self.tokens, now, 0.0
            logs |= {"num_tokens": self.tokens, "tokens_per_second": rate, "memory_gib": memory_gib()}
            logs |= {f"grad_norm/{group}": norm for group, norm in self._layer_norms.items()}
        super().log(logs, start_time)

    def progress(self) -> dict[str, Any]:
        """What a resumed training needs beside what the library saves."""
        return {
            "tokens": self.tokens,
            "rows_at_a_time": self.rows_at_a_time,
            # The losses of the steps since the last line of the log.
            "loss_sum": float(self._tr_loss),
            "loss_steps": self.state.global_step - self._globalstep_last_logged,
        }

    def restore(self, progress: dict[str, Any]) -> None:
        """Go on from what `progress` gave; to be called when the library's loop begins."""
        self.tokens = self._tokens_logged = progress["tokens"]
        self.rows_at_a_time = progress["rows_at_a_time"]
        self._tr_loss.fill_(progress["loss_sum"])
        self._globalstep_last_logged = self.state.global_step - progress["loss_steps"]
        self._logged_at, self.paused = time.monotonic(), 0.0

    def whole_state(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Weights and optimizer state to be saved, where the library would see this process's part alone.

        Every process has to call it. None: the library has all of it.
        """
        if self._gradient_factor == 1:
            return None, None
        return whole_state(self.model, self._bare_optimizer)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._gradient_factor == 1:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self._gradient_factor == 1:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            load_optimizer(self.model, self._bare_optimizer, Path(checkpoint))
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.write_checkpoint()

    def take_up(self, begin: Checkpoint) -> None:
        """Be where a checkpoint was, without training on."""
        self._load_from_checkpoint(str(begin.path))
        self.state = TrainerState.load_from_json(str(begin.path / "trainer_state.json"))
        progress = begin.progress()
        self.tokens, self.rows_at_a_time = progress["tokens"], progress["rows_at_a_time"]

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: the library would look for a tensor of ids."""
        return 0

    def _forward_backward(
        self, model: Any, rows: Sequence[TokenizedExample], target_tokens: float, of_all: int
    ) -> Any:
        total = torch.zeros((), device=self.args.device)
        for part in self._micro_batches(rows, of_all):
            loss = self.completion_loss(model, part or [self._spare]) * (bool(part) / target_tokens)
            self.accelerator.backward(loss * self._gradient_factor)
            total += loss.detach()
        return total

    def _micro_batches(self, rows: Sequence[TokenizedExample], of_all: int) -> list[list[TokenizedExample]]:
        """This process's micro batches, of `of_all` rows in all processes.

        Where the base is sharded, every process computes as many: the last may be empty.
        """
        parts = micro_batches(rows, self.rows_at_a_time)
        if self.is_sharded:
            parts += [[]] * (-(-self.processes.most(of_all) // self.rows_at_a_time) - len(parts))
        return parts

    @property
    def _spare(self) -> TokenizedExample:
        """What is computed for nothing where there is no row."""
        return min(self._rows, key=len)

    def _draw_for_this_process(self) -> None:
        """Have dropout draw by seed, step and process alone: a checkpoint holds the first one's state, not all."""
        if self.processes.world > 1:
            torch.manual_seed(
                random.Random(f"{self.args.seed}/{self.state.global_step}/{self.processes.rank}").getrandbits(63)
            )

    @property
    def _bare_optimizer(self) -> Any:
        """PyTorch's, out of the library's wrapping."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _halve(self, now: int, reason: str) -> None:
        if now <= 1:
            raise TrainingError(
                f"step {self.state.global_step + 1}: out of memory with {now} rows at a time ({reason}); lower "
                "train.micro_batch_size or prompt.max_prompt_tokens, or set train.gradient_checkpointing: on"
            )
        self.rows_at_a_time = -(-now // 2)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(
            f"step {self.state.global_step + 1}: out of memory with {now} rows at a time; from now on "
            f"{self.rows_at_a_time} (the batch stays {self._fields.batch_size})"
        )


def _as_they_are(rows: list[TokenizedExample]) -> list[TokenizedExample]:
    return rows
