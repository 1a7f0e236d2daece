"""What a base's tokenizer does to the data: letters that it loses, ids that the model does not have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from llm_summ.core.errors import first_line, listed
from llm_summ.models.base import model_file
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.families import find_family
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import ModelFields

__all__ = ["beyond_the_context", "token_findings", "unknown_ids"]

_LOOKED_AT = 2000  # texts at most, evenly spaced: to encode and decode more takes as long as rendering
_COMPARED = 100  # texts whose ids are compared with those of tokenizer.json
_LOST_SHARE = 0.005  # of all Hangul letters: more is no rare letter, but another tokenizer
_NOT_HANGUL = re.compile("[^\uac00-\ud7a3\u1100-\u11ff]")  # the second are what NFKC makes of single letters


def token_findings(model: ModelFields, location: str, tokenizer: Any, texts: Iterable[str]) -> list[BaseFinding]:
    """Return what is wrong with a tokenizer, as the texts of the data show it.

    Args:
        model: the recipe's fields.
        location: of the base, from `base_location`.
        tokenizer: of transformers, as it was loaded.
        texts: dialogues and summaries; of many, some.
    """
    texts = list(dict.fromkeys(texts))
    texts = texts[:: len(texts) // _LOOKED_AT + 1]
    return [*_lost(model, tokenizer, texts), *_other_ids(model, location, tokenizer, texts[:_COMPARED])]


def unknown_ids(
    base: str, facts: BaseFacts, tokenizer: Any, rows: Iterable[TokenizedExample]
) -> list[BaseFinding]:
    """Return ids for which the model has no row in its table of embeddings.

    Args:
        base: as the recipe names it.
        facts: of the base.
        tokenizer: of transformers.
        rows: for a training or a generation.
    """
    size = facts.vocabulary
    if size is None:
        return []
    unknown: set[int] = set()
    ids: list[str] = []
    for row in rows:
        beyond = {token for token in (*row.prompt_ids, *row.completion_ids, row.stop_id) if token >= size}
        if beyond:
            unknown |= beyond
            ids.append(row.id)
    if not unknown:
        return []
    names = [f"{tokenizer.convert_ids_to_tokens(token)!r} ({token})" for token in sorted(unknown)]
    return [
        BaseFinding(
            "unknown-ids",
            f"model.base: {base}: its tokenizer gives {listed(names, 3)} in {listed(ids, 3)}, and the "
            f"model has {size} tokens; take tokenizer and weights of one repository, or enlarge the embeddings "
            "for the tokens that were added",
        )
    ]


def beyond_the_context(
    where: str, base: str, facts: BaseFacts, rows: Iterable[TokenizedExample], new: int
) -> list[BaseFinding]:
    """Return rows that are longer than what the model can read.

    Args:
        where: names the rows: a part of the recipe's data, or a file.
        base: as the recipe names it.
        facts: of the base.
        rows: for a training or a generation.
        new: tokens that come after each row's; 1, the stop token, after a training row's.
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
    """Hangul that is not there any more when a text was encoded and decoded."""
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
    what = (
        "another class of tokenizer than its file was made for, most likely: see tokenizer_class in "
        "tokenizer_config.json"
        if refuses
        else "a model cannot write them"
    )
    return [
        BaseFinding(
            "lost-letters",
            f"model.base: {model.base}: its tokenizer loses {lost} of {total} Hangul letters, such as "
            f"{example}; {what}",
            refuses,
        )
    ]


def _hangul(text: str) -> str:
    return _NOT_HANGUL.sub("", unicodedata.normalize("NFKC", text))


def _first_difference(text: str, back: str) -> str:
    """The first word that comes back as another, and what it comes back as."""
    for word, other in zip(text.split(), [*back.split(), *[""] * len(text.split())], strict=False):
        if _hangul(word) != _hangul(other):
            return f"{word[:20]!r} -> {other[:20]!r}"
    return repr(text[:20])


def _other_ids(model: ModelFields, location: str, tokenizer: Any, texts: Sequence[str]) -> list[BaseFinding]:
    """Ids that differ from those of tokenizer.json, which is what the model was pretrained with."""
    # The embedded model's file was written by this package, and is 33 MB.
    path = None if model.base.startswith("embedded:") else model_file(model, location, "tokenizer.json")
    if path is None or not texts:
        return []
    from tokenizers import Tokenizer

    try:
        own = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  the library raises Exception itself
        return [
            BaseFinding(
                "tokenizer-broken",
                f"model.base: {model.base}: tokenizer.json cannot be read ({first_line(error)}); get it again",
            )
        ]
    own.no_truncation()
    own.no_padding()
    found = tokenizer(list(texts), add_special_tokens=False).input_ids
    for text, ids in zip(texts, found, strict=True):
        expected = own.encode(text, add_special_tokens=False).ids
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
