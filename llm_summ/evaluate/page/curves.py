"""Draw curves of length as SVG: every row is a dot, and the mean or median of the rows is a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from statistics import fmean, median

from llm_summ.core.charts import Axis, draw_x, draw_y, figure_text, line_path
from llm_summ.evaluate.groups import length_ratio
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score.significance import interval

__all__ = ["Curve", "length_curves"]

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 40
_ROWS_A_PART, _MOST_PARTS = 25, 10
_MOST_DOTS = 2000
_BEYOND = 0.995  # the share of the rows up to which an axis reaches


@dataclass(frozen=True, slots=True)
class Curve:
    """A picture.

    Attributes:
        title: what it shows.
        note: how to read it.
        svg: the picture; the ids of rows are escaped in it.
        left_out: which rows have no dot; empty if every row has one.
    """

    title: str
    note: str
    svg: str
    left_out: str


def length_curves(rows: Sequence[ScoredRow]) -> tuple[Curve, ...]:
    """Draw summaries' lengths against their references', and the score by that ratio and by dialogue length.

    Lines have up to ten points, one for each equal part of the rows in the order of x, of about 25 rows at least:
    the median of the lengths, or the mean of the scores with its 95 % bootstrap interval.

    Args:
        rows: of a file, shape ``[at least 1]``.
    """
    ids = [row.dialogue.id for row in rows]
    summaries = [float(len(row.summary)) for row in rows]
    references = [fmean(map(len, row.dialogue.references)) for row in rows]
    dialogues = [float(len(row.dialogue.text)) for row in rows]
    ratios = [length_ratio(row) for row in rows]
    finals = [row.score.final for row in rows]
    scores = "선은 같은 수의 행으로 나눈 구간별 평균, 띠는 95% 구간입니다."
    every = _dot_every(len(rows))
    left_out = (
        f"점은 대화 {len(rows):,}개 중 {every:,}개마다 하나씩 그렸고, 선은 모든 대화로 계산했습니다."
        if every > 1
        else ""
    )
    pictures = (
        (
            "정답 길이와 요약 길이",
            "선은 구간별 중앙값, 점선은 길이가 같은 곳입니다. 정답 길이는 정답들의 평균입니다.",
            _draw("정답 글자 수", references, "요약 글자 수", summaries, ids, median, diagonal=True),
        ),
        ("대화 길이별 점수", scores, _draw("대화 글자 수", dialogues, "최종 점수", finals, ids, fmean)),
        (
            "길이 비율별 점수",
            f"길이 비율은 요약 글자 수 ÷ 정답 평균 글자 수입니다. {scores}",
            _draw("길이 비율", ratios, "최종 점수", finals, ids, fmean),
        ),
    )
    return tuple(Curve(*picture, left_out) for picture in pictures)


def _draw(
    x_label: str,
    xs: Sequence[float],
    y_label: str,
    ys: Sequence[float],
    ids: Sequence[str],
    middle: Callable[[Sequence[float]], float],
    *,
    diagonal: bool = False,
) -> str:
    """Draw a dot for every row, or for every k-th; dots beyond the end of an axis are drawn at its end."""
    end = max(_end(xs), _end(ys))
    x = Axis(x_label, 0, end if diagonal else _end(xs), _LEFT, _WIDTH - _RIGHT)
    y = Axis(y_label, 0, end if diagonal else _end(ys), _HEIGHT - _BOTTOM, _TOP)
    parts = _parts(xs)
    line = [(x.at(median([xs[at] for at in part])), y.at(middle([ys[at] for at in part]))) for part in parts]
    drawn = [*draw_x(x, y.first), *draw_y(y, x.first, x.last)]
    if diagonal:
        drawn.append(f'<path class="same" d="M{x.at(0)} {y.at(0)}L{x.at(end)} {y.at(end)}"/>')
    if middle is fmean and min(map(len, parts)) > 1:
        ends = [interval([ys[at] for at in part]) for part in parts]
        low, high = ([y.at(getattr(one, side)) for one in ends] for side in ("low", "high"))
        border = [*zip([place for place, _ in line], high, strict=True)]
        border += reversed([*zip([place for place, _ in line], low, strict=True)])
        drawn.append(f'<path class="band" d="{line_path(border)}Z"/>')
    for at in range(0, len(xs), _dot_every(len(xs))):
        name = escape(f"{ids[at]}: {x_label} {figure_text(xs[at])}, {y_label} {figure_text(ys[at])}")
        drawn.append(f'<circle cx="{x.at(xs[at])}" cy="{y.at(ys[at])}" r="2.5"><title>{name}</title></circle>')
    drawn.append(f'<path class="line" d="{line_path(line)}"/>')
    drawn += [f'<circle class="part" cx="{left}" cy="{top}" r="3.5"/>' for left, top in line]
    opening = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{x.label}, {y.label}">'
    return f"{opening}{''.join(drawn)}</svg>"


def _dot_every(rows: int) -> int:
    """Return k, where every k-th row has a dot: with very many rows, more dots add no information."""
    return ceil(rows / _MOST_DOTS)


def _parts(xs: Sequence[float]) -> list[list[int]]:
    """Return the indexes of the values in equal parts, in order."""
    order = sorted(range(len(xs)), key=lambda at: xs[at])
    count = max(1, min(_MOST_PARTS, len(xs) // _ROWS_A_PART))
    edges = [len(xs) * part // count for part in range(count + 1)]
    return [order[edges[part] : edges[part + 1]] for part in range(count)]


def _end(values: Sequence[float]) -> float:
    """Return the end of an axis: a few outliers do not compress all other rows."""
    last = sorted(values)[ceil(len(values) * _BEYOND) - 1]
    return max(last * 1.02, 1.0)
