"""Build Gemma's tokenizer from a GGUF file's metadata, and write the files that transformers loads.

The file has the vocabulary but no merges, which follow from it. Every pair of tokens that form a token is a merge.
Merges are ordered by the id of the token that they form, and those of one token by the length of the left part,
the longest first.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_summ.core.compat.transformers import NO_MAXIMUM_LENGTH
from llm_summ.core.files import write_json
from llm_summ.models.gguf.read import GgufFile

__all__ = ["build_tokenizer", "derive_merges", "named_tokens", "save_tokenizer"]

_SPACE = "\u2581"  # how a space is spelled in the vocabulary
_CONTROL, _USER_DEFINED = 3, 4  # types of tokens in the file
_ROLES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
_MASK = "<mask>"  # a role that the file does not have


def build_tokenizer(file: GgufFile) -> Any:
    """Build the tokenizer (a `tokenizers.Tokenizer`) that the file describes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokens = file.metadata["tokenizer.ggml.tokens"]
    kinds = file.metadata["tokenizer.ggml.token_type"].tolist()
    roles = named_tokens(file)
    with _no_collection():
        vocabulary = {_spelled(token): index for index, token in enumerate(tokens)}
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
    # Control tokens and user-defined tokens are never split.
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            token
            for token, token_kind in zip(tokens, kinds, strict=True)
            if token_kind == kind and token in vocabulary
        ]
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=special) for token in added])
    bos_id, bos = roles["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos}:0 $A:0",
        pair=f"{bos}:0 $A:0 {bos}:1 $B:1",
        special_tokens=[(bos, bos_id)],
    )
    return tokenizer


def derive_merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return the merges of a byte-pair encoding that make all tokens of a vocabulary, in order of precedence.

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
    """Return id and text of the tokens that have a role, by transformers' names of the roles."""
    tokens = file.metadata["tokenizer.ggml.tokens"]
    ids = {role: file.metadata[f"tokenizer.ggml.{name}_token_id"] for role, name in _ROLES.items()}
    return {role: (token_id, tokens[token_id]) for role, token_id in ids.items()}


def _spelled(token: str) -> str:
    """Return the vocabulary's spelling of a token: the file stores tokens of two or more spaces as real spaces."""
    return _SPACE * len(token) if " " in token and not token.strip() else token


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector from searching half a million pairs for cycles; there are none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
