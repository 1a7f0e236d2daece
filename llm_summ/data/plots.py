"""Charts of the statistics in `stats.py`, with Korean labels; several files share a chart or have one panel each.

Only matplotlib's objects are used: no display, no pyplot, and no change of its global state.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import DataError
from llm_summ.core.files import whole_file
from llm_summ.core.optional_packages import require
from llm_summ.data.figures import (
    COLOURS,
    DPI,
    Numbered,
    add_legend,
    draw_bars,
    label,
    line_style,
    new_figure,
    number_text,
)
from llm_summ.data.fonts import WHY, korean_font, printable, set_font
from llm_summ.data.source import make_folder
from llm_summ.data.stats import MANY_SPEAKERS, FileStatistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["COLOURS", "bin_edges", "check_plots", "write_plots"]

_BARS = 15
_FEWEST_BINS, _MOST_BINS = 12, 30  # about
_PAIRS_A_MEDIAN = 25
_PANELS_A_ROW = 3

_LABELS = {
    "turns": ("발화 수", "발화", "대화의 비율 (%)"),
    "characters": ("대화 길이", "글자", "대화의 비율 (%)"),
    "tokens": ("대화 길이", "토큰", "대화의 비율 (%)"),
    "summary_characters": ("요약 길이", "글자", "요약의 비율 (%)"),
    "summary_tokens": ("요약 길이", "토큰", "요약의 비율 (%)"),
    "ratio": ("요약과 대화의 길이 비", "요약 글자 수 ÷ 대화 글자 수", "요약의 비율 (%)"),
}


def check_plots(folder: Path) -> None:
    """Check that `write_plots` can work, before anything is measured, and make the folder.

    Raises:
        MissingPackageError: matplotlib or the package of the font is not installed.
        DataError: the folder is a file, or cannot be made.
    """
    require("matplotlib", extra="plots", why=WHY)
    korean_font()
    make_folder(folder, "a folder for the charts")


def write_plots(statistics: Sequence[FileStatistics], folder: Path) -> list[Path]:
    """Write charts as PNG, 1,200 pixels wide; measures that no file has (summaries, topics, tokens) give no chart.

    Args:
        statistics: of at least one file.
        folder: made if it is missing; charts of the same names are replaced, each whole or not at all.

    Returns:
        the files written: dialogue-length.png, summary-length.png, summary-against-dialogue.png, ratio.png,
        turns-and-speakers.png, tokens.png, topics.png, masks.png.

    Raises:
        MissingPackageError: an optional package is not installed.
        DataError: the folder cannot be made or written.
    """
    check_plots(folder)
    pictures: dict[str, Callable[[Numbered], Figure | None]] = {
        "dialogue-length": lambda files: _histograms(files, ["characters"]),
        "summary-length": lambda files: _histograms(files, ["summary_characters"]),
        "summary-against-dialogue": _summary_against_dialogue,
        "ratio": lambda files: _histograms(files, ["ratio"]),
        "turns-and-speakers": _turns_and_speakers,
        "tokens": lambda files: _histograms(files, ["tokens", "summary_tokens"]),
        "topics": _topics,
        "masks": _masks,
    }
    written = []
    for name, draw in pictures.items():
        figure = draw(list(enumerate(statistics)))
        if figure is None:
            continue
        set_font(figure)
        path = folder / f"{name}.png"
        try:
            with whole_file(path) as building:
                figure.savefig(building, format="png", dpi=DPI)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
        written.append(path)
    return written


def _histograms(files: Numbered, measures: Sequence[str]) -> Figure | None:
    """Draw a histogram for each measure, next to each other."""
    measures = [measure for measure in measures if any(measure in file.measures for _, file in files)]
    if not measures:
        return None
    figure, axes = new_figure(6.0, 1, len(measures))
    for each, measure in zip(axes, measures, strict=True):
        _histogram(each, files, measure)
    add_legend(figure, [(index, file) for index, file in files if any(name in file.measures for name in measures)])
    return figure


def _histogram(axes: Axes, files: Numbered, measure: str) -> None:
    """Draw shares in percent, so that files of different sizes can be compared, and medians as thin lines."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    files = [(index, file) for index, file in files if measure in file.measures]
    edges, cut = bin_edges([file.values[measure] for _, file in files], whole=measure != "ratio")
    for index, file in files:
        values = np.clip(file.values[measure], edges[0], (edges[-2] + edges[-1]) / 2)
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        style = line_style(index)
        axes.stairs(shares, edges, linewidth=2, zorder=3, **style)
        if index == files[0][0]:
            axes.stairs(shares, edges, fill=True, alpha=0.15, color=style["color"])
        axes.axvline(file.measures[measure].median, linewidth=1, **style)
    title, unit, share = _LABELS[measure]
    label(
        axes,
        f"{title} (세로선은 중앙값)",
        f"{unit} (맨 오른쪽 칸은 {number_text(edges[-2])} 이상 모두)" if cut else unit,
        share,
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=measure != "ratio"))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="0.9")


def bin_edges(files: Sequence[Sequence[float]], *, whole: bool) -> tuple[list[float], bool]:
    """Return the edges of about 12 to 30 bins of a round width, and whether there are values beyond the last bin.

    The smallest file decides the number of bins: half more than the Rice rule (twice the cube root of the rows).
    The bins end at the highest of the files' 99.5th percentiles, so that one odd row does not squeeze the others.

    Args:
        files: the values of each.
        whole: whether the values are whole numbers: then no bin is narrower than one, and bins of one are centred.
    """
    import numpy as np

    low = min(map(min, files))
    high = max(float(np.percentile(values, 99.5)) for values in files)
    bins = min(max(3 * min(map(len, files)) ** (1 / 3), _FEWEST_BINS), _MOST_BINS)
    wanted = max((high - low) / bins, 1.0 if whole else 0.001)
    power = 10.0 ** math.floor(math.log10(wanted) + 1e-9)
    width = min((factor * power for factor in (1, 2, 5, 10)), key=lambda width: abs(math.log(width / wanted)))
    first, last = math.floor(low / width + 1e-9), math.floor(high / width + 1e-9) + 1
    shift = 0.5 if whole and width == 1 else 0.0
    edges = [step * width - shift for step in range(first, last + 1)]
    return edges, max(map(max, files)) >= edges[-1]


def _summary_against_dialogue(files: Numbered) -> Figure | None:
    """Draw a panel for each file: lengths of references by lengths of dialogues, with medians by length."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    pairs = []
    for _, file in files:
        if "summary_characters" in file.values:
            references = np.asarray(file.values["references"], dtype=int)
            x = np.repeat(np.asarray(file.values["characters"]), references)
            pairs.append((file, x, np.asarray(file.values["summary_characters"])))
    if not pairs:
        return None
    columns = min(_PANELS_A_ROW, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure, axes = new_figure(0.8 + 5.2 * rows, rows, columns)
    # The axes end at the 99.5th percentile; longer texts are not shown.
    right = 1.02 * max(float(np.percentile(x, 99.5)) for _, x, _ in pairs)
    top = 1.02 * max(float(np.percentile(y, 99.5)) for _, _, y in pairs)
    shades = LinearSegmentedColormap.from_list("shades", ["#C6DCEC", "#0072B2", "#002B45"])
    for each, (file, x, y) in zip(axes, pairs, strict=False):
        grid = (48 // columns, 28 // columns + 4)
        each.hexbin(x, y, gridsize=grid, extent=(0, right, 0, top), cmap=shades, mincnt=1, linewidths=0.2)
        each.plot(*_medians(x, y), color="#E69F00", linewidth=2.5, marker="o", markeredgecolor="black")
        each.set_xlim(0, right)
        each.set_ylim(0, top)
        label(each, f"{printable(file.name, 60 // columns)} (요약 {len(y):,}개)", "대화 글자 수", "요약 글자 수")
    for each in axes[len(pairs) :]:
        each.set_axis_off()
    figure.suptitle("대화 길이와 요약 길이 (진할수록 많음, 선은 구간별 중앙값, 축은 각각 99.5%까지)", fontsize=15)
    return figure


def _medians(x: NDArray[Any], y: NDArray[Any]) -> tuple[list[float], list[float]]:
    """Return medians of x and y in up to ten equal parts of the pairs by x, each of at least about 25 pairs."""
    import numpy as np

    parts = np.array_split(np.argsort(x, kind="stable"), max(1, min(10, len(x) // _PAIRS_A_MEDIAN)))
    return [float(np.median(x[part])) for part in parts], [float(np.median(y[part])) for part in parts]


def _turns_and_speakers(files: Numbered) -> Figure:
    figure, (turns, speakers) = new_figure(6.0, 1, 2)
    _histogram(turns, files, "turns")
    found = [(index, file.speaker_shares(MANY_SPEAKERS)) for index, file in files]
    counts = sorted({count for _, shares in found for count in shares})
    kinds = [f"{count}명 이상" if count == MANY_SPEAKERS else f"{count}명" for count in counts]
    draw_bars(
        speakers, kinds, [(index, [100 * shares.get(count, 0.0) for count in counts]) for index, shares in found]
    )
    label(speakers, "화자 수", "대화의 비율 (%)", "")
    add_legend(figure, files)
    return figure


def _topics(files: Numbered) -> Figure | None:
    return _ranked([(index, file, file.topics) for index, file in files], "주제")


def _masks(files: Numbered) -> Figure | None:
    counts = [(index, file, {mask: count.rows for mask, count in file.masks.items()}) for index, file in files]
    return _ranked(counts, "개인정보 마스크가 있는 대화")


def _ranked(counts: Sequence[tuple[int, FileStatistics, dict[str, int]]], title: str) -> Figure | None:
    """Draw horizontal bars of the most frequent kinds over all files; counts are the rows in each file."""
    counts = [(index, file, found) for index, file, found in counts if any(found.values())]
    if not counts:
        return None
    sums: Counter[str] = Counter()
    for _, _, found in counts:
        sums.update({kind: count for kind, count in found.items() if count})
    kinds = [kind for kind, _ in sums.most_common(_BARS)]
    shares = [(index, [100 * found.get(kind, 0) / file.rows for kind in kinds]) for index, file, found in counts]
    figure, (axes,) = new_figure(2.0 + len(kinds) * max(0.36, 0.18 * len(counts)), 1, 1)
    draw_bars(axes, [printable(kind, 36) for kind in kinds], shares)
    rest = f" (모두 {len(sums):,}가지, 많은 순으로 {len(kinds)}가지)" if len(sums) > len(kinds) else ""
    label(axes, title + rest, "대화의 비율 (%)", "")
    add_legend(figure, [(index, file) for index, file, _ in counts], bars=True)
    return figure
