"""What the model is given of a micro batch, and what of its completion is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.render import IGNORED

__all__ = ["head_on", "packed", "padded"]


def padded(rows: Sequence[TokenizedExample], pad_id: int, device: Any) -> tuple[dict[str, Any], Any]:
    """Model inputs and labels of shape (b, s), padded on the right.

    Args:
        rows: of the micro batch; at least one.
        pad_id: is masked out.
        device: where the tensors are to be.
    """
    longest = max(map(len, rows))
    spare = [longest - len(row) for row in rows]
    ids = [row.input_ids + [pad_id] * more for row, more in zip(rows, spare, strict=True)]
    mask = [[1] * len(row) + [0] * more for row, more in zip(rows, spare, strict=True)]
    labels = [row.labels + [IGNORED] * more for row, more in zip(rows, spare, strict=True)]
    inputs = {"input_ids": _tensor(ids, device), "attention_mask": _tensor(mask, device)}
    return inputs, _tensor(labels, device)


def packed(rows: Sequence[TokenizedExample], device: Any) -> tuple[dict[str, Any], Any]:
    """Model inputs and labels of shape (1, s), one row after the other.

    Without an attention mask, the library keeps a token from seeing what stands before the place where the
    positions begin at 0 again. No row's first token is a target, so no label depends on the row before it.

    Args:
        rows: of the micro batch; at least one.
        device: where the tensors are to be.
    """
    ids = [token for row in rows for token in row.input_ids]
    positions = [place for row in rows for place in range(len(row))]
    labels = [label for row in rows for label in row.labels]
    inputs = {"input_ids": _tensor([ids], device), "position_ids": _tensor([positions], device)}
    return inputs, _tensor([labels], device)


def _tensor(lists: list[list[int]], device: Any) -> Any:
    return torch.tensor(lists, device=device)


@contextmanager
def head_on(head: Any, is_target: Any) -> Iterator[None]:
    """Have the model's head see the states (n, h) before the n target tokens alone; `is_target` is (b, s - 1)."""
    hook = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][:, :-1][is_target],))
    try:
        yield
    finally:
        hook.remove()
