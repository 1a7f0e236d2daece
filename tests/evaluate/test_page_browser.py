"""The page in a browser, offline: Chromium opens the file, runs its script, and prints the resulting page."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import CHROMIUM, FLAGS, needs_chromium

from llm_summ.evaluate.evaluation import evaluate_file
from llm_summ.evaluate.page.write import page_html

pytestmark = needs_chromium

HOSTILE = "</script><img src=x onerror=\"document.title='끝'\">\u2028&amp;"
ROWS = {
    # id: dialogue, topic, summary, references
    "dev_0": (
        "#Person1#: 점심 먹었어?\n#Person2#: 아직.",
        "식사",
        "점심을 먹습니다.",
        ["점심을 먹습니다.", "밥을 먹습니다."],
    ),
    "dev_3": (
        "#Person1#: 회의가 몇 시죠?\n#Person2#: 세 시요.",
        "회의",
        "",
        ["회의는 세 시입니다.", "세 시에 만납니다."],
    ),
    "dev_4": (f"#Person1#: {HOSTILE}", "회의", f"{HOSTILE} #Person9#", ["회의입니다.", "회의합니다."]),
    "dev:7": (
        "민수: 안녕\n수지: 응\n영희: 그래",
        "",
        "셋은 서로 인사합니다.",
        ["세 친구가 인사합니다.", "셋은 인사합니다."],
    ),
}


class Shown(HTMLParser):
    """Parse the visible parts of a page: its rows, and the parts of those that are open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.title, self.count, self.rows = "", "", list[str]()
        self.open: dict[str, list[tuple[str, str]]] = {}  # by id: tag and class of an element, and its text
        self.tags: set[str] = set()
        self._path: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.add(tag)
        if tag == "details":
            self.rows.append(attributes["data-id"] or "")
            if "open" in attributes:
                self.open[self.rows[-1]] = []
        if tag not in ("meta", "input", "br", "img", "wbr"):
            self._path.append(f"{tag}.{attributes['class']}" if attributes.get("class") else tag)

    def handle_endtag(self, tag: str) -> None:
        while self._path and self._path.pop().partition(".")[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._path:
            return
        if self._path[-2:] == ["head", "title"]:
            self.title += data
        elif self._path[-1] == "output":
            self.count += data
        elif "details" in self._path and self.rows[-1] in self.open:
            self.open[self.rows[-1]].append((self._path[-1], data))

    def parts(self, identity: str, kind: str) -> list[str]:
        """Return the texts of the elements of one kind in an open row, in order."""
        return [text for found, text in self.open[identity] if found == kind]


def browse(page: Path, fragment: str = "") -> Shown:
    """Open a file as a user does, with a fragment after "#", and wait two seconds of the page's time."""
    assert CHROMIUM is not None
    shown = page.parent / "shown.html"
    with shown.open("wb") as file:
        subprocess.run(
            [
                CHROMIUM,
                *(*FLAGS, "--virtual-time-budget=2000"),
                f"--user-data-dir={page.parent / 'profile'}",
                "--dump-dom",
                f"{page.as_uri()}#{fragment}",
            ],
            # Not a pipe: Chromium's helpers may outlive it and would keep a pipe open.
            stdout=file,
            stderr=subprocess.DEVNULL,
            timeout=180,
            check=True,
        )
    return Shown(shown.read_text(encoding="utf-8"))


def with_script(page: Path, script: str) -> Path:
    """Write a copy with a second script, a reader's clicks, which the page's own policy would not allow."""
    text = re.sub("<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    changed = page.with_name("changed.html")
    changed.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    return changed


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    with (folder / "dev.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["fname", "dialogue", "topic", "summary1", "summary2"])
        for identity, (dialogue, topic, _, references) in ROWS.items():
            csv.writer(file).writerow([identity, dialogue, topic, *references])
    with (folder / "out.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["fname", "summary"])
        csv.writer(file).writerows([(identity, row[2]) for identity, row in ROWS.items()])
    result = evaluate_file(folder / "out.csv", str(folder / "dev.csv"))
    (folder / "page.html").write_bytes(page_html(result))
    return folder / "page.html"


def test_the_fragment_of_the_address_filters_sorts_and_marks(page: Path) -> None:
    every = list(ROWS)
    expected: dict[str, tuple[list[str], list[str]]] = {
        # fragment: the rows, and the marks in the open one
        "sort=final&order=down": (["dev_0", "dev:7", "dev_3", "dev_4"], []),  # ties in the order of the file
        "sort=ratio": (["dev_3", "dev_0", "dev:7", "dev_4"], []),
        "order=down": (every[::-1], []),
        f"filter={quote('점심')}": (["dev_0"], []),
        f"filter={quote(unicodedata.normalize('NFD', '점심'))}": (["dev_0"], []),
        "filter=ONERROR": (["dev_4"], []),
        "filter=dev:7": (["dev:7"], []),
        f"topic={quote('회의')}&flag=empty": (["dev_3"], []),
        "speakers=3&min=1&max=99": (["dev:7"], []),
        "flag=invented+speakers": (["dev_4"], []),
        "min=99.5": ([], []),
        "open=dev_0&show=2&reference=2:dev_0": (every, ["을 먹습니다", "점심을 먹습니다", "을 먹습니다"]),
        "open=dev_0&show=2": (every, ["점심을 먹습니다", "점심을 먹습니다", "을 먹습니다"]),
        "open=dev_0&show=L": (every, ["점심", "을", "먹", "습니다"] * 2 + ["을", "먹", "습니다"]),
        "open=dev_0&show=none": (every, []),
        "open=dev:7&show=L": (
            every,
            ["셋", "은", "인사", "합니다", "인사", "합니다", "셋", "은", "인사", "합니다"],
        ),
        "open=dev:7&show=L&reference=1:dev:7": (every, ["인사", "합니다"] * 2 + ["셋", "은", "인사", "합니다"]),
        "open=dev_0&show=2&reference=3:dev_0&reference=x:dev_0&reference=2:nothing&reference=2&reference=": (
            every,
            ["점심을 먹습니다", "점심을 먹습니다", "을 먹습니다"],
        ),
        "sort=nothing&topic=nothing&flag=nothing&min=nothing&count=nothing": (every, []),
    }
    changed = with_script(
        page,
        """
        (async () => {
          const seen = [];
          for (const fragment of FRAGMENTS) {
            const turned = new Promise((done) => addEventListener("hashchange", done, { once: true }));
            location.hash = fragment;
            await turned;
            seen.push([
              [...document.querySelectorAll("details")].map((row) => row.dataset.id),
              [...document.querySelectorAll("details mark.counted")].map((mark) => mark.textContent),
              document.getElementById("count").textContent,
            ]);
          }
          document.title = JSON.stringify(seen);
        })();
        """.replace("FRAGMENTS", json.dumps(list(expected))),
    )
    seen = json.loads(browse(changed).title)
    assert {fragment: (rows, marks) for fragment, (rows, marks, _) in zip(expected, seen, strict=True)} == expected
    for (rows, _), (_, _, count) in zip(expected.values(), seen, strict=True):
        assert count.startswith(f"4개 중 {len(rows)}개")


def test_open_rows_show_what_the_score_counts_and_texts_are_not_run(page: Path) -> None:
    shown = browse(page, "sort=final&order=down&open=dev_0&open=dev_3&open=dev_4&open=dev:7")
    assert shown.rows == list(shown.open) == ["dev_0", "dev:7", "dev_3", "dev_4"]
    # The summary with the reference that it fits best, then each reference: 점심|을| 먹|습니다|.
    counted = ["점심", "을", "먹", "습니다"]
    assert shown.parts("dev_0", "mark.counted") == [*counted, *counted, "을", "먹", "습니다"]
    assert shown.parts("dev_0", "b") == ["#Person1#: ", "#Person2#: "]
    assert shown.parts("dev_0", "strong") == ["정답 1", "정답 2"]
    assert shown.parts("dev_3", "span.chip") == ["빈 요약", "너무 짧음"] * 2
    assert shown.parts("dev_3", "span.empty") == ["(빈 요약)"]
    assert shown.parts("dev:7", "b") == ["민수: ", "수지: ", "영희: "]
    assert shown.parts("dev_4", "li") == [HOSTILE]
    assert shown.parts("dev_4", "span.odd") == ["#Person9#"]
    assert re.fullmatch(r"\d+\.\d\d · out\.csv", shown.title)
    assert "img" not in shown.tags


def test_a_reader_opens_rows_and_changes_what_is_shown(page: Path) -> None:
    changed = with_script(
        page,
        """
        const field = (name) => document.querySelector(`#controls [name=${name}]`);
        const change = (element, value) => {
          element.value = value;
          element.dispatchEvent(new Event("input", { bubbles: true }));
        };
        change(field("filter"), "person");
        document.querySelector("[data-id=dev_0] summary").click();
        document.querySelectorAll("[data-id=dev_0] input")[1].click();
        document.querySelector("[name=show][value='2']").click();
        change(field("sort"), "final");
        document.querySelector("[data-id=dev_3] summary").click();
        document.querySelector("[data-id=dev_3] summary").click();
        document.querySelector(".skip").click();
        document.title = `${location.hash} ${document.activeElement.id}`;
        """,
    )
    shown = browse(changed)
    assert shown.rows == ["dev_3", "dev_4", "dev_0"]
    assert list(shown.open) == ["dev_0"]
    assert shown.title == "#filter=person&sort=final&show=2&open=dev_0&reference=2%3Adev_0 rows"
    # With the second reference, 밥을 먹습니다.
    marks = ["을 먹습니다", "점심을 먹습니다", "을 먹습니다"]
    assert shown.parts("dev_0", "mark.counted") == marks
    # Another user with this address sees the same.
    again = browse(page, shown.title.removeprefix("#").removesuffix(" rows"))
    assert (again.rows, list(again.open)) == (["dev_3", "dev_4", "dev_0"], ["dev_0"])
    assert again.parts("dev_0", "mark.counted") == marks


def test_the_reference_that_fits_best_needs_no_word_in_the_address(page: Path) -> None:
    changed = with_script(
        page,
        """
        document.querySelector("[data-id=dev_0] summary").click();
        const seen = [1, 0].map((place) => {
          document.querySelectorAll("[data-id=dev_0] input")[place].click();
          return location.hash;
        });
        document.title = JSON.stringify(seen);
        """,
    )
    assert json.loads(browse(changed).title) == ["#open=dev_0&reference=2%3Adev_0", "#open=dev_0"]
