"""Scoring tokenizers whose names record every version that affects their output.

The competition counts mecab-ko surface morphemes::

    호킨스 의사는 매년 건강검진을 받는 것을 권장합니다.
    호킨스 의사 는 매년 건강 검진 을 받 는 것 을 권장 합니다 .

Another dictionary, or another way to split words, changes a score by points. So a tokenizer's name holds the
versions that determine its output, and the name is part of the signature of every score.
"""

import re
import sys
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from llm_summ.core.compat.mecab import surfaces
from llm_summ.core.errors import InputError

_VERIFIED = {"2.1.1.post2": 80_558_854}
"""Size of `sys.dic` in bytes by the dictionary's version; only versions that reproduce the organiser's example."""

_HALF = re.compile("[\ud800-\udfff]")

# Tokens are interned, so a cached summary is little more than a tuple of references: about 0.5 kB.
_CACHED_TEXTS = 1 << 15


class Tokenizer(Protocol):
    """Splits a text into the tokens that ROUGE counts."""

    @property
    def name(self) -> str:
        """The name with all versions that affect the output; it has no ``|``, the separator of signatures."""

    def __call__(self, text: str) -> list[str]:
        """Return the tokens of a text, in order; the list belongs to the caller."""


class WhitespaceTokenizer:
    """Splits at white space, like ``str.split``: for text that is tokenized already, and for tests."""

    name = "whitespace"

    def __call__(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split()


class AsWrittenTokenizer:
    """Splits at every single space, like the package ``rouge``: joined by spaces the tokens are the text itself.

    The package counts an empty word for white space after a last full stop.
    """

    name = "as-written"

    def __call__(self, text: str) -> list[str]:
        """Return the parts of a text between its spaces."""
        return text.split(" ")


class CharacterTokenizer:
    """Splits into characters, without white space: the score does not depend on the version of an analyser."""

    name = "character"

    def __call__(self, text: str) -> list[str]:
        """Return the characters of a text."""
        return [character for character in text if not character.isspace()]


class RougeScoreTokenizer:
    """The tokenizer of the package rouge-score: lower-case words of ASCII letters and digits; drops all Hangul.

    Args:
        stem: whether words of more than three letters go through its Porter stemmer.
    """

    def __init__(self, stem: bool = False) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self.name = f"rouge-score:{metadata.version('rouge-score')}" + (",stem" if stem else "")
        self._stem = stem
        self._tokenize = lru_cache(maxsize=_CACHED_TEXTS)(DefaultTokenizer(use_stemmer=stem).tokenize)

    def __reduce__(self) -> Any:
        return rouge_score_tokenizer, (self._stem,)

    def __call__(self, text: str) -> list[str]:
        """Return the words of a text."""
        return list(self._tokenize(text))


class MecabTokenizer:
    """Surface morphemes of mecab-ko with the dictionary python-mecab-ko-dic.

    The tokens of a text are cached, so scoring the same texts again (another variant, another hypothesis) does not
    analyse them again. The name ends in ``-unverified`` if the dictionary's version was not verified.

    Raises:
        InputError: mecab-ko cannot be loaded, or its dictionary is another one or damaged.
    """

    def __init__(self) -> None:
        try:
            import mecab

            dictionary = import_module("mecab_ko_dic")
            self._mecab: Any = mecab.MeCab()
            loaded = [Path(entry.path) for entry in self._mecab.dictionary]
            expected = Path(dictionary.dictionary_path)
            version = str(dictionary.__version__)
            self.name = f"mecab-ko:{mecab.__version__},dic:{version}"
        # AttributeError: other packages install a module named `mecab` too. ValueError, without a message: the
        # dictionary is missing.
        except (ImportError, AttributeError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split()) or "its dictionary is missing or damaged"
            raise InputError(
                f"mecab-ko cannot be loaded ({reason}), and the score counts its morphemes; "
                "install it: pip install --force-reinstall 'python-mecab-ko>=1.3.7'"
            ) from error
        if [path.parent for path in loaded] != [expected]:
            found = ", ".join(map(str, loaded)) or "none"
            raise InputError(
                f"mecab-ko is loaded with the dictionary {found}, but the score is defined by the one in "
                f"{expected} alone; install it: pip install --force-reinstall python-mecab-ko-dic"
            )
        size, wanted = loaded[0].stat().st_size, _VERIFIED.get(version)
        if wanted is None:
            self.name += "-unverified"
        elif size != wanted:
            raise InputError(
                f"{loaded[0]}: found {size:,} bytes, expected the {wanted:,} of version {version}, by which the "
                "score is defined; install it: pip install --force-reinstall python-mecab-ko-dic"
            )
        self._cached = lru_cache(maxsize=_CACHED_TEXTS)(self._analyse)

    def __reduce__(self) -> Any:
        # Another process loads its own tokenizer.
        return mecab_tokenizer, ()

    def __call__(self, text: str) -> list[str]:
        """Return the surface morphemes of a text; white space between them is dropped."""
        return list(self._cached(text))

    def _analyse(self, text: str) -> tuple[str, ...]:
        # mecab-ko would end the text at a NUL.
        text = text.replace("\0", " ")
        if _HALF.search(text):
            raise InputError(f"mecab-ko cannot analyse {text[:60]!r}: it has half a character; expected a text")
        return tuple(map(sys.intern, surfaces(self._mecab, text)))


@cache
def mecab_tokenizer() -> MecabTokenizer:
    """Return the process's only mecab-ko tokenizer, so that its dictionary is loaded once.

    Returns:
        A tokenizer named such as ``mecab-ko:1.3.7,dic:2.1.1.post2``.

    Raises:
        InputError: mecab-ko cannot be loaded, or is loaded with another dictionary.
    """
    return MecabTokenizer()


def whitespace_tokenizer() -> WhitespaceTokenizer:
    """Return the tokenizer named ``whitespace``."""
    return WhitespaceTokenizer()


@cache
def rouge_score_tokenizer(stem: bool = False) -> RougeScoreTokenizer:
    """Return the package rouge-score's own tokenizer, with or without its stemmer."""
    return RougeScoreTokenizer(stem)


def has_hangul(texts: Iterable[str]) -> bool:
    """Return whether any of the texts has a Hangul syllable, which rouge-score's own tokenizer would drop."""
    return any("가" <= letter <= "힣" for text in texts for letter in text)


TokenizerName = Literal["mecab", "space", "character", "rouge-score", "rouge-score-stem"]


def tokenizer_named(name: TokenizerName) -> Tokenizer:
    """Return the tokenizer that an option names; mecab-ko is the competition's.

    Raises:
        ValueError: no tokenizer has that name.
        InputError: mecab-ko is chosen and cannot be loaded.
    """
    if name == "mecab":
        return mecab_tokenizer()
    if name == "space":
        return WhitespaceTokenizer()
    if name == "character":
        return CharacterTokenizer()
    if name not in get_args(TokenizerName):
        raise ValueError(f"unknown tokenizer {name!r}: expected one of {', '.join(get_args(TokenizerName))}")
    return rouge_score_tokenizer(stem=name == "rouge-score-stem")
