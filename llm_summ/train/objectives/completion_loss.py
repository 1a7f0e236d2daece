"""The cross entropy of the reference summaries: supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_summ.models.families import ModelFamily
from llm_summ.models.families.causal import IGNORED
from llm_summ.models.without_adapter import without_adapter
from llm_summ.prompt import TokenizedExample

if TYPE_CHECKING:
    from llm_summ.train.objectives import ObjectiveInputs

__all__ = ["CompletionLoss", "sft"]


def sft(inputs: ObjectiveInputs) -> CompletionLoss:
    """Return the objective `sft` of a recipe."""
    return CompletionLoss(
        inputs.examples,
        inputs.family,
        pad_id=inputs.pad_id,
        device=inputs.device,
        packing=inputs.fields.packing,
        label_smoothing=inputs.fields.label_smoothing,
        sharded=inputs.sharded,
    )


class CompletionLoss:
    """The cross entropy of completions and their stop tokens; an example's weight is the number of these tokens.

    Without Triton (on a CPU) TRL also computes the logits of every position of the prompt, and discards them. With
    a vocabulary of 262,144 that is seven eighths of the head's work, which is more than half of a step. Here the
    model's own head gets the hidden states of target positions only. On a GPU, TRL's fused head does the same, and
    is used.

    Args:
        examples: the training rows.
        family: of the base.
        pad_id: fills shorter rows.
        device: a torch device, of the model.
        packing: whether the rows of a micro batch are concatenated instead of padded.
        label_smoothing: the share of a target's probability that is spread over the vocabulary, in training.
        sharded: whether each process holds a part of the base; then the fused head is not used.
    """

    def __init__(
        self,
        examples: Sequence[TokenizedExample],
        family: ModelFamily,
        *,
        pad_id: int,
        device: Any,
        packing: bool = False,
        label_smoothing: float = 0.0,
        sharded: bool = False,
    ) -> None:
        self.examples = examples
        self._family, self._pad_id, self._device, self._packing = family, pad_id, device, packing
        self._label_smoothing = label_smoothing
        self._has_fused_head = device.type != "cpu" and not sharded and family.has_fused_head

    def length(self, example: TokenizedExample) -> int:
        """Return the tokens of prompt, completion and stop id."""
        return len(example)

    def weight(self, example: TokenizedExample) -> float:
        """Return the number of target tokens."""
        return example.target_tokens

    def prepare(self, model: Any) -> None:
        """Add TRL's fused head where it is used."""
        if self._has_fused_head:
            from trl.trainer import add_fused_lm_head

            add_fused_lm_head(without_adapter(model))

    def loss(self, model: Any, examples: Sequence[TokenizedExample]) -> Any:
        """Return the cross entropy of all target tokens, summed."""
        inputs, labels = self._family.collate(examples, self._pad_id, self._device, packing=self._packing)
        return self.cross_entropy(model, inputs, labels)

    def log_fields(self) -> dict[str, float]:
        """Return an empty dictionary: the loss itself is logged anyway."""
        return {}

    def cross_entropy(self, model: Any, inputs: dict[str, Any], labels: Any) -> Any:
        """Return the cross entropy of the labels that are targets, summed; shape ().

        Args:
            model: any model of the family.
            inputs: of the model, as the family's `collate` returns them.
            labels: shape (b, s); of an encoder-decoder (b, t).
        """
        from torch.nn import functional

        smoothing = self._label_smoothing if model.training else 0.0
        if self._has_fused_head and not smoothing:
            return -model(**inputs, labels=labels, fused_lm_head=True, use_cache=False).log_probs.sum()
        targets = self._family.targets(labels)
        is_target = targets != IGNORED
        with self._head_on(model.get_output_embeddings(), is_target):
            logits = model(**inputs, use_cache=False).logits  # (n, v)
        return functional.cross_entropy(
            logits.float(), targets[is_target], reduction="sum", label_smoothing=smoothing
        )

    @contextmanager
    def _head_on(self, head: Any, is_target: Any) -> Iterator[None]:
        """Let the model's head see only the states (n, h) of target tokens; `is_target` is (b, t)."""
        hook = head.register_forward_pre_hook(
            lambda module, inputs: (self._family.target_states(inputs[0], is_target),)
        )
        try:
            yield
        finally:
            hook.remove()
