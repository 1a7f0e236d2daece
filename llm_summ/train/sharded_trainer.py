"""A trainer that saves and loads trained weights of which each process holds a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from llm_summ.core.compat.trainer import HookedTrainer
from llm_summ.train.shard import load_optimizer, load_weights, whole_state

__all__ = ["ShardedTrainer"]


class ShardedTrainer(HookedTrainer):
    """Gathers weights and optimizer state to save them; loads this process's part."""

    trains_parts = False
    """Whether each process holds a part of the trained weights; otherwise the library saves and loads them."""

    def whole_state(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return the weights and optimizer state to save, if the trained weights are sharded; else None, None.

        Every process has to call it. None means that the library can save them itself.
        """
        if not self.trains_parts:
            return None, None
        return whole_state(self.model, self._bare_optimizer)

    def load_weights(self, folder: str) -> None:
        """Load the weights of a checkpoint; if they are sharded, this process's part."""
        if not self.trains_parts:
            super().load_weights(folder)
        else:
            load_weights(self.model, Path(folder))

    def load_optimizer(self, folder: str) -> None:
        """Load the optimizer's state; if it is sharded, this process's part."""
        if not self.trains_parts:
            super().load_optimizer(folder)
        else:
            load_optimizer(self.model, self._bare_optimizer, Path(folder))
            self.lr_scheduler.load_state_dict(torch.load(Path(folder) / "scheduler.pt", weights_only=True))

    def gradient_norm(self, norm: Any) -> Any:
        """Return the norm over all parts of a sharded model."""
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    @property
    def _bare_optimizer(self) -> Any:
        """PyTorch's optimizer, without the library's wrapper."""
        return getattr(self.optimizer, "optimizer", self.optimizer)
