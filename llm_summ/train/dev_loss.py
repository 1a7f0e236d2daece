"""The loss of the references of dev, computed from the prompt states that generation needs anyway.

An evaluation needs each prompt once for its summary and again for each of its references. With three references of
50 tokens and prompts of 300, three quarters of the tokens would be prompts that were computed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_summ.generate.prompt_states import PromptStates, positions
from llm_summ.models.families import family_of_config
from llm_summ.prompt import TokenizedExample

__all__ = ["DevLoss"]

_TARGETS_AT_ONCE = 256
"""Tokens whose logits are in memory at one time: 256 MiB with a vocabulary of 262,144 in float32."""


class DevLoss:
    """The mean cross entropy of the references' tokens, stop tokens included, over all processes.

    Args:
        trainer: holds the model.
        prompts: of the dialogues, shape (d,).
        completions: for each dialogue its prompt with every reference.
    """

    def __init__(
        self, trainer: Any, prompts: Sequence[TokenizedExample], completions: Sequence[Sequence[TokenizedExample]]
    ) -> None:
        self._trainer, self._prompts, self._completions = trainer, prompts, completions
        from llm_summ.generate.growing_cache import can_be_split

        model = trainer.accelerator.unwrap_model(trainer.model)
        extends = family_of_config(model.config).extends_prompt_states
        self.shares_prompts = extends and not trainer.is_sharded and can_be_split(model)
        """Whether prompt states can be reused: whether `add` is to be called with them."""
        self._share: Sequence[int] = ()
        self._sums: dict[int, float] = {}

    def of_share(self, share: Sequence[int]) -> None:
        """Start again with this process's prompts; `share` has their indexes."""
        self._share = share
        self._sums = {}

    def add(self, states: PromptStates) -> None:
        """Add the references of a batch of prompts whose states are computed.

        Args:
            states: their `indexes` count the prompts of the share.
        """
        rows = []
        for position, index in enumerate(states.indexes):
            dialogue = self._share[index]
            # If the prompt names a length, each reference has a prompt with its own length.
            completions = self._completions[dialogue]
            if all(row.prompt_ids == self._prompts[dialogue].prompt_ids for row in completions):
                self._sums[dialogue] = 0.0
                rows += [(position, dialogue, row) for row in completions]
        rows.sort(key=lambda row: row[2].target_tokens)
        while rows:
            count = max(1, _TARGETS_AT_ONCE // rows[-1][2].target_tokens)
            rows, part = rows[:-count], rows[-count:]
            losses = self._losses(states, [position for position, _, _ in part], [row for _, _, row in part])
            for (_, dialogue, _), loss in zip(part, losses, strict=True):
                self._sums[dialogue] += loss

    def _losses(
        self, states: PromptStates, batch_indexes: Sequence[int], rows: Sequence[TokenizedExample]
    ) -> list[float]:
        """Return the summed cross entropy of each completion, continued from the states of its prompt."""
        import torch
        from torch.nn import functional

        model = self._trainer.model
        device, longest = states.ids.device, max(row.target_tokens for row in rows)
        targets = torch.zeros((len(rows), longest), dtype=torch.long)
        real = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            targets[index, : row.target_tokens] = torch.tensor([*row.completion_ids, row.stop_id])
            real[index, : row.target_tokens] = 1
        targets, real = targets.to(device), real.to(device)
        before = states.mask[list(batch_indexes)]
        # The inputs: the prompt's last token, then the completion without its stop token.
        ids = torch.cat([states.ids[list(batch_indexes)][:, -1:], targets[:, :-1]], 1)
        mask = torch.cat([before, real[:, 1:]], 1)
        chosen = real.bool()
        head = model.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][chosen],))
        try:
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions(mask)[:, -longest:],
                past_key_values=states.rows(batch_indexes),
                use_cache=True,
            ).logits  # (n, v)
        finally:
            hook.remove()
        losses = functional.cross_entropy(logits.float(), targets[chosen], reduction="none")
        return [float(part.sum()) for part in losses.split(real.sum(1).tolist())]

    def mean(self) -> float:
        """Return the mean over the tokens of all references; every process has to call it."""
        sums: dict[int, float] = {}
        for others in self._trainer.processes.gather(self._sums):
            sums |= others
        rest = [row for index, rows in enumerate(self._completions) if index not in sums for row in rows]
        total = sum(sums.values())
        if rest:
            total += self._trainer.mean_loss(rest) * sum(row.target_tokens for row in rest)
        return total / sum(row.target_tokens for rows in self._completions for row in rows)
