"""Check a base's tokenizer on the data: letters that it loses, ids that the model does not have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from llm_summ.core.errors import first_line, listed
from llm_summ.models.base import model_file, takes_its_file
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.families import find_family
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import ModelFields

__all__ = ["beyond_the_context", "token_findings", "unknown_ids"]

_CHECKED = 2000  # texts at most, evenly spaced: encoding and decoding more takes as long as rendering
_COMPARED = 100  # texts whose ids are compared with those of tokenizer.json
_LOST_SHARE = 0.005  # of all Hangul letters: a higher share is due to a wrong tokenizer, not to rare letters
_NOT_HANGUL = re.compile("[^\uac00-\ud7a3\u1100-\u11ff]")  # NFKC turns single letters into the second range


def token_findings(model: ModelFields, location: str, tokenizer: Any, texts: Iterable[str]) -> list[BaseFinding]:
    """Return the errors of a tokenizer that the texts of the data show.

    Args:
        model: the recipe's fields.
        location: of the base, from `base_location`.
        tokenizer: of transformers, as it was loaded.
        texts: dialogues and summaries; at most 2,000 of them are checked.
    """
    texts = list(dict.fromkeys(texts))
    texts = texts[:: len(texts) // _CHECKED + 1]
    return [
        *_lost(model, tokenizer, texts),
        *_other_ids(model, location, tokenizer, texts[:_COMPARED]),
        *_added(model, tokenizer),
    ]


def unknown_ids(
    model: ModelFields, facts: BaseFacts, tokenizer: Any, rows: Iterable[TokenizedExample]
) -> list[BaseFinding]:
    """Return a finding for ids that have no row in the model's table of embeddings.

    Args:
        model: the recipe's fields; the table will grow by its added tokens.
        facts: of the base.
        tokenizer: of transformers.
        rows: for a training or a generation.
    """
    size = facts.vocabulary
    if size is None:
        return []
    added = {int(token) for token in tokenizer.convert_tokens_to_ids(model.add_tokens)}
    unknown: set[int] = set()
    ids: list[str] = []
    for row in rows:
        beyond = {token for token in (*row.prompt_ids, *row.completion_ids, row.stop_id) if token >= size}
        if beyond := beyond - added:
            unknown |= beyond
            ids.append(row.id)
    if not unknown:
        return []
    names = [f"{tokenizer.convert_ids_to_tokens(token)!r} ({token})" for token in sorted(unknown)]
    return [
        BaseFinding(
            "unknown-ids",
            f"model.base: {model.base}: its tokenizer gives {listed(names, 3)} in {listed(ids, 3)}, and the "
            f"model has {size} tokens; use tokenizer and weights of the same repository, or enlarge the "
            "embeddings for the added tokens",
        )
    ]


def beyond_the_context(
    where: str, base: str, facts: BaseFacts, rows: Iterable[TokenizedExample], new: int
) -> list[BaseFinding]:
    """Return a finding for rows that are longer than the model's context.

    Args:
        where: the origin of the rows for the message: a part of the recipe's data, or a file.
        base: as the recipe names it.
        facts: of the base.
        rows: for a training or a generation.
        new: tokens that follow each row; 1, the stop token, for training rows.
    """
    limit, family = facts.context, find_family(facts)
    if limit is None or family is None:
        return []
    lengths = [(row.id, family.context_tokens(len(row.prompt_ids), len(row.completion_ids) + new)) for row in rows]
    over = [name for name, length in lengths if length > limit]
    if not over:
        return []
    with_new, lower = (f" with {new} new ones", "generate.max_new_tokens or ") if new > 1 else ("", "")
    return [
        BaseFinding(
            "context",
            f"{where}: {len(over)} rows of up to {max(length for _, length in lengths)} tokens{with_new}; {base} "
            f"takes {limit}; lower {lower}prompt.max_prompt_tokens ({listed(over)})",
        )
    ]


def _lost(model: ModelFields, tokenizer: Any, texts: Sequence[str]) -> list[BaseFinding]:
    """Return a finding if encoding and decoding a text loses Hangul."""
    encoded = tokenizer(list(texts), add_special_tokens=False).input_ids if texts else []
    decoded = tokenizer.batch_decode(encoded, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    lost = total = 0
    example = ""
    for text, back in zip(texts, decoded, strict=True):
        before, after = _hangul(text), _hangul(back)
        total += len(before)
        if before != after:
            lost += max(1, len(before) - len(after))
            example = example or _first_difference(text, back)
    if not lost:
        return []
    refuses = lost > _LOST_SHARE * total
    consequence = (
        "most likely the class of the tokenizer does not match its file: check tokenizer_class in "
        "tokenizer_config.json"
        if refuses
        else "the model cannot write them"
    )
    return [
        BaseFinding(
            "lost-letters",
            f"model.base: {model.base}: its tokenizer loses {lost} of {total} Hangul letters, such as "
            f"{example}; {consequence}",
            refuses,
        )
    ]


def _added(model: ModelFields, tokenizer: Any) -> list[BaseFinding]:
    """Return a note if a tokenizer changes the spaces around added tokens, as those with marks for words do."""
    for token in model.add_tokens:
        text = f"{token}은 {token}에게"
        ids = tokenizer(text, add_special_tokens=False).input_ids
        back = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).strip()
        if back != text:
            line = (
                f"model.add_tokens: the tokenizer of {model.base} turns {text!r} into {back!r}, in what is "
                "trained and in what is written; without the added tokens the spaces stay as they are"
            )
            return [BaseFinding("added-token-spaces", line, refuses=False)]
    return []


def _hangul(text: str) -> str:
    return _NOT_HANGUL.sub("", unicodedata.normalize("NFKC", text))


def _first_difference(text: str, back: str) -> str:
    """Return the first word that changes when it is encoded and decoded, and what it becomes."""
    for word, other in zip(text.split(), [*back.split(), *[""] * len(text.split())], strict=False):
        if _hangul(word) != _hangul(other):
            return f"{word[:20]!r} -> {other[:20]!r}"
    return repr(text[:20])


def _other_ids(model: ModelFields, location: str, tokenizer: Any, texts: Sequence[str]) -> list[BaseFinding]:
    """Return a finding if ids differ from those of tokenizer.json, which the model was pretrained with."""
    # The embedded model's file was written by this package, and is 33 MB.
    is_known = model.base.startswith("embedded:") or takes_its_file(tokenizer)
    path = None if is_known else model_file(model, location, "tokenizer.json")
    if path is None or not texts:
        return []
    from tokenizers import Tokenizer

    try:
        reference = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  the library raises Exception itself
        return [
            BaseFinding(
                "tokenizer-broken",
                f"model.base: {model.base}: tokenizer.json cannot be read ({first_line(error)}); "
                "download it again",
            )
        ]
    reference.no_truncation()
    reference.no_padding()
    reference.add_tokens(list(model.add_tokens))
    encoded = tokenizer(list(texts), add_special_tokens=False).input_ids
    for text, ids in zip(texts, encoded, strict=True):
        expected = reference.encode(text, add_special_tokens=False).ids
        if ids != expected:
            kind = type(tokenizer).__name__
            return [
                BaseFinding(
                    "other-ids",
                    f"model.base: {model.base}: {kind} gives other ids than tokenizer.json ({text[:20]!r}: "
                    f"{listed(list(map(str, ids)), 4)} instead of {listed(list(map(str, expected)), 4)}); in a "
                    "local copy, set tokenizer_class in tokenizer_config.json to PreTrainedTokenizerFast",
                )
            ]
    return []
