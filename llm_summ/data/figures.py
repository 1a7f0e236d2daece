"""The common parts of all charts: size, colours, lines, bars, labels and legends."""

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
"""One for each file. They also differ in lightness, for colour-blind readers and for print."""

_WIDTH = 12.0  # inches
DPI = 100
"""Pixels per inch."""

_LINES = ("-", "--", ":", "-.")
_HATCHES = ("", "///", "...")  # for the first six files, the next six …
_LEGEND_CELLS = 130  # half-width characters that fit on one line under a chart

# Each file with its index, which decides its colour in all charts.
Numbered = Sequence[tuple[int, FileStatistics]]


def new_figure(height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of a height in inches, and its axes in reading order."""
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
    """Draw horizontal bars, the first kind on top; each kind has a bar for each file, with its number."""
    thick = 0.8 / len(shares)
    for order, (index, share) in enumerate(shares):
        at = [row - 0.4 + thick * (order + 0.5) for row in range(len(kinds))]
        drawn = axes.barh(at, share, height=0.9 * thick, **_fill(index))
        labels = [f"{value:.2g}" if 0 < value < 1 else f"{value:.1f}" if value else "" for value in share]
        axes.bar_label(drawn, labels, padding=3, fontsize=9 if len(shares) < 4 else 7)
    axes.set_xlim(0, 1.12 * max(max(share) for _, share in shares))
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.9")


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Set the title and the labels of the axes."""
    axes.set_title(title, fontsize=14, pad=10)
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)


def add_legend(figure: Figure, files: Numbered, *, bars: bool = False) -> None:
    """Write the names of the files under the chart, as many on a line as fit; the chart grows by these lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names = [f"{printable(file.name, 60)} ({file.rows:,}개 대화)" for _, file in files]
    columns = max(1, min(len(names), _LEGEND_CELLS // (max(map(cells, names)) + 8)))
    figure.set_figheight(figure.get_figheight() + 0.28 * math.ceil(len(names) / columns))
    handles = [
        Patch(**_fill(index)) if bars else Line2D([], [], linewidth=2.5, **line_style(index)) for index, _ in files
    ]
    # matplotlib omits labels that begin with an underscore, but not texts that are set afterwards.
    legend = figure.legend(
        handles, ["x"] * len(names), loc="outside lower center", ncols=columns, fontsize=11, handlelength=2.8
    )
    legend.set_frame_on(False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def line_style(index: int) -> dict[str, Any]:
    """Return the style of the lines of a file."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": _LINES[index % len(_LINES)]}


def _fill(index: int) -> dict[str, Any]:
    """Return the style of the bars of a file; from the seventh on they are hatched, since colours repeat."""
    return {
        "facecolor": COLOURS[index % len(COLOURS)],
        "edgecolor": "white",
        "linewidth": 0,
        "hatch": _HATCHES[index // len(COLOURS) % len(_HATCHES)],
    }


def number_text(value: float, _: int | None = None) -> str:
    """Return a number as the axes show it; matplotlib also passes the position of the tick."""
    return f"{value:,.10g}"
