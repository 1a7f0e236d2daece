"""python-mecab-ko: the surfaces of a text's morphemes, without the objects around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_summ.core.errors import InputError

__all__ = ["surfaces"]


def surfaces(analyser: Any, text: str) -> Sequence[str]:
    """Return the surface of each morpheme of a text.

    `morphs()` makes three objects for each morpheme and splits its feature string, only to return the surface;
    that is two thirds of its time. The lattice that it reads is not public. If it is missing, `morphs()` is used,
    with the same result.

    Args:
        analyser: a `mecab.MeCab`.
        text: without NUL.

    Raises:
        InputError: it cannot be analysed.
    """
    try:
        from mecab.utils import create_lattice

        tagger = analyser._tagger
    except (ImportError, AttributeError):
        morphemes: Sequence[str] = analyser.morphs(text)
        return morphemes
    lattice = create_lattice(text)
    if not tagger.parse(lattice):
        raise InputError(f"mecab-ko cannot analyse {text[:60]!r}: {tagger.what()}")
    return [node.surface for _, node in lattice]
