"""Pictures: what is written, what they show, and that every text of theirs can be read."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from rich.cells import cell_len

from llm_summ.core.charts import printable
from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.plots import COLOURS, bin_edges, write_plots
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


class Picture:
    """A picture as an XML reader finds it; coordinates are those of its ``viewBox``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.root = ET.parse(folder / f"{name}.svg").getroot()
        self.size = (float(self.root.attrib["width"]), float(self.root.attrib["height"]))

    def find(self, tag: str, kind: str = "") -> list[ET.Element]:
        found = self.root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
        return [element for element in found if not kind or element.attrib.get("class") == kind]

    @property
    def words(self) -> list[str]:
        return [element.text or "" for element in self.find("text")]

    def check(self) -> None:
        """Every text and every line is within the picture, and texts of a row do not overlap."""
        _, _, right, bottom = map(float, self.root.attrib["viewBox"].split())
        boxes = []
        for text in self.find("text"):
            if "transform" in text.attrib:
                continue
            width = 6.5 * cell_len(text.text or "") * (13 / 11 if text.attrib.get("class") == "title" else 1)
            share = {"start": 0, "middle": 0.5, "end": 1}[text.attrib["text-anchor"]]
            x, y = float(text.attrib["x"]) - share * width, float(text.attrib["y"])
            assert x >= 0, text.text
            assert x + width <= right + 1, text.text
            assert 0 < y <= bottom
            boxes.append((y, x, x + width))
        for one, other in itertools.pairwise(sorted(boxes)):
            assert one[0] != other[0] or one[2] <= other[1] + 1
        for path in self.find("path"):
            assert all(
                0 <= float(number) <= max(right, bottom) for number in re.findall(r"[\d.]+", path.attrib["d"])
            )


def sample(part: str, name: str | None = None) -> FileStatistics:
    return describe(name or f"sample:{part}", read_dialogues(f"sample:{part}"), count_tokens=len)


def with_topics(topics: Sequence[str | None], name: str = "주제.csv") -> FileStatistics:
    turns = "#Person1#: 안녕하세요?\n#Person2#: 네, #Email#로 보낼게요."
    return describe(name, [Dialogue(str(row), turns, ("인사",), topic) for row, topic in enumerate(topics)])


def test_the_sample_in_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "그림" / "안쪽"
    written = write_plots([sample("train"), sample("dev"), sample("test")], folder)
    assert [path.name for path in written] == [f"{name}.svg" for name in (*ALL, "tokens", "topics", "masks")]
    assert sorted(written) == sorted(folder.iterdir())  # nothing else is left there
    pictures = {path.stem: Picture(folder, path.stem) for path in written}
    for name, picture in pictures.items():
        width, height = picture.size
        assert width == 1200
        assert 500 <= height <= 1500
        picture.check()
        if name != "summary-against-dialogue":
            names = {"sample:train (128개 대화)", "sample:dev (32개 대화)", "sample:test (32개 대화)"}
            assert names <= set(picture.words)
    assert {"대화 길이 (세로선은 중앙값)", "글자"} <= {
        word.partition(" (맨")[0] for word in pictures["dialogue-length"].words
    }
    assert "#PhoneNumber#" in pictures["masks"].words
    assert "sample:dev (요약 96개)" in pictures["summary-against-dialogue"].words
    assert {"2명", "3명"} <= set(pictures["turns-and-speakers"].words)


def test_bars_are_as_long_as_the_shares(tmp_path: Path) -> None:
    first = with_topics(["전화", "전화", "날씨", None], "하나.csv")
    second = with_topics(["날씨", "주문"], "둘.csv")
    write_plots([first, second], tmp_path)
    picture = Picture(tmp_path, "topics")
    bars = [(bar.attrib["fill"], float(bar.attrib["width"])) for bar in picture.find("rect", "bar")]
    long = bars[0][1]
    assert [word.text for word in picture.find("text", "kind")] == ["전화", "날씨", "주문"]
    # 50 % of the first file; 25 % of the first and 50 % of the second; 50 % of the second
    assert [colour for colour, _ in bars] == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    assert [width / long for _, width in bars] == pytest.approx([1, 0.5, 1, 1], abs=0.01)
    assert picture.words.count("50.0") == 3
    assert picture.words.count("25.0") == 1


def test_a_file_has_the_same_colour_in_all_pictures(tmp_path: Path) -> None:
    write_plots([with_topics([None], "하나.csv"), with_topics(["전화"], "둘.csv")], tmp_path)
    picture = Picture(tmp_path, "topics")
    assert [bar.attrib["fill"] for bar in picture.find("rect", "bar")] == [COLOURS[1]]
    assert "둘.csv (1개 대화)" in picture.words
    assert "하나.csv (1개 대화)" not in picture.words


def test_only_the_most_frequent_topics_are_drawn(tmp_path: Path) -> None:
    write_plots([with_topics([f"주제 {number}" for number in range(40) for _ in range(40 - number)])], tmp_path)
    picture = Picture(tmp_path, "topics")
    assert [word.text for word in picture.find("text", "kind")] == [f"주제 {number}" for number in range(15)]
    assert "주제 (모두 40가지, 많은 순으로 15가지)" in picture.words


def test_odd_topics_and_names_are_drawn(tmp_path: Path) -> None:
    files = [with_topics(ODD, name) for name in ODD]  # ten files: more than there are colours
    written = write_plots(files, tmp_path)
    assert [path.stem for path in written] == [*ALL, "topics", "masks"]
    for path in written:
        picture = Picture(tmp_path, path.stem)
        assert picture.size[0] == 1200
        picture.check()
    shown = set(Picture(tmp_path, "topics").words)
    assert {"$x^2$ 값 5$", r"\frac{1}{2} \$ 가격", "_밑줄 줄바꿈 탭", "{중괄호} %s", "분해된 한글"} <= shown
    assert {"_밑줄 줄바꿈 탭 (10개 대화)", "$x^2$ 값 5$ (10개 대화)"} <= shown
    bars = Picture(tmp_path, "topics").find("rect", "bar")
    assert len({(bar.attrib["fill"], bar.attrib["fill-opacity"]) for bar in bars}) == len(files)


@pytest.mark.parametrize("topics", [[None, None], ["", "  "]])
def test_without_topics_there_is_no_picture_of_them(tmp_path: Path, topics: list[str | None]) -> None:
    assert [path.stem for path in write_plots([with_topics(topics)], tmp_path)] == [*ALL, "masks"]


def test_one_short_dialogue_without_references(tmp_path: Path) -> None:
    written = write_plots([describe("하나.csv", [Dialogue("a", "네")])], tmp_path)
    assert [path.stem for path in written] == ["dialogue-length", "turns-and-speakers"]
    for path in written:
        Picture(tmp_path, path.stem).check()


def test_a_file_without_references_stands_beside_one_with(tmp_path: Path) -> None:
    test = describe("test.csv", [Dialogue("a", "#Person1#: 네")])
    written = write_plots([test, with_topics([None], "train.csv")], tmp_path)
    assert [path.stem for path in written] == [*ALL, "masks"]
    assert "test.csv (1개 대화)" in Picture(tmp_path, "dialogue-length").words
    assert "test.csv (1개 대화)" not in Picture(tmp_path, "summary-length").words
    assert Picture(tmp_path, "summary-against-dialogue").words.count("대화 글자 수") == 1


def test_pictures_are_replaced_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "topics.svg").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write_plots([with_topics(["전화"])], tmp_path)
    assert "전화" in Picture(tmp_path, "topics").words
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plots"
    path.write_text("mine", encoding="utf-8")
    for folder, what in (
        (path, snapshot("…/plots: is a file; expected a folder for the charts")),
        (path / "inner", snapshot("…/plots/inner: cannot be made (Not a directory); choose another folder")),
    ):
        with raises(DataError) as caught:
            write_plots([with_topics(["전화"])], folder)
        assert caught.message == what
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "topics.svg" / "inner").mkdir(parents=True)
    with raises(DataError) as caught:
        write_plots([with_topics(["전화"])], tmp_path)
    assert caught.message == snapshot("…/topics.svg: cannot be written (Is a directory); choose another folder")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with raises(DataError) as error:
        write_plots([with_topics(["전화"])], tmp_path / "plots")
    assert error.message == snapshot("…/plots: cannot be made (Permission denied); choose another folder")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("음식 주문", "음식 주문"),
        (unicodedata.normalize("NFD", "음식 주문.csv"), "음식 주문.csv"),
        (" 두\n줄\t ", "두 줄"),
        ("😀!", "😀!"),
        ("a\u200bb\x07\0", "ab□□"),
        ("half \udcff", "half □"),
        ("가나다라마바사아자차", "가나다라마바사아자차"),
        ("가나다라마바사아자차카", "가나다라마바사아자…"),
        ("a" * 20, "a" * 20),
        ("a" * 21, "a" * 19 + "…"),
        ("", ""),
    ],
)
def test_what_a_picture_shows_of_a_name(text: str, shown: str) -> None:
    assert printable(text, 20).replace(" …", "…") == shown


@given(st.text(st.characters()), st.integers(4, 40))
def test_whatever_a_name_holds_can_be_shown(text: str, width: int) -> None:
    shown = printable(text, width)
    assert cell_len(shown) <= width
    assert all(letter.isprintable() for letter in shown)


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


def test_the_sum_of_a_histogram_is_all_rows(tmp_path: Path) -> None:
    lengths = [*range(50, 300), 3_000]  # one row beyond the last bin
    write_plots([describe("긴.csv", [Dialogue("a", "가" * length) for length in lengths])], tmp_path)
    picture = Picture(tmp_path, "dialogue-length")
    ticks = [(float(path.attrib["d"][1:].split()[1].split("H")[0])) for path in picture.find("path", "grid")]
    unit = ticks[0] - ticks[1]  # pixels of 1 %
    assert {"0", "1", "2", "3", "4"} <= set(picture.words)
    (outline,) = (path.attrib["d"] for path in picture.find("path") if path.attrib["d"].count("L") > 10)
    heights = [float(point.split()[1]) for point in outline[1:].split("L")][1:-1:2]
    assert sum((ticks[0] - height) / unit for height in heights) == pytest.approx(100, abs=0.2)
    assert any("이상 모두" in word for word in picture.words)


def test_every_reference_stands_over_its_own_dialogue(tmp_path: Path) -> None:
    rows = [
        Dialogue("a", "가" * 100, ("나" * 10, "나" * 12)),
        Dialogue("b", "가" * 300),
        Dialogue("c", "가" * 200, ("나" * 50,)),
    ]
    write_plots([describe("셋.csv", rows)], tmp_path)
    picture = Picture(tmp_path, "summary-against-dialogue")
    (median,) = picture.find("circle")  # of 100, 100, 200 and of 10, 12, 50
    by_word = {word.text: word.attrib for word in picture.find("text")}
    assert float(median.attrib["cx"]) == float(by_word["100"]["x"])
    ten, twenty = (float(by_word[word]["y"]) - 4 for word in ("10", "20"))
    assert float(median.attrib["cy"]) == pytest.approx(ten + (twenty - ten) / 5, abs=0.2)
    cells = picture.find("rect", "cell")
    assert len(cells) == 3
    assert {cell.attrib["fill-opacity"] for cell in cells} == {"1.00"}


def test_the_colours_differ_in_lightness() -> None:
    def rgb(colour: str) -> list[float]:
        return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]

    def lightness(colour: str) -> float:
        """L* of CIELAB (IEC 61966-2-1 for the linear values, CIE 15 for L*), from 0 to 100."""
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb(colour)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance

    found = sorted(map(lightness, COLOURS))
    assert all(later - earlier >= 9 for earlier, later in itertools.pairwise(found))
    assert found[-1] < 90  # seen on white
