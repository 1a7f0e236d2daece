"""Parts of charts as SVG, which every browser shows: axes, paths and texts. No library draws them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log, log10

__all__ = ["Axis", "draw_text", "draw_x", "draw_y", "figure_text", "line_path", "printable", "round_step"]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis, horizontal or vertical.

    Attributes:
        label: what the values are.
        start: its first value.
        end: its last value.
        first: the position of `start`, in pixels.
        last: the position of `end`.
    """

    label: str
    start: float
    end: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """Return the position of a value; a value beyond the end is at the end."""
        share = (min(value, self.end) - self.start) / (self.end - self.start)
        return round(self.first + (self.last - self.first) * share, 1)

    def ticks(self) -> list[float]:
        """Return about five round values."""
        step = round_step((self.end - self.start) / 5)
        return [k * step for k in range(ceil(self.start / step - 1e-9), floor(self.end / step + 1e-9) + 1)]


def round_step(wanted: float) -> float:
    """Return the number nearest to the wanted one, by their ratio, that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(wanted) + 1e-9)
    return min((factor * power for factor in (1, 2, 5, 10)), key=lambda step: abs(log(step / wanted)))


def figure_text(value: float) -> str:
    """Return a number with two decimals at most."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}".rstrip("0").rstrip(".")


def printable(text: str, width: int) -> str:
    """Return a name or a topic as a chart shows it, on one line of at most `width` half-width characters.

    Hangul is composed (macOS decomposes the syllables of file names). Characters without a form become □, and
    those without a width are omitted.
    """
    from rich.text import Text

    letters = [
        letter if letter.isprintable() else "□"
        for letter in " ".join(unicodedata.normalize("NFC", text).split())
        if unicodedata.category(letter) != "Cf"
    ]
    shown = Text("".join(letters))
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def line_path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points."""
    return "M" + "L".join(f"{left} {top}" for left, top in points)


def draw_text(text: str, left: float, top: float, anchor: str = "middle", more: str = "") -> str:
    """Draw a text at a point: its ``start``, ``middle`` or ``end`` is there; `more` are other attributes."""
    return f'<text x="{left}" y="{top}" text-anchor="{anchor}"{more and f" {more}"}>{escape(text)}</text>'


def draw_x(x: Axis, bottom: float) -> list[str]:
    """Draw a horizontal axis below the area of the chart."""
    ticks = [draw_text(figure_text(value), x.at(value), bottom + 16) for value in x.ticks()]
    return [*ticks, draw_text(x.label, (x.first + x.last) / 2, bottom + 34)]


def draw_y(y: Axis, left: float, right: float) -> list[str]:
    """Draw a vertical axis to the left of the area of the chart, and a line across the area at each tick."""
    drawn = []
    for value in y.ticks():
        drawn.append(f'<path class="grid" d="M{left} {y.at(value)}H{right}"/>')
        drawn.append(draw_text(figure_text(value), left - 6, y.at(value) + 4, "end"))
    middle = (y.first + y.last) / 2
    return [*drawn, draw_text(y.label, left - 34, middle, more=f'transform="rotate(-90 {left - 34} {middle})"')]
