"""Key-value cache with room to grow: the library's cache copies all keys and values for every added token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import EncoderDecoderCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from llm_summ.models.beam_cache import empty_cache
from llm_summ.models.families import family_of_config

__all__ = ["can_be_split", "growing_cache", "join_rows", "keep_rows"]

_ROOM = 64
"""Free positions that are allocated at a time; everything is copied when they are full."""


def can_be_split(model: Any) -> bool:
    """Return whether rows of a model's cache can be selected, that is, whether it holds only keys and values.

    Not every version of the library can select rows of recurrent states (Mamba, linear attention).
    """
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in empty_cache(model).layers)


def growing_cache(model: Any) -> Any:
    """Return an empty cache for a model for which `can_be_split` holds."""
    cache = empty_cache(model)
    cache.layers = [
        _SlidingLayer(layer.sliding_window) if isinstance(layer, DynamicSlidingWindowLayer) else _Layer()
        for layer in cache.layers
    ]
    return family_of_config(model.config).cache(cache, empty_cache(model))


def keep_rows(cache: Any, places: Any) -> None:
    """Keep only some rows of a cache from `growing_cache`.

    Args:
        cache: is changed.
        places: the indexes of the rows, a tensor.
    """
    both = isinstance(cache, EncoderDecoderCache)
    for part in (cache.self_attention_cache, cache.cross_attention_cache) if both else (cache,):
        part.batch_select_indices(places)


def join_rows(cache: Any, others: Sequence[Any], length: int) -> None:
    """Add the rows of other caches; all are from `growing_cache`, of one causal language model.

    Args:
        cache: is changed.
        others: are changed, too.
        length: tokens of all caches afterwards: shorter ones get padding on the left, and what longer ones have
            beyond it on the left is dropped. It must be padding of every row.
    """
    import torch

    for layer, *more in zip(cache.layers, *(other.layers for other in others), strict=True):
        if not layer.is_initialized:  # layers that share the keys and values of others
            continue
        layer.keys = torch.cat([_left_padded(one, one.keys, length) for one in (layer, *more)])
        layer.values = torch.cat([_left_padded(one, one.values, length) for one in (layer, *more)])
        if layer.is_sliding:
            layer.cumulative_length = length


def _left_padded(layer: Any, states: Any, length: int) -> Any:
    """Return states for so many tokens; a sliding layer has at most those of its window."""
    import torch

    wanted = min(length, layer.sliding_window - 1) if layer.is_sliding else length
    missing = wanted - states.shape[-2]
    if missing <= 0:
        return states[..., -missing:, :]
    padding = states.new_zeros(*states.shape[:-2], missing, states.shape[-1])
    return torch.cat([padding, states], -2)


class _Room:
    """A tensor with spare room behind its content."""

    def __init__(self) -> None:
        self._tensor: Any = None
        self._end = 0

    def extend(self, held: Any, new: Any) -> Any:
        """Return both as one tensor of shape (b, g, n + m, d).

        Args:
            held: the tensor that this method returned last, or its last tokens (neither is copied while there
                is room), or another tensor; shape (b, g, n, d).
            new: shape (b, g, m, d).
        """
        count = held.shape[-2] if held.numel() else 0
        more = new.shape[-2]
        if not self._ends_with(held, count) or self._end + more > self._tensor.shape[-2]:
            self._tensor = new.new_empty(*new.shape[:-2], count + more + _ROOM, new.shape[-1])
            if count:
                self._tensor[..., :count, :] = held
            self._end = count
        self._end += more
        self._tensor[..., self._end - more : self._end, :] = new
        return self._tensor[..., self._end - more - count : self._end, :]

    def _ends_with(self, held: Any, count: int) -> bool:
        if self._tensor is None or not count or held.shape[0] != self._tensor.shape[0]:
            return False
        tail = self._tensor[..., self._end - count : self._end, :]
        return bool(tail.data_ptr() == held.data_ptr() and tail.stride() == held.stride())


class _Layer(DynamicLayer):  # type: ignore[misc]
    """A layer that keeps all tokens."""

    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self._rooms = _Room(), _Room()

    def __copy__(self) -> Any:
        """Return a layer with the same states and buffers of its own."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._rooms = _Room(), _Room()
        return copied

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Add states of shape (b, g, m, d), and return all that a query may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = (
            room.extend(held, new)
            for room, held, new in zip(
                self._rooms, (self.keys, self.values), (key_states, value_states), strict=True
            )
        )
        self.keys, self.values = keys, values
        return keys, values


class _SlidingLayer(_Layer, DynamicSlidingWindowLayer):  # type: ignore[misc]
    """A layer that keeps only the tokens of the sliding window."""

    def __init__(self, sliding_window: int) -> None:
        DynamicSlidingWindowLayer.__init__(self, sliding_window)
        self._rooms = _Room(), _Room()

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Add states of shape (b, g, m, d), and return all that a query may see."""
        keys, values = super().update(key_states, value_states)
        self.cumulative_length += key_states.shape[-2]
        if not self.record_past:
            self.keys = keys[..., -self.sliding_window + 1 :, :]
            self.values = values[..., -self.sliding_window + 1 :, :]
        return keys, values
