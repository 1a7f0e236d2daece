"""tokenizers: ids without offsets, and a copy of a tokenizer in which one more token is special."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["encode_ids", "fast_backend", "with_special_token"]


def fast_backend(tokenizer: Any) -> Any | None:
    """Return the Rust tokenizer behind a tokenizer of transformers; None if it has none.

    transformers' own methods make an object of masks and types for every text, which takes half of the time.

    Args:
        tokenizer: of transformers.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend if hasattr(backend, "encode_batch_fast") else None


def encode_ids(backend: Any, text: str, *, special_tokens: bool) -> list[int]:
    """Return the ids of a text.

    `encode_batch_fast` is the only method that leaves out offsets, which take a third of the time. The settings
    belong to the backend, and its last user may have changed them.

    Args:
        backend: from `fast_backend`.
        text: what to encode; nothing is added to it.
        special_tokens: whether the text of a special token is that token, or is encoded like any other text.
    """
    backend.encode_special_tokens = not special_tokens
    backend.no_truncation()
    backend.no_padding()
    [encoding] = backend.encode_batch_fast([text], add_special_tokens=False)
    return list(encoding.ids)


def with_special_token(backend: Any, token_id: int) -> Any:
    """Return a copy of a backend in which an added token is special; the backend itself is not changed.

    `encode_special_tokens` treats special tokens as text, and an added token cannot be made special later. So the
    copy is made from the backend's own JSON, whose fields are not documented. Without it a dialogue could end its
    own prompt by containing the stop token.
    """
    state = json.loads(backend.to_str())
    for added in state["added_tokens"]:
        added["special"] |= added["id"] == token_id
    return type(backend).from_str(json.dumps(state))
