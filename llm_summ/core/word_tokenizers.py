"""Tokenizers that sign themselves: a score is only worth as much as the tokens it counts.

The competition counts mecab-ko surface morphemes::

    호킨스 의사는 매년 건강검진을 받는 것을 권장합니다.
    호킨스 의사 는 매년 건강 검진 을 받 는 것 을 권장 합니다 .

Another dictionary, or another way to break words, moves a score by points. So a tokenizer's name holds the
versions that decide its output, and the name goes into the signature of every score.
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
"""Bytes of `sys.dic` by the dictionary's version: that which gives the organiser's example."""

_HALF = re.compile("[\ud800-\udfff]")

# Tokens are interned, so a cached summary is little more than a tuple of references: about 0.5 kB.
_CACHED_TEXTS = 1 << 15


class Tokenizer(Protocol):
    """Splits a text into the tokens that ROUGE counts."""

    @property
    def name(self) -> str:
        """What decides the output, with versions; free of ``|``, which separates the parts of a signature."""

    def __call__(self, text: str) -> list[str]:
        """Return the tokens of a text, in order; the list belongs to the caller."""


class WhitespaceTokenizer:
    """Words as ``str.split`` finds them: for text that is tokenized already, and for tests."""

    name = "whitespace"

    def __call__(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split()


class AsWrittenTokenizer:
    """What is between single spaces: joined by spaces it is the text itself, as the package ``rouge`` takes it.

    The package counts an empty word for white space behind a last full stop.
    """

    name = "as-written"

    def __call__(self, text: str) -> list[str]:
        """Return what is between the spaces of a text."""
        return text.split(" ")


class CharacterTokenizer:
    """The characters of a text, without white space: a score that no analyser's version can move."""

    name = "character"

    def __call__(self, text: str) -> list[str]:
        """Return the characters of a text."""
        return [character for character in text if not character.isspace()]


class RougeScoreTokenizer:
    """The package rouge-score's own: lower-case words of ASCII letters and digits. For English; drops all Hangul.

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

    The tokens of a text are kept, so scoring the same texts again (another variant, another hypothesis) does
    not analyse them again. The name says where the dictionary's version is none of those that were verified.

    Raises:
        InputError: if mecab-ko cannot be loaded, or its dictionary is another one or damaged.
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
        # AttributeError: other packages install a module named `mecab` too. ValueError, without a word: no
        # dictionary where one should be.
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
        # Another process loads its own.
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
    """Return the process's one mecab-ko tokenizer: loading it maps its dictionary once.

    Returns:
        A tokenizer named such as ``mecab-ko:1.3.7,dic:2.1.1.post2``.

    Raises:
        InputError: if mecab-ko cannot be loaded, or is loaded with another dictionary.
    """
    return MecabTokenizer()


def whitespace_tokenizer() -> WhitespaceTokenizer:
    """Return the tokenizer named ``whitespace``."""
    return WhitespaceTokenizer()


def character_tokenizer() -> CharacterTokenizer:
    """Return the tokenizer named ``character``."""
    return CharacterTokenizer()


@cache
def rouge_score_tokenizer(stem: bool = False) -> RougeScoreTokenizer:
    """Return the package rouge-score's own tokenizer, with or without its stemmer."""
    return RougeScoreTokenizer(stem)


def has_hangul(texts: Iterable[str]) -> bool:
    """Whether there is a Hangul syllable in any of the texts: rouge-score's own tokenizer would drop it."""
    return any("가" <= letter <= "힣" for text in texts for letter in text)


TokenizerName = Literal["mecab", "space", "character", "rouge-score", "rouge-score-stem"]


def tokenizer_named(name: TokenizerName) -> Tokenizer:
    """Return the tokenizer that an option names; mecab-ko is the competition's.

    Raises:
        ValueError: if there is none of that name.
        InputError: if mecab-ko is wanted and cannot be loaded.
    """
    if name == "mecab":
        return mecab_tokenizer()
    if name == "space":
        return whitespace_tokenizer()
    if name == "character":
        return character_tokenizer()
    if name not in get_args(TokenizerName):
        raise ValueError(f"unknown tokenizer {name!r}: expected one of {', '.join(get_args(TokenizerName))}")
    return rouge_score_tokenizer(stem=name == "rouge-score-stem")
