"""Keys and values of a batch of prompts, from which several texts can be continued."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_summ.models.cpu_decoding import own_states

__all__ = ["PromptStates", "padded_prompts", "positions"]


@dataclass(frozen=True, slots=True)
class PromptStates:
    """Keys and values of all tokens but the last of each prompt.

    Attributes:
        indexes: index of each row's request, shape (b,).
        cache: the library's; continuing from it changes it, so `rows` returns copies.
        ids: the prompts, padded on the left, shape (b, s).
        mask: 0 for padding, of the same shape.
    """

    indexes: Sequence[int]
    cache: Any
    ids: Any
    mask: Any

    @classmethod
    def compute(cls, model: Any, cache: Any, ids: Any, mask: Any, indexes: Sequence[int]) -> PromptStates:
        """Compute the states of prompts.

        Args:
            model: a causal language model.
            cache: an empty cache from `growing_cache`; it is filled.
            ids: shape (b, s), padded on the left; every prompt has at least two tokens.
            mask: 0 for padding, of the same shape.
            indexes: of the requests.
        """
        before = mask[:, :-1]
        # No logits are needed, and those of one position cost little.
        head = model.get_output_embeddings().register_forward_pre_hook(
            lambda module, states: (own_states(states[0][:, -1:]),)
        )
        try:
            model(
                input_ids=ids[:, :-1],
                attention_mask=before,
                position_ids=positions(before),
                past_key_values=cache,
                use_cache=True,
            )
        finally:
            head.remove()
        return cls(indexes, cache, ids, mask)

    def rows(self, places: Sequence[int]) -> Any:
        """Return a cache with the states of these rows, each as often as it is given; this cache is unchanged."""
        import torch

        chosen = copy.copy(self.cache)
        chosen.layers = [copy.copy(layer) for layer in self.cache.layers]
        chosen.batch_select_indices(torch.tensor(places, device=self.ids.device))  # makes new tensors
        return chosen


def padded_prompts(
    prompts: Sequence[Sequence[int]], pad_id: int, side: Literal["left", "right"] = "left"
) -> tuple[Any, Any]:
    """Return ids and attention mask of prompts, padded on one side; both of shape (b, s)."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        own = slice(longest - len(prompt), None) if side == "left" else slice(len(prompt))
        ids[row, own] = torch.tensor(prompt)
        mask[row, own] = 1
    return ids, mask


def positions(mask: Any) -> Any:
    """Return the position of every token in its row, not counting padding; shape (b, s)."""
    return (mask.cumsum(-1) - 1).clamp(min=0)
