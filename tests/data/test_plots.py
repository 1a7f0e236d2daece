"""Pictures: what is written, what they show, and that every text of theirs can be read."""

from __future__ import annotations

import importlib.util
import itertools
import os
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from llm_summ.core.errors import DataError, MissingPackageError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.fonts import cells, korean_font, printable
from llm_summ.data.plots import COLOURS, bin_edges, check_plots, write_plots
from llm_summ.data.stats import FileStatistics, describe

ALL = ["dialogue-length", "summary-length", "summary-against-dialogue", "ratio", "turns-and-speakers"]
ODD = [
    "$x^2$ 값 5$",
    r"\frac{1}{2} \$ 가격",
    "😀👨‍👩‍👧 이모지",
    "_밑줄\n줄바꿈\t탭",
    "아" * 80,
    "{중괄호} %s",
    "漢字 ﷽ עברית",
    "\x07\x00\u200b",
    "half \udcff",
    unicodedata.normalize("NFD", "분해된 한글"),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Return the figures that are written, by the picture's name; the files are written too."""
    figures: dict[str, Figure] = {}
    savefig = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        savefig(figure, path, **options)
        figures[path.name.split(".")[1]] = figure  # .topics.png.xxxx, before it is renamed

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def sample(part: str, name: str | None = None) -> FileStatistics:
    return describe(name or f"sample:{part}", read_dialogues(f"sample:{part}"), count_tokens=len)


def with_topics(topics: Sequence[str | None], name: str = "주제.csv") -> FileStatistics:
    turns = "#Person1#: 안녕하세요?\n#Person2#: 네, #Email#로 보낼게요."
    return describe(name, [Dialogue(str(row), turns, ("인사",), topic) for row, topic in enumerate(topics)])


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, after its signature has been checked."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", content[16:24])


def texts(figure: Figure) -> list[Text]:
    """Return the texts that are drawn: not those of ticks beyond the ends of an axis."""
    beyond = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in beyond]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in texts(figure)}


def check_texts(figure: Figure) -> None:
    """Every text is in a font that has its letters, is not read as mathematics, and is within the picture."""
    shown = texts(figure)
    for text in shown:
        font = text.get_fontproperties().get_file()
        assert font is not None
        assert Path(font).name == "NanumGothic.ttf"
        assert {ord(letter) for letter in text.get_text()} <= set(FT2Font(str(font)).get_charmap())
        assert not text.get_parse_math()
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label in shown]
            assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_the_sample_in_pictures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    folder = tmp_path / "그림" / "안쪽"
    written = write_plots([sample("train"), sample("dev"), sample("test")], folder)
    assert [path.stem for path in written] == [*ALL, "tokens", "topics", "masks"]
    assert sorted(written) == sorted(folder.iterdir())  # nothing else is left there
    for path in written:
        width, height = size(path)
        assert width == 1200
        assert 500 <= height <= 1500
        check_texts(drawn[path.stem])
        if path.stem != "summary-against-dialogue":
            names = {"sample:train (128개 대화)", "sample:dev (32개 대화)", "sample:test (32개 대화)"}
            assert names <= words(drawn[path.stem])
    assert {"대화 길이 (세로선은 중앙값)", "글자"} <= {
        word.partition(" (맨")[0] for word in words(drawn["dialogue-length"])
    }
    assert "#PhoneNumber#" in words(drawn["masks"])
    assert "sample:dev (요약 96개)" in words(drawn["summary-against-dialogue"])
    assert {"2명", "3명"} <= words(drawn["turns-and-speakers"])


def test_bars_are_as_long_as_the_shares(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    first = with_topics(["전화", "전화", "날씨", None], "하나.csv")
    second = with_topics(["날씨", "주문"], "둘.csv")
    write_plots([first, second], tmp_path)
    (axes,) = drawn["topics"].axes
    widths = [bar.get_width() for bar in axes.patches]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["전화", "날씨", "주문"]
    assert widths == [50, 25, 0, 0, 50, 50]  # the first file's, then the second's


def test_a_file_has_the_same_colour_in_all_pictures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    write_plots([with_topics([None], "하나.csv"), with_topics(["전화"], "둘.csv")], tmp_path)
    (axes,) = drawn["topics"].axes
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [to_rgb(COLOURS[1])]
    assert "둘.csv (1개 대화)" in words(drawn["topics"])
    assert "하나.csv (1개 대화)" not in words(drawn["topics"])


def test_only_the_most_frequent_topics_are_drawn(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    write_plots([with_topics([f"주제 {number}" for number in range(40) for _ in range(40 - number)])], tmp_path)
    (axes,) = drawn["topics"].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"주제 {number}" for number in range(15)]
    assert "주제 (모두 40가지, 많은 순으로 15가지)" in words(drawn["topics"])


def test_odd_topics_and_names_are_drawn(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    files = [with_topics(ODD, name) for name in ODD]  # ten files: more than there are colours
    written = write_plots(files, tmp_path)
    assert [path.stem for path in written] == [*ALL, "topics", "masks"]
    for path in written:
        assert size(path)[0] == 1200
        check_texts(drawn[path.stem])
    shown = words(drawn["topics"])
    assert {"$x^2$ 값 5$", r"\frac{1}{2} \$ 가격", "_밑줄 줄바꿈 탭", "{중괄호} %s", "분해된 한글"} <= shown
    assert "□□□□ 이모지" in shown
    assert {"_밑줄 줄바꿈 탭 (10개 대화)", "$x^2$ 값 5$ (10개 대화)"} <= shown


def test_a_dollar_looks_like_a_dollar(tmp_path: Path) -> None:
    # As mathematics, the two would look alike.
    for name, topic in (("one", "$5$"), ("two", "5")):
        write_plots([with_topics([topic])], tmp_path / name)
    assert (tmp_path / "one" / "topics.png").read_bytes() != (tmp_path / "two" / "topics.png").read_bytes()


@pytest.mark.parametrize("topics", [[None, None], ["", "  "]])
def test_without_topics_there_is_no_picture_of_them(tmp_path: Path, topics: list[str | None]) -> None:
    assert [path.stem for path in write_plots([with_topics(topics)], tmp_path)] == [*ALL, "masks"]


def test_one_short_dialogue_without_references(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    written = write_plots([describe("하나.csv", [Dialogue("a", "네")])], tmp_path)
    assert [path.stem for path in written] == ["dialogue-length", "turns-and-speakers"]
    for path in written:
        check_texts(drawn[path.stem])


def test_a_file_without_references_stands_beside_one_with(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    test = describe("test.csv", [Dialogue("a", "#Person1#: 네")])
    written = write_plots([test, with_topics([None], "train.csv")], tmp_path)
    assert [path.stem for path in written] == [*ALL, "masks"]
    assert "test.csv (1개 대화)" in words(drawn["dialogue-length"])
    assert "test.csv (1개 대화)" not in words(drawn["summary-length"])
    assert len(drawn["summary-against-dialogue"].axes) == 1


def test_pictures_are_replaced_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "topics.png").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write_plots([with_topics(["전화"])], tmp_path)
    assert size(tmp_path / "topics.png")[0] == 1200
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plots"
    path.write_text("mine", encoding="utf-8")
    for folder, what in (
        (path, "is a file; expected a folder"),
        (path / "inner", "cannot be made"),
    ):
        with pytest.raises(DataError, match=what) as caught:
            check_plots(folder)
        assert str(caught.value).startswith(f"{folder}: ")
        assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "topics.png" / "inner").mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be written") as caught:
        write_plots([with_topics(["전화"])], tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'topics.png'}: ")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be made"):
        check_plots(tmp_path / "plots")


@pytest.mark.parametrize("missing", ["matplotlib", "koreanize_matplotlib"])
def test_a_missing_package_is_named_with_what_installs_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == missing else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingPackageError) as caught:
        check_plots(tmp_path / "plots")
    message = str(caught.value).replace("-", "_")
    assert message.startswith(
        f"`llm_summ data stats __plots`: the package {missing} is not installed; install it:"
    )
    assert "koreanize_matplotlib>=" in message
    assert not (tmp_path / "plots").exists()


def test_no_display_no_pyplot_and_no_package_that_needs_distutils(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from llm_summ.data.plots import write_plots\n"
        "from llm_summ.data.stats import describe\n"
        "from llm_summ.data import Dialogue\n"
        "assert not {'matplotlib', 'numpy'} & set(sys.modules)\n"
        "statistics = describe('하나', [Dialogue('a', '네', ('네',), '인사')])\n"
        "import matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "write_plots([statistics], pathlib.Path(sys.argv[1]))\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert not {'matplotlib.pyplot', 'koreanize_matplotlib', 'distutils'} & set(sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert size(tmp_path / "topics.png")[0] == 1200


def test_the_users_own_settings_do_no_harm(tmp_path: Path) -> None:
    from matplotlib import rc_context

    with rc_context({"text.usetex": True, "axes.formatter.use_mathtext": True, "font.family": "monospace"}):
        written = write_plots([with_topics(["$5"])], tmp_path)
    assert all(size(path)[0] == 1200 for path in written)


def test_the_font_has_hangul() -> None:
    font = FT2Font(str(korean_font()))
    assert all(font.get_char_index(ord(letter)) for letter in "대화요약길이발화자비율주제가힣□…÷")
    assert not font.get_char_index(ord("😀"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("음식 주문", "음식 주문"),
        (unicodedata.normalize("NFD", "음식 주문.csv"), "음식 주문.csv"),
        (" 두\n줄\t ", "두 줄"),
        ("😀!", "□!"),
        ("👩‍👧", "□□"),
        ("가나다라마바사아자차", "가나다라마바사아자차"),
        ("가나다라마바사아자차카", "가나다라마바사아자…"),
        ("a" * 20, "a" * 20),
        ("a" * 21, "a" * 18 + "…"),
        ("", ""),
    ],
)
def test_what_a_picture_shows_of_a_name(text: str, shown: str) -> None:
    assert printable(text, 20) == shown


@given(st.text(st.characters()), st.integers(4, 40))
def test_whatever_a_name_holds_can_be_shown(text: str, width: int) -> None:
    glyphs = FT2Font(str(korean_font())).get_charmap()
    shown = printable(text, width)
    assert cells(shown) <= width
    assert all(ord(letter) in glyphs for letter in shown)


@given(
    st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=80), min_size=1, max_size=3),
    st.integers(1, 10_000),
)
def test_whole_numbers_fall_into_round_bins(files: list[list[int]], outlier: int) -> None:
    files[0].append(outlier)
    edges, cut = bin_edges(files, whole=True)
    width = edges[1] - edges[0]
    assert [later - earlier for earlier, later in itertools.pairwise(edges)] == [width] * (len(edges) - 1)
    assert str(int(width)).rstrip("0") in {"1", "2", "5"}
    assert edges[0] <= min(map(min, files))
    assert cut == (max(map(max, files)) >= edges[-1])
    assert 2 <= len(edges) <= 60


@settings(max_examples=200)
@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=80))
def test_ratios_fall_into_round_bins(values: list[float]) -> None:
    edges, cut = bin_edges([values], whole=False)
    assert edges[0] - 1e-9 <= min(values)
    assert cut or max(values) < edges[-1]
    assert 2 <= len(edges) <= 60


def test_the_sum_of_a_histogram_is_all_rows(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    lengths = [*range(50, 300), 3_000]  # one row beyond the last bin
    write_plots([describe("긴.csv", [Dialogue("a", "가" * length) for length in lengths])], tmp_path)
    (axes,) = drawn["dialogue-length"].axes
    heights = axes.patches[0].get_data().values
    assert sum(heights) == pytest.approx(100)
    assert any("이상 모두" in word for word in words(drawn["dialogue-length"]))


def test_every_reference_stands_over_its_own_dialogue(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    rows = [
        Dialogue("a", "가" * 100, ("나" * 10, "나" * 12)),
        Dialogue("b", "가" * 300),
        Dialogue("c", "가" * 200),
    ]
    rows[2] = Dialogue("c", "가" * 200, ("나" * 50,))
    write_plots([describe("셋.csv", rows)], tmp_path)
    (axes,) = drawn["summary-against-dialogue"].axes
    (line,) = axes.get_lines()
    assert line.get_xydata().tolist() == [[100, 12]]  # the medians of 100, 100, 200 and of 10, 12, 50
    counts = axes.collections[0].get_array()
    assert counts.sum() == 3


def test_the_colours_differ_in_lightness() -> None:
    def lightness(colour: str) -> float:
        """L* of CIELAB (IEC 61966-2-1 for the linear values, CIE 15 for L*), from 0 to 100."""
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance

    found = sorted(map(lightness, COLOURS))
    assert all(later - earlier >= 9 for earlier, later in itertools.pairwise(found))
    assert found[-1] < 90  # seen on white
