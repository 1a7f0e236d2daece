"""Count the bytes of tensors from creation to deletion, also of fake ones, which hold no numbers."""

from __future__ import annotations

import weakref
from typing import Any

from llm_summ.core.compat.torch import dispatch_mode, fake_device_lookup, tree_leaves

__all__ = ["count_tensor_bytes"]


def count_tensor_bytes(model: Any, wide: set[int]) -> Any:
    """Return a context that counts the bytes of tensors.

    Args:
        model: its own tensors and their gradients do not count.
        wide: widths of tensors that are counted separately as well.

    Returns:
        the context, with these counts: `now`, the bytes of current tensors, and `wide`, those of wide ones;
        `peak`, the largest `now`, and `wide_at_peak`; and, at the time of `keep()`, without wide ones: `kept`, the
        bytes of current tensors, and `passing`, those of tensors that were made before and deleted.
    """
    import torch

    leaves, fake_device = tree_leaves(), fake_device_lookup()

    class Counter(dispatch_mode()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            tensors = [*model.parameters(), *model.buffers()]
            tensors += [p.grad for p in model.parameters() if p.grad is not None]
            # References to the storages, so that none is deleted and its id reused.
            self._own = [tensor.untyped_storage() for tensor in tensors]
            self._known = {id(storage) for storage in self._own}
            self.now = self.wide = self.peak = self.wide_at_peak = 0
            self.made = self.kept = self.passing = 0

        def keep(self) -> None:
            self.kept = self.now - self.wide
            self.passing = self.made - self.kept

        def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            if (device := fake_device(func, args)) is not None:
                return device
            result = func(*args, **(kwargs or {}))
            for tensor in (result,) if isinstance(result, torch.Tensor) else leaves(result):
                if isinstance(tensor, torch.Tensor):
                    self._add(tensor)
            return result

        def _add(self, tensor: Any) -> None:
            storage = tensor.untyped_storage()
            key = id(storage)
            if key in self._known:
                return
            size = storage.nbytes()
            wide_size = size if tensor.ndim and tensor.shape[-1] in wide else 0
            self._known.add(key)
            self.made += size - wide_size
            self._change(size, wide_size)

            def deleted() -> None:
                self._known.discard(key)
                self._change(-size, -wide_size)

            weakref.finalize(storage, deleted).atexit = False

        def _change(self, size: int, wide_size: int) -> None:
            self.now += size
            self.wide += wide_size
            if self.now > self.peak:
                self.peak, self.wide_at_peak = self.now, self.wide

    return Counter()
