"""Counts the bytes of tensors while they live, also of those that hold no numbers."""

from __future__ import annotations

import weakref
from typing import Any

from llm_summ.core.compat.torch import dispatch_mode, fake_device_lookup, tree_leaves

__all__ = ["count_tensor_bytes"]


def count_tensor_bytes(model: Any, wide: set[int]) -> Any:
    """A context in which the bytes of living tensors are counted.

    Args:
        model: its own tensors and their gradients do not count.
        wide: widths of tensors that are counted apart as well.

    Returns:
        the context, with these counts: `now`, the bytes that live, and `wide`, the wide ones among them; `peak`,
        the most that ever lived, and `wide_at_peak`; and, of the moment of its `keep()`, without wide ones:
        `kept`, what lived then, and `passing`, what had been made and did not live any more.
    """
    import torch

    leaves, fake_device = tree_leaves(), fake_device_lookup()

    class Counter(dispatch_mode()):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            tensors = [*model.parameters(), *model.buffers()]
            tensors += [p.grad for p in model.parameters() if p.grad is not None]
            # The storages themselves, so that none of them goes and its id is given to another.
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
            apart = size if tensor.ndim and tensor.shape[-1] in wide else 0
            self._known.add(key)
            self.made += size - apart
            self._change(size, apart)

            def gone() -> None:
                self._known.discard(key)
                self._change(-size, -apart)

            weakref.finalize(storage, gone).atexit = False

        def _change(self, size: int, apart: int) -> None:
            self.now += size
            self.wide += apart
            if self.now > self.peak:
                self.peak, self.wide_at_peak = self.now, self.wide

    return Counter()
