"""The font of the pictures: where it is, what it can show, and how a figure gets it.

matplotlib's own fonts have no Hangul. NanumGothic comes from the package koreanize-matplotlib, which is not
imported: it needs distutils, gone from Python 3.12, and it sets matplotlib's global state.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from llm_summ.core.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["WHY", "cells", "korean_font", "printable", "set_font"]

WHY = "`llm-summ data stats --plots`"
"""What the font and matplotlib are wanted for, where they are missing."""


def korean_font() -> Path:
    """NanumGothic.ttf in the installed package koreanize-matplotlib.

    Raises:
        MissingPackageError: the package is not installed, or lacks the file.
    """
    spec = importlib.util.find_spec("koreanize_matplotlib")
    for place in (spec.submodule_search_locations or []) if spec else []:
        font = Path(place) / "fonts" / "NanumGothic.ttf"
        if font.is_file():
            return font
    raise MissingPackageError("koreanize-matplotlib", extra="plots", why=WHY)


def printable(text: str, width: int) -> str:
    """A name or a topic as a picture can show it, on one line.

    Hangul is composed (macOS takes the syllables of file names apart), what the font lacks becomes □, and what
    has no width is left out.

    Args:
        text: any.
        width: half-width characters that it may take (a Hangul syllable takes two); the rest becomes an ellipsis.
    """
    glyphs = _glyphs(korean_font())
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    visible = [letter for letter in composed if unicodedata.category(letter) not in ("Cf", "Mn", "Me")]
    shown = "".join(letter if ord(letter) in glyphs else "□" for letter in visible)
    if cells(shown) <= width:
        return shown
    while cells(f"{shown}…") > width:
        shown = shown[:-1]
    return f"{shown}…"


def cells(text: str) -> int:
    """How wide a text is in half-width characters; what is ambiguous (□, …) is wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WFA" else 1 for letter in text)


def set_font(figure: Figure) -> None:
    """Give every text the font; a ``$`` is a dollar, whatever the user's own matplotlib settings are."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

    font = korean_font()
    for text in figure.findobj(Text):
        text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))
        text.set_parse_math(False)
        text.set_usetex(False)


@cache
def _glyphs(font: Path) -> frozenset[int]:
    """The code points that a font has glyphs for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font)).get_charmap())
