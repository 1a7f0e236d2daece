"""What a training needs of transformers, PyTorch and bitsandbytes beyond their public names.

`HookedTrainer` is transformers' `Trainer` with public methods in place of its private ones. The functions read or
set attributes that have no public name. ``tests/core/test_compat_trainer.py`` fails when one is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

__all__ = [
    "HookedTrainer",
    "keep_quantization_state",
    "layer_classes",
    "let_all_generate_alike",
    "norms",
    "tied_weights",
]


class HookedTrainer(Trainer):  # type: ignore[misc]
    """transformers' `Trainer`: a subclass overrides the hooks below, and no private name."""

    def save_due_checkpoint(self) -> None:
        """Save a checkpoint: the loop calls this when one is due."""
        raise NotImplementedError

    def load_weights(self, folder: str) -> None:
        """Load the weights of a checkpoint into the model."""
        super()._load_from_checkpoint(folder, self.model)

    def load_optimizer(self, folder: str) -> None:
        """Load the states of optimizer and schedule from a checkpoint."""
        super()._load_optimizer_and_scheduler(folder)

    def gradient_norm(self, norm: Any) -> Any:
        """Return the norm of all gradients to log, given the one that the library computed."""
        return norm

    @property
    def unlogged_loss(self) -> tuple[float, int]:
        """The sum of the losses since the last line of the log, and the number of steps."""
        return float(self._tr_loss), self.state.global_step - self._globalstep_last_logged

    def set_unlogged_loss(self, loss: float, steps: int) -> None:
        """Restore `unlogged_loss`; must be called when the loop begins."""
        self._tr_loss.fill_(loss)
        self._globalstep_last_logged = self.state.global_step - steps

    def save_optimizer(self, folder: Path) -> None:
        """Write the states of optimizer and schedule into a checkpoint."""
        self._save_optimizer_and_scheduler(str(folder))

    def save_scaler_and_random_state(self, folder: Path) -> None:
        """Write the loss scaler's and the random generators' states into a checkpoint."""
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_due_checkpoint()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_weights(resume_from_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.load_optimizer(checkpoint)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        return self.gradient_norm(super()._get_grad_norm(model, grad_norm))


def norms(tensors: Sequence[Any]) -> list[Any]:
    """Return the L2 norm of each tensor in float32, with one kernel where the device has it."""
    return list(torch._foreach_norm(list(tensors), 2, dtype=torch.float32))


def layer_classes(model: Any) -> set[str]:
    """Return the names of a model's layer classes, whose layers must not be divided."""
    return set(model._no_split_modules or ())


def let_all_generate_alike(model: Any) -> None:
    """Make each process generate until all can stop: with a divided model, each needs the others' parts."""
    model._is_fsdp_managed_module = True


def tied_weights(model: Any) -> Iterable[str]:
    """Return the names of weights that are tied to another weight, and are not saved."""
    return getattr(model, "all_tied_weights_keys", None) or ()


def keep_quantization_state(module: Any) -> None:
    """Store the quantization state of a bitsandbytes layer at the layer, for a weight that has lost it.

    A weight that is gathered from several devices has lost it; the library then looks at the layer.
    """
    if hasattr(getattr(module, "weight", None), "quant_state"):
        module.quant_state = module.weight.quant_state
