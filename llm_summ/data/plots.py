"""Charts of the statistics in `stats.py`, with Korean labels; several files share a chart or have a panel each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.charts import Axis, draw_text, draw_x, draw_y, line_path, printable, round_step
from llm_summ.core.errors import DataError
from llm_summ.core.files import write_text
from llm_summ.data.source import make_folder
from llm_summ.data.stats import MANY_SPEAKERS, FileStatistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLOURS", "bin_edges", "write_plots"]

COLOURS = ("#0072B2", "#E69F00", "#000000", "#B5DBF4", "#7A3B00", "#CC79A7")
"""One for each file. They also differ in lightness, for colour-blind readers and for print."""

_DASHES = ("none", "7 3", "2 2", "7 2 2 2")
_OPACITIES = (1, 0.55, 0.2)  # of bars: for the first six files, the next six …
_PIXELS, _WIDTH = 1200, 960  # of a file, and of the coordinates
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 16, 34, 380  # of a panel's area: margins at the sides, and positions
_STYLE = (
    'text{font:11px system-ui,"Apple SD Gothic Neo","Malgun Gothic","Noto Sans KR","Noto Sans CJK KR",sans-serif}'
    ".title{font-size:13px;font-weight:600}.grid{stroke:#e5e5e5}"
)

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

# Each file with its index, which decides its colour in all charts.
_Numbered = Sequence[tuple[int, FileStatistics]]


def write_plots(statistics: Sequence[FileStatistics], folder: Path) -> list[Path]:
    """Write charts as SVG, 1,200 pixels wide; measures that no file has (summaries, topics, tokens) give no chart.

    Args:
        statistics: of at least one file.
        folder: made if it is missing; charts of the same names are replaced, each whole or not at all.

    Returns:
        the files written: dialogue-length.svg, summary-length.svg, summary-against-dialogue.svg, ratio.svg,
        turns-and-speakers.svg, tokens.svg, topics.svg, masks.svg.

    Raises:
        DataError: the folder cannot be made or written.
    """
    make_folder(folder, "a folder for the charts")
    charts: dict[str, Callable[[_Numbered], str]] = {
        "dialogue-length": lambda files: _histograms(files, ["characters"]),
        "summary-length": lambda files: _histograms(files, ["summary_characters"]),
        "summary-against-dialogue": _summary_against_dialogue,
        "ratio": lambda files: _histograms(files, ["ratio"]),
        "turns-and-speakers": _turns_and_speakers,
        "tokens": lambda files: _histograms(files, ["tokens", "summary_tokens"]),
        "topics": lambda files: _ranked([file.topics for _, file in files], files, "주제"),
        "masks": lambda files: _ranked(
            [_masked_rows(file) for _, file in files], files, "개인정보 마스크가 있는 대화"
        ),
    }
    written = []
    for name, draw in charts.items():
        if chart := draw(list(enumerate(statistics))):
            path = folder / f"{name}.svg"
            try:
                write_text(path, chart)
            except OSError as error:
                raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
            written.append(path)
    return written


def _document(drawn: Sequence[str], height: float, files: _Numbered = (), *, bars: bool = False) -> str:
    """Return a whole picture, with the names of the files under the chart, as many on a line as fit."""
    from rich.cells import cell_len

    legend, left = [], float(_LEFT)
    for index, file in files:
        name = f"{printable(file.name, 60)} ({file.rows:,}개 대화)"
        width = 44 + 6.5 * cell_len(name)
        if left > _LEFT and left + width > _WIDTH:
            left, height = float(_LEFT), height + 20
        swatch = f"M{left} {height + 8}h24"
        legend.append(
            f'<path {_bar(index)} d="{swatch}v-8h-24z"/>' if bars else f'<path {_line(index)} d="{swatch}"/>'
        )
        legend.append(draw_text(name, left + 30, height + 10, "start"))
        left += width
    height += 20 if files else 0
    size = f'viewBox="0 0 {_WIDTH} {height:g}" width="{_PIXELS}" height="{height * _PIXELS / _WIDTH:g}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>'
    return "\n".join([opening, '<rect width="100%" height="100%" fill="#fff"/>', *drawn, *legend, "</svg>\n"])


def _line(index: int, width: float = 1.6) -> str:
    """Return the style of the lines of a file."""
    colour, dashes = COLOURS[index % len(COLOURS)], _DASHES[index % len(_DASHES)]
    return f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'


def _bar(index: int) -> str:
    """Return the style of the bars of a file; from the seventh on they are paler, since colours repeat."""
    colour, opacity = COLOURS[index % len(COLOURS)], _OPACITIES[index // len(COLOURS) % len(_OPACITIES)]
    return f'fill="{colour}" fill-opacity="{opacity}" stroke="{colour}"'


def _panel(place: int, columns: int, top: float = _TOP) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of the area of one of several panels next to each other."""
    width = _WIDTH / columns
    return round(place * width + _LEFT, 1), round((place + 1) * width - _RIGHT, 1), top, top + _BOTTOM - _TOP


def _title(text: str, left: float, right: float, top: float = _TOP) -> str:
    return draw_text(text, (left + right) / 2, top - 12, more='class="title"')


def _histograms(files: _Numbered, measures: Sequence[str]) -> str:
    """Draw a histogram for each measure, next to each other."""
    measures = [measure for measure in measures if any(measure in file.measures for _, file in files)]
    if not measures:
        return ""
    drawn = [part for at, measure in enumerate(measures) for part in _histogram(files, measure, at, len(measures))]
    shown = [(index, file) for index, file in files if any(name in file.measures for name in measures)]
    return _document(drawn, _BOTTOM + 50, shown)


def _histogram(files: _Numbered, measure: str, place: int, columns: int) -> list[str]:
    """Draw shares in percent, so that files of different sizes can be compared, and medians as thin lines."""
    import numpy as np

    files = [(index, file) for index, file in files if measure in file.measures]
    edges, cut = bin_edges([file.values[measure] for _, file in files], whole=measure != "ratio")
    shares = []
    for _, file in files:
        values = np.clip(file.values[measure], edges[0], (edges[-2] + edges[-1]) / 2)
        shares.append((100 * np.histogram(values, edges)[0] / len(values)).tolist())
    title, unit, share = _LABELS[measure]
    left, right, top, bottom = _panel(place, columns)
    x = Axis(
        f"{unit} (맨 오른쪽 칸은 {edges[-2]:,.10g} 이상 모두)" if cut else unit, edges[0], edges[-1], left, right
    )
    y = Axis(share, 0, 1.05 * max(map(max, shares)), bottom, top)
    drawn = [_title(f"{title} (세로선은 중앙값)", left, right), *draw_x(x, bottom), *draw_y(y, left, right)]
    for (index, file), heights in zip(files, shares, strict=True):
        steps = [
            (x.at(edge), y.at(height))
            for height, ends in zip(heights, pairwise(edges), strict=True)
            for edge in ends
        ]
        middle = x.at(file.measures[measure].median)
        drawn.append(f'<path {_line(index)} d="{line_path([(left, bottom), *steps, (right, bottom)])}"/>')
        drawn.append(f'<path {_line(index, 0.8)} d="M{middle} {bottom}V{top}"/>')
    return drawn


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
    width = round_step(max((high - low) / bins, 1.0 if whole else 0.001))
    first, last = math.floor(low / width + 1e-9), math.floor(high / width + 1e-9) + 1
    shift = 0.5 if whole and width == 1 else 0.0
    edges = [step * width - shift for step in range(first, last + 1)]
    return edges, max(map(max, files)) >= edges[-1]


def _summary_against_dialogue(files: _Numbered) -> str:
    """Draw a panel for each file: lengths of references by lengths of dialogues, with medians by length."""
    import numpy as np

    pairs = []
    for _, file in files:
        if "summary_characters" in file.values:
            references = np.asarray(file.values["references"], dtype=int)
            lengths = np.repeat(np.asarray(file.values["characters"]), references)
            pairs.append((file, lengths, np.asarray(file.values["summary_characters"])))
    if not pairs:
        return ""
    columns = min(_PANELS_A_ROW, len(pairs))
    # The axes end at the 99.5th percentile; longer texts are not shown.
    end_x = 1.02 * max(float(np.percentile(lengths, 99.5)) for _, lengths, _ in pairs)
    end_y = 1.02 * max(float(np.percentile(lengths, 99.5)) for _, _, lengths in pairs)
    heading = "대화 길이와 요약 길이 (진할수록 많음, 선은 구간별 중앙값, 축은 각각 99.5%까지)"
    drawn, bottom = [_title(heading, 0, _WIDTH)], 0.0
    for place, (file, dialogues, summaries) in enumerate(pairs):
        row, column = divmod(place, columns)
        left, right, top, bottom = _panel(column, columns, 2 * _TOP + row * (_BOTTOM + 2 * _TOP))
        x = Axis("대화 글자 수", 0, end_x, left, right)
        y = Axis("요약 글자 수", 0, end_y, bottom, top)
        name = f"{printable(file.name, 60 // columns)} (요약 {len(summaries):,}개)"
        drawn += [_title(name, left, right, top), *draw_x(x, bottom), *draw_y(y, left, right)]
        cells = (60 // columns, 28 // columns + 8)
        counts, xs, ys = np.histogram2d(dialogues, summaries, cells, [[0, end_x], [0, end_y]])
        width, height = (right - left) / cells[0], (bottom - top) / cells[1]
        for across, up in np.argwhere(counts).tolist():
            corner = f'x="{x.at(xs[across])}" y="{y.at(ys[up + 1])}" width="{width:.1f}" height="{height:.1f}"'
            shade = 0.15 + 0.85 * counts[across, up] / counts.max()
            drawn.append(f'<rect class="cell" {corner} fill="{COLOURS[0]}" fill-opacity="{shade:.2f}"/>')
        middles = [(x.at(one), y.at(other)) for one, other in _medians(dialogues, summaries)]
        drawn.append(f'<path {_line(1, 2)} style="stroke-dasharray:none" d="{line_path(middles)}"/>')
        drawn += [f'<circle cx="{at}" cy="{up}" r="3" fill="{COLOURS[1]}" stroke="#000"/>' for at, up in middles]
    return _document(drawn, bottom + 50)


def _medians(x: NDArray[Any], y: NDArray[Any]) -> list[tuple[float, float]]:
    """Return medians of x and y in up to ten equal parts of the pairs by x, each of at least about 25 pairs."""
    import numpy as np

    parts = np.array_split(np.argsort(x, kind="stable"), max(1, min(10, len(x) // _PAIRS_A_MEDIAN)))
    return [(float(np.median(x[part])), float(np.median(y[part]))) for part in parts]


def _turns_and_speakers(files: _Numbered) -> str:
    found = [(index, file.speaker_shares(MANY_SPEAKERS)) for index, file in files]
    counts = sorted({count for _, shares in found for count in shares})
    kinds = [f"{count}명 이상" if count == MANY_SPEAKERS else f"{count}명" for count in counts]
    shares = [(index, [100 * shares.get(count, 0.0) for count in counts]) for index, shares in found]
    drawn = [*_histogram(files, "turns", 0, 2), *_bars("화자 수", kinds, shares, *_panel(1, 2))]
    return _document(drawn, _BOTTOM + 50, files)


def _masked_rows(file: FileStatistics) -> dict[str, int]:
    return {mask: count.rows for mask, count in file.masks.items() if count.rows}


def _ranked(counts: Sequence[dict[str, int]], files: _Numbered, title: str) -> str:
    """Draw bars of the most frequent kinds over all files; counts are the rows of each kind in each file."""
    having = [(index, file, found) for (index, file), found in zip(files, counts, strict=True) if found]
    if not having:
        return ""
    sums: Counter[str] = Counter()
    for found in counts:
        sums.update(found)
    kinds = [kind for kind, _ in sums.most_common(_BARS)]
    shares = [(index, [100 * found.get(kind, 0) / file.rows for kind in kinds]) for index, file, found in having]
    rest = f" (모두 {len(sums):,}가지, 많은 순으로 {len(kinds)}가지)" if len(sums) > len(kinds) else ""
    bottom = _TOP + len(kinds) * max(28, 14 * len(having))
    names = [printable(kind, 36) for kind in kinds]
    drawn = _bars(title + rest, names, shares, 4.5 * _LEFT, _WIDTH - _RIGHT, _TOP, bottom)
    return _document(drawn, bottom + 50, [(index, file) for index, file, _ in having], bars=True)


def _bars(
    title: str,
    kinds: Sequence[str],
    shares: Sequence[tuple[int, Sequence[float]]],
    left: float,
    right: float,
    top: float,
    bottom: float,
) -> list[str]:
    """Draw horizontal bars, the first kind on top; each kind has a bar for each file, with its number."""
    x = Axis("대화의 비율 (%)", 0, 1.12 * max(max(share) for _, share in shares), left, right)
    drawn = [_title(title, left, right, top), *draw_x(x, bottom)]
    drawn += [f'<path class="grid" d="M{x.at(value)} {bottom}V{top}"/>' for value in x.ticks()]
    high = (bottom - top) / len(kinds)
    thick = 0.8 * high / len(shares)
    for row, kind in enumerate(kinds):
        drawn.append(draw_text(kind, left - 6, top + (row + 0.5) * high + 4, "end", 'class="kind"'))
        for order, (index, share) in enumerate(shares):
            start, value = top + (row + 0.1) * high + order * thick, share[row]
            if value:
                box = f'x="{left}" y="{start:.1f}" width="{x.at(value) - left:.1f}" height="{0.9 * thick:.1f}"'
                drawn.append(f'<rect class="bar" {box} {_bar(index)}/>')
                shown = f"{value:.2g}" if value < 1 else f"{value:.1f}"
                drawn.append(draw_text(shown, x.at(value) + 4, round(start + thick / 2 + 4, 1), "start"))
    return drawn
