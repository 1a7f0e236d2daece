"""The font of the charts: its file, the characters that it has, and how a figure gets it.

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
"""The purpose of the font and of matplotlib, for the error if they are missing."""


def korean_font() -> Path:
    """Return the path of NanumGothic.ttf in the installed package koreanize-matplotlib.

    Raises:
        MissingPackageError: the package is not installed, or lacks the file.
    """
    spec = importlib.util.find_spec("koreanize_matplotlib")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        font = Path(folder) / "fonts" / "NanumGothic.ttf"
        if font.is_file():
            return font
    raise MissingPackageError("koreanize-matplotlib", extra="plots", why=WHY)


def printable(text: str, width: int) -> str:
    """Return a name or a topic as a chart can show it, on one line.

    Hangul is composed (macOS decomposes the syllables of file names), characters that the font lacks become □, and
    those without a width are omitted.

    Args:
        text: any text.
        width: the greatest width in half-width characters (a Hangul syllable takes two); the rest becomes an
            ellipsis.
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
    """Return the width of a text in half-width characters; ambiguous ones (□, …) are wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WFA" else 1 for letter in text)


def set_font(figure: Figure) -> None:
    """Give every text the font; a ``$`` is a dollar sign, even if the user's settings differ."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

    font = korean_font()
    for text in figure.findobj(Text):
        text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))
        text.set_parse_math(False)
        text.set_usetex(False)


@cache
def _glyphs(font: Path) -> frozenset[int]:
    """Return the code points for which a font has glyphs."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font)).get_charmap())
