"""The parts of a training, for a training loop of your own.

`training_parts` reads a recipe, checks it, and loads the model. A loop then takes optimizer steps as it likes::

    parts = llm_summ.training_parts(llm_summ.load_recipe(path))
    optimizer = parts.optimizer()
    for examples in parts.loader():          # the rows of one step
        parts.backward(examples)
        optimizer.step()
        optimizer.zero_grad()
    with parts.summarizer() as summarizer:
        texts = [summary.text for summary in summarizer.summarize(parts.dev)]

With the recipe's optimizer, schedule and clipping, the losses are those of `llm-summ sft`. ``examples/`` has whole
loops, with PyTorch-Ignite and with Lightning.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.check.job import check_recipe
from llm_summ.core.errors import InputError, RecipeError
from llm_summ.data import Dialogue
from llm_summ.generate.settings import GenerationSettings, decoding_of
from llm_summ.generate.summarizer import Summarizer
from llm_summ.models.base import save_tokenizer
from llm_summ.models.device import one_gpu
from llm_summ.models.families import ModelFamily
from llm_summ.plan.step_batches import micro_batches
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.token_limit import token_limit
from llm_summ.recipe import Recipe
from llm_summ.train.evaluation import evaluation_decoding, make_dev_set
from llm_summ.train.model_and_trainer import leave_out_router_loss, load_trained
from llm_summ.train.objectives import Objective, ObjectiveInputs, make_objective
from llm_summ.train.process_group import ALONE

__all__ = ["TrainingParts", "training_parts"]


@dataclass(frozen=True)
class TrainingParts:
    """The parts of a training.

    Attributes:
        setup: the plan, and how it is carried out.
        model: the model to be trained: the base with a new adapter, or the base; on its device.
        objective: the loss.
        device: a torch device.
        dev: the dialogues that an evaluation summarizes: `evaluation.rows` of data.dev.
        dev_rows: the same with every reference, as token ids.
    """

    setup: TrainingSetup
    model: Any
    objective: Objective
    device: Any
    dev: list[Dialogue]
    dev_rows: list[TokenizedExample]

    @property
    def recipe(self) -> Recipe:
        """The recipe."""
        return self.setup.plan.recipe

    @property
    def rows(self) -> list[TokenizedExample]:
        """The training set, as token ids: a row for each dialogue and reference."""
        return self.setup.plan.rows

    @property
    def data(self) -> dict[str, list[Dialogue]]:
        """The dialogues of each part: train, dev, test."""
        return self.setup.plan.data

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, whose end-of-sequence token is the stop token."""
        return self.setup.plan.tokenizer

    @property
    def family(self) -> ModelFamily:
        """The model family, which knows the architecture."""
        return self.setup.plan.family

    @property
    def steps(self) -> int:
        """The optimizer steps of the training, by `train.epochs` or `train.max_steps`."""
        return self.setup.plan.steps

    @property
    def evaluation_interval(self) -> int:
        """The steps between evaluations, by `evaluation.every`, and at most `steps`; 0: there are none."""
        return min(self.setup.plan.evaluation_interval, self.steps) if self.dev else 0

    def loader(self) -> Any:
        """Return a PyTorch DataLoader that yields the rows of one optimizer step at a time, as a list.

        The order depends on the recipe's seed and on the epoch: ``loader.set_epoch(epoch)``, from 0.
        """
        from llm_summ.train.step_loader import step_loader

        return step_loader(self.objective, self.recipe.train, self.recipe.seed, ALONE)

    def collate(self, examples: Sequence[TokenizedExample]) -> tuple[dict[str, Any], Any]:
        """Return the model's inputs and labels for some rows, padded or packed, for a loss of your own.

        Returns:
            the arguments of ``model(**inputs)``, and labels of shape (b, s) with -100 for what is not a target.
        """
        pad_id, packing = int(self.tokenizer.pad_token_id), self.recipe.train.packing
        return self.family.collate(examples, pad_id, self.device, packing=packing)

    def micro_batches(self, examples: Sequence[TokenizedExample]) -> list[list[TokenizedExample]]:
        """Cut the rows of a step into parts that fit into memory, by length, as `llm-summ sft` does."""
        return micro_batches(examples, self.setup.micro_batch_size, self.objective.length)

    def autocast(self) -> Any:
        """Return the context to compute in: with the recipe's dtype."""
        import torch

        dtype = getattr(torch, self.setup.plan.dtype)
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def backward(self, examples: Sequence[TokenizedExample]) -> float:
        """Add the gradients of a step, in micro batches, and return its loss: the mean over all target tokens."""
        weight, total = sum(map(self.objective.weight, examples)), 0.0
        for part in self.micro_batches(examples):
            with self.autocast():
                loss = self.objective.loss(self.model, part) / weight
            loss.backward()
            total += float(loss.detach())
        return total

    def mean_loss(self, examples: Sequence[TokenizedExample]) -> float:
        """Return the loss of rows, without gradients, dropout and smoothing; the model is left as it was."""
        import torch

        was_training, total = self.model.training, 0.0
        self.model.eval()
        with torch.no_grad(), self.autocast():
            for part in self.micro_batches(examples):
                total += float(self.objective.loss(self.model, part))
        self.model.train(was_training)
        return total / sum(map(self.objective.weight, examples))

    def parameters(self) -> list[Any]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def clip_gradients(self) -> float:
        """Scale the gradients down to `train.max_grad_norm`, and return their norm before."""
        import torch

        return float(
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.recipe.train.max_grad_norm or math.inf)
        )

    def optimizer(self) -> Any:
        """Return the recipe's optimizer; biases and norms have no weight decay."""
        from transformers import Trainer, TrainingArguments

        train, on_gpu = self.recipe.train, self.device.type == "cuda"
        arguments = TrainingArguments(
            use_cpu=not on_gpu,
            learning_rate=train.learning_rate,
            optim=train.optimizer_name(on_gpu=on_gpu),
            report_to="none",
        )
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, self.model)
        groups: list[dict[str, Any]] = [
            {"params": [], "weight_decay": train.weight_decay},
            {"params": [], "weight_decay": 0.0},
        ]
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups[parameter.ndim < 2 or "bias" in name]["params"].append(parameter)
        return kind([group for group in groups if group["params"]], **options)

    def schedule(self, optimizer: Any) -> Any:
        """Return the recipe's schedule of the learning rate, over `steps` steps."""
        from transformers import get_scheduler

        warmup = math.ceil(self.steps * self.recipe.train.warmup_ratio)
        return get_scheduler(self.recipe.train.schedule, optimizer, warmup, self.steps)

    @contextlib.contextmanager
    def summarizer(self, *, evaluation: bool = True) -> Iterator[Summarizer]:
        """Yield a `Summarizer` that generates with the model as it is now; the model is left as it was.

        Limits and post-processing are the recipe's. Random numbers that are drawn meanwhile do not change the
        training that follows.

        Args:
            evaluation: decode as the evaluations of `llm-summ sft`; False: by the recipe's section generate.
        """
        import torch

        from llm_summ.generate.engines.hf import HfEngine
        from llm_summ.models.dequantized import with_adapter_merged

        plan, recipe, was_training = self.setup.plan, self.recipe, self.model.training
        engine = HfEngine(
            self.model,
            pad_id=plan.renderer.pad_id,
            batch_size=recipe.evaluation.batch_size,
            logprobs=False,
            frame=plan.renderer.frame,
        )
        try:
            with torch.random.fork_rng(), self.autocast(), with_adapter_merged(self.model):
                limit = token_limit(recipe.generate, plan.limit_predictor)
                decoding = evaluation_decoding(recipe) if evaluation else decoding_of(recipe.generate)
                settings = GenerationSettings(limit, decoding, recipe.seed)
                yield Summarizer(engine, plan.renderer, settings, post=recipe.post)
        finally:
            self.model.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights that are trained, by name; a checkpoint needs no others."""
        return {
            name: parameter.detach()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Restore the weights of `state_dict`.

        Raises:
            InputError: `strict`, and the names are not those of the trained weights.
        """
        import torch

        own = self.state_dict()
        if strict and own.keys() != state.keys():
            raise InputError(
                f"the state has {len(state)} weights, and the model {len(own)} trained ones with other names; "
                "load a state of the same recipe"
            )
        with torch.no_grad():
            for name in own.keys() & state.keys():
                own[name].copy_(state[name])

    def save(self, folder: Path | str) -> None:
        """Write the adapter, or the model, with its tokenizer."""
        self.model.save_pretrained(folder)
        save_tokenizer(self.tokenizer, Path(folder))


@one_gpu()
def training_parts(recipe: Recipe, *, force: bool = False) -> TrainingParts:
    """Check a recipe, load its model, and return the parts of its training; one process, one device.

    PyTorch's random numbers are then those at the beginning of `llm-summ sft`.

    Args:
        recipe: model, data and settings.
        force: load even if the memory estimate exceeds the device.

    Raises:
        InputError: the training could not work, or a field has no effect in another loop; a line for each reason.
    """
    refused = _without_effect(recipe)
    if refused:
        raise RecipeError(
            "\n".join(f"{field}: has no effect in a loop of your own; leave it out" for field in refused)
        )
    report = check_recipe(recipe, allow_low_memory=force)
    failures, setup, plan = list(report.failures), report.setup, report.plan
    if plan.dtype == "float16":
        failures.append(
            "model.compute_dtype: float16 needs a loss scaler, which a loop of your own does not have; set it to "
            "bfloat16 or float32"
        )
    if failures:
        raise InputError("\n".join(failures))
    import torch
    from transformers import set_seed

    train, device = recipe.train, torch.device(plan.device.kind)
    model = load_trained(setup)
    if train.checkpoints(on_gpu=device.type == "cuda"):
        model.gradient_checkpointing_enable()
        if hasattr(model, "peft_config"):
            model.enable_input_require_grads()  # without it no gradient reaches the first checkpointed layer
    leave_out_router_loss(model)
    inputs = ObjectiveInputs(train, plan.rows, plan.family, pad_id=int(plan.tokenizer.pad_token_id), device=device)
    objective = make_objective(inputs)
    objective.prepare(model)
    dev = make_dev_set(plan)
    model.train()
    set_seed(recipe.seed)
    return TrainingParts(
        setup,
        model,
        objective,
        device,
        [] if dev is None else dev.dialogues,
        [] if dev is None else [row for rows in dev.completions for row in rows],
    )


def _without_effect(recipe: Recipe) -> list[str]:
    """Return the fields of a recipe that only `llm-summ sft` knows, and that would change the result."""
    train, lora = recipe.train, recipe.lora
    fields = {
        "train.neftune_alpha": train.neftune_alpha,
        "train.from_run": train.from_run,
        "train.max_minutes": train.max_minutes,
        "train.callbacks": train.callbacks,
        "lora.init: eva": lora.init == "eva",
        "lora.learning_rate_ratio": lora.learning_rate_ratio,
        "track": recipe.track,
    }
    return [name for name, value in fields.items() if value]
