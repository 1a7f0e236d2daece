"""Gemma's tokenizer from a GGUF file's metadata, as the files that transformers loads.

The file has the vocabulary, and no merges: they follow from it. A token is merged from every two tokens that
make it up, tokens with lower ids first, and of one token the longest left part first.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_summ.core.compat.transformers import NO_MAXIMUM_LENGTH
from llm_summ.core.errors import ModelError
from llm_summ.core.files import write_json
from llm_summ.models.gguf.read import GgufFile

__all__ = ["build_tokenizer", "derive_merges", "named_tokens", "save_tokenizer"]

_SPACE = "\u2581"  # how a space is spelled in the vocabulary
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens in the file
_ROLES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
_MASK = "<mask>"  # a role that the file does not know


def build_tokenizer(file: GgufFile) -> Any:
    """Build the tokenizer (a `tokenizers.Tokenizer`) that the file describes.

    Raises:
        ModelError: the file lacks a part of its tokenizer.
    """
    import numpy as np
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokens = file.value("tokenizer.ggml.tokens", list)
    kinds = file.value("tokenizer.ggml.token_type", np.ndarray).tolist()
    if len(kinds) != len(tokens):
        raise ModelError(f"{file.label}: {len(tokens)} tokens and {len(kinds)} types of tokens; expected as many")
    roles = named_tokens(file)
    with _no_collection():
        vocabulary = {_spelled(token): index for index, token in enumerate(tokens)}
        if len(vocabulary) != len(tokens):
            raise ModelError(f"{file.label}: a token is there twice; expected {len(tokens)} different ones")
        tokenizer: Any = Tokenizer(
            models.BPE(
                vocab=vocabulary,
                merges=derive_merges(vocabulary),
                unk_token=roles["unk_token"][1],
                fuse_unk=True,
                byte_fallback=True,
            )
        )
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    # Control tokens stay whole in a text, and so do those that the file calls user-defined.
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [token for token, own in zip(tokens, kinds, strict=True) if own == kind and token in vocabulary]
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=special) for token in added])
    bos_id, bos = roles["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0",
        pair=f"{bos}:0 $A:0 {bos}:1 $B:1",
        special_tokens=[(bos, bos_id)],
    )
    return tokenizer


def derive_merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return the merges of a byte-pair encoding that make all tokens of a vocabulary, first those that go first.

    Args:
        vocabulary: ids of the tokens, in ascending order.
    """
    return [
        (left, right)
        for token in vocabulary
        for cut in range(len(token) - 1, 0, -1)
        if (left := token[:cut]) in vocabulary and (right := token[cut:]) in vocabulary
    ]


def save_tokenizer(file: GgufFile, tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer and its configuration into a folder, as transformers does."""
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {role: token for role, (_, token) in named_tokens(file).items()}
    configuration = {
        "backend": "tokenizers",
        "is_local": True,
        "local_files_only": False,
        "mask_token": _MASK,
        "model_max_length": NO_MAXIMUM_LENGTH,
        "tokenizer_class": "GemmaTokenizer",
        **roles,
    }
    write_json(folder / "tokenizer_config.json", dict(sorted(configuration.items())))


def named_tokens(file: GgufFile) -> dict[str, tuple[int, str]]:
    """Return id and text of the tokens that have a role, by transformers' names of the roles.

    Raises:
        ModelError: a role has no token.
    """
    tokens = file.value("tokenizer.ggml.tokens", list)
    found = {}
    for role, name in _ROLES.items():
        token_id = file.value(f"tokenizer.ggml.{name}_token_id", int)
        if token_id >= len(tokens):
            raise ModelError(f"{file.label}: its {role} is token {token_id}, expected one of {len(tokens)}")
        found[role] = (token_id, tokens[token_id])
    return found


def _spelled(token: str) -> str:
    """Return how the vocabulary spells a token: one of two or more spaces is stored with real spaces."""
    return _SPACE * len(token) if " " in token and not token.strip() else token


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for cycles in the half a million pairs; there are none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
