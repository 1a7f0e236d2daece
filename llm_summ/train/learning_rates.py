"""Learning rates: those of LoRA+, and a schedule that ends at another step than was planned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_summ.train.time_budget import FixedSteps

__all__ = ["end_schedule", "lora_plus_optimizer"]


def lora_plus_optimizer(model: Any, kind: Any, ratio: float, options: dict[str, Any]) -> Any:
    """Return an optimizer with which B learns faster than A (LoRA+).

    Args:
        model: with a LoRA adapter.
        kind: the optimizer's class.
        ratio: of the learning rate of B to that of A.
        options: of the class, with the weight decay.
    """
    from peft.optimizers import create_loraplus_optimizer

    return create_loraplus_optimizer(model=model, optimizer_cls=kind, loraplus_lr_ratio=ratio, **options)


def end_schedule(scheduler: Any, arguments: Any, fixed: FixedSteps) -> None:
    """Let a schedule end where the training ends; the steps before keep the rates that they were planned with.

    Args:
        scheduler: of the optimizer; it is changed.
        arguments: of the library, with the kind of the schedule and its warm-up.
        fixed: the number of steps, and when it was fixed.
    """
    stages = [(last, _learning_rates(arguments, steps)) for last, steps in fixed.stages()]

    def share(step: int) -> float:
        return next(rate for last, rate in stages if step <= last)(step)

    scheduler.lr_lambdas = [share] * len(scheduler.lr_lambdas)


def _learning_rates(arguments: Any, steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step of a training of `steps` steps."""
    import torch
    from transformers import get_scheduler

    unused = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=arguments.learning_rate)
    scheduler = get_scheduler(
        arguments.lr_scheduler_type,
        unused,
        num_warmup_steps=arguments.get_warmup_steps(steps),
        num_training_steps=steps,
    )
    rates: Callable[[int], float] = scheduler.lr_lambdas[0]
    return rates
