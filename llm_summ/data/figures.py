"""What all pictures share: their size, colours, lines, bars, labels and legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_summ.data.fonts import cells, printable
from llm_summ.data.stats import FileStatistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "DPI",
    "Numbered",
    "add_legend",
    "draw_bars",
    "label",
    "line_style",
    "new_figure",
    "number_text",
]

COLOURS = ("#0072B2", "#E69F00", "#000000", "#B5DBF4", "#7A3B00", "#CC79A7")
"""One a file, in their order. They differ in lightness too, for those who see no hue and for paper."""

_WIDTH = 12.0  # inches
DPI = 100
"""Pixels an inch."""

_LINES = ("-", "--", ":", "-.")
_HATCHES = ("", "///", "...")  # for the first six files, the next six …
_LEGEND_CELLS = 130  # half-width characters that fit beside one another under a picture

# A file with its place among those given: its colour is the same in all pictures.
Numbered = Sequence[tuple[int, FileStatistics]]


def new_figure(height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """An empty figure, its height in inches, and its axes in reading order."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15)
    figure = Figure(figsize=(_WIDTH, height), dpi=DPI, layout=layout, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=11)
        each.set_axisbelow(True)
        each.xaxis.set_major_formatter(number_text)
        each.yaxis.set_major_formatter(number_text)
    return figure, axes


def draw_bars(axes: Axes, kinds: Sequence[str], shares: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Horizontal bars, the first kind on top; in each kind a bar a file, with its figure."""
    thick = 0.8 / len(shares)
    for order, (place, share) in enumerate(shares):
        at = [row - 0.4 + thick * (order + 0.5) for row in range(len(kinds))]
        drawn = axes.barh(at, share, height=0.9 * thick, **_fill(place))
        labels = [f"{value:.2g}" if 0 < value < 1 else f"{value:.1f}" if value else "" for value in share]
        axes.bar_label(drawn, labels, padding=3, fontsize=9 if len(shares) < 4 else 7)
    axes.set_xlim(0, 1.12 * max(max(share) for _, share in shares))
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.9")


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Write a title and what the axes show."""
    axes.set_title(title, fontsize=14, pad=10)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)


def add_legend(figure: Figure, files: Numbered, *, bars: bool = False) -> None:
    """The files' names under the picture, as many beside one another as fit; the picture grows by their lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = [f"{printable(file.name, 60)} ({file.rows:,}개 대화)" for _, file in files]
    columns = max(1, min(len(names), _LEGEND_CELLS // (max(map(cells, names)) + 8)))
    figure.set_figheight(figure.get_figheight() + 0.28 * math.ceil(len(names) / columns))
    handles = [
        Patch(**_fill(place)) if bars else Line2D([], [], linewidth=2.5, **line_style(place)) for place, _ in files
    ]
    # matplotlib leaves out labels that begin with an underscore; texts set afterwards may.
    legend = figure.legend(
        handles, ["x"] * len(names), loc="outside lower center", ncols=columns, fontsize=11, handlelength=2.8
    )
    legend.set_frame_on(False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def line_style(place: int) -> dict[str, Any]:
    """How a file's lines are drawn."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": _LINES[place % len(_LINES)]}


def _fill(place: int) -> dict[str, Any]:
    """How a file's bars are filled: hatched from the seventh file on, whose colours have been used."""
    return {
        "facecolor": COLOURS[place % len(COLOURS)],
        "edgecolor": "white",
        "linewidth": 0,
        "hatch": _HATCHES[place // len(COLOURS) % len(_HATCHES)],
    }


def number_text(value: float, _: int | None = None) -> str:
    """A number as the axes show it; matplotlib adds the tick's place."""
    return f"{value:,.10g}"
