"""Tokens that a recipe adds to a base (`model.add_tokens`): ``#Person1#`` is then one token instead of five."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_summ.core.errors import ModelError
from llm_summ.recipe import ModelFields

__all__ = ["extend_tokenizer", "extend_weights"]


def extend_tokenizer(model: ModelFields, tokenizer: Any) -> None:
    """Add a recipe's tokens to a tokenizer that lacks them.

    They are not special: a dialogue's ``#Person1#`` becomes the token, and it stays in the text of a summary.

    Raises:
        ModelError: the tokenizer cannot add a token.
    """
    known = tokenizer.get_vocab()
    new = [token for token in model.add_tokens if token not in known]
    if new and tokenizer.add_tokens(new) < len(set(new)):
        raise ModelError(f"model.add_tokens: the tokenizer of {model.base} does not take {', '.join(new)}")


def extend_weights(model: ModelFields, base: Any, tokenizer: Any) -> None:
    """Add rows for the added tokens to a base's table of embeddings and its head.

    Each row begins as the mean of the rows of the tokens that its text consisted of (Hewitt 2021,
    https://nlp.stanford.edu/~johnhew/vocab-expansion.html).

    Args:
        model: names the tokens.
        base: the model; it is changed.
        tokenizer: the base's; it gets the tokens.
    """
    import torch

    known = tokenizer.get_vocab()
    pieces = {
        token: tokenizer.encode(token, add_special_tokens=False)
        for token in model.add_tokens
        if token not in known
    }
    if not pieces:
        return
    extend_tokenizer(model, tokenizer)
    ids = [int(token) for token in tokenizer.convert_tokens_to_ids(list(pieces))]
    if base.get_input_embeddings().weight is not base.get_output_embeddings().weight:
        # transformers takes every T5 for tied until it has read the weights; resizing would tie the head again.
        base.config.tie_word_embeddings = False
    if max(ids) >= base.get_input_embeddings().num_embeddings:
        base.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    tables: Sequence[Any] = [base.get_input_embeddings().weight, base.get_output_embeddings().weight]
    with torch.no_grad():
        for of_token, row in zip(pieces.values(), ids, strict=True):
            for table in tables[: 1 if tables[0] is tables[1] else 2]:
                table[row] = table[of_token].float().mean(0).to(table.dtype)
