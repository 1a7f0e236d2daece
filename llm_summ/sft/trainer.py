"""TRL's SFTTrainer, with a loss that does no work for tokens that are not learnt."""

from __future__ import annotations

from typing import Any

from torch.nn import functional
from trl import SFTTrainer

from llm_summ.prompt.render import IGNORED

__all__ = ["AnswerLossTrainer"]


class AnswerLossTrainer(SFTTrainer):  # type: ignore[misc]
    """Projects onto the vocabulary only where there is a label.

    Without Triton (on a CPU) TRL scores every position of the prompt as well, and throws the result away:
    seven eighths of the work of a vocabulary of 262,144, which is more than half of a step. Here the
    model's own head is asked for the learnt positions alone (`logits_to_keep`). On a GPU, TRL's own fused
    head does the same, and is used.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean cross entropy of the learnt tokens of the whole batch.

        Args:
            model: the model with its adapter.
            inputs: `input_ids`, `attention_mask` and `labels`, each of shape (b, s).
            return_outputs: whether logits are wanted; then TRL computes the loss.
            num_items_in_batch: learnt tokens of all micro batches of this optimizer step.
        """
        if return_outputs or inputs["input_ids"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"]
        # (k,): positions whose next token is learnt in any row of the micro batch
        positions = (labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(-1)
        logits = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=positions,
        ).logits  # (b, k, v)
        targets = labels[:, positions + 1]
        learnt = targets != IGNORED
        total = functional.cross_entropy(logits[learnt].float(), targets[learnt], reduction="sum")
        mode = "train" if model.training else "eval"
        self._total_train_tokens += int(inputs["attention_mask"].sum()) if model.training else 0
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        return total / (learnt.sum() if num_items_in_batch is None else num_items_in_batch)
