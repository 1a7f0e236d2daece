"""The page of an evaluation: its content, its safety, and how it is written."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import messages
import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import raises
from test_evaluate import DIALOGUES, make_run, predict, write_data, write_summaries

from llm_summ.core.errors import DataError
from llm_summ.data import read_dialogues
from llm_summ.evaluate.evaluation import Evaluation, evaluate_file, evaluate_run
from llm_summ.evaluate.page import curves
from llm_summ.evaluate.page.curves import length_curves
from llm_summ.evaluate.page.write import check_page, page_html, write_page
from llm_summ.score.metric import COMPETITION, Metric

HOSTILE = (
    "</script><script>document.title='끝'</script>",
    "<!-- <img src=x onerror=alert(1)> -->",
    "\"quotes\" & 'quotes' &lt;b&gt; {{ 7 * 7 }} {% raw %}",
    "줄\u2028바꿈\u2029문자 \ufeff 😀 \x7f",
)


class Elements(HTMLParser):
    """Parse every element of a page with its attributes, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:  # what is within a script or a style
            self.raw[self.cdata_elem][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def text(self, tag: str, place: int = 0) -> str:
        """Return the text of the style, or of one of the scripts."""
        return self.raw[tag][place]


def evaluated(
    rows: Mapping[str, tuple[str, str, Sequence[str]]], metric: Metric = COMPETITION, topic: str = ""
) -> Evaluation:
    """Evaluate rows of a dialogue, a summary and references, by id."""
    most = max(len(references) for _, _, references in rows.values())
    with Path("dev.csv").open("w", encoding="utf-8", newline="") as file:
        columns = [f"summary{place + 1}" for place in range(most)]
        csv.writer(file).writerow(["fname", "dialogue", "topic", *columns])
        for identity, (dialogue, _, references) in rows.items():
            csv.writer(file).writerow([identity, dialogue, topic, *references])
    path = write_summaries(Path("out.csv"), [(identity, summary) for identity, (_, summary, _) in rows.items()])
    return evaluate_file(path, "dev.csv", metric)


def held(page: bytes) -> list[dict[str, Any]]:
    """Return the rows that the page's script reads."""
    return json.loads(Elements(page.decode()).text("script"))["rows"]


@pytest.fixture
def plain(in_tmp: Path) -> Evaluation:
    return evaluate_file(
        write_summaries(
            Path("out.csv"),
            [("dev_0", "#Person2#는 점심을 먹었다."), ("dev_3", ""), ("dev_4", "#Person9#")],
        ),
        write_data(Path("dev.csv")),
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_are_data_and_never_markup(in_tmp: Path, hostile: str) -> None:
    other = ("#Person1#: 네", "네", ["네", "예"])
    identity = " ".join(hostile.split())
    rows = {identity: (f"#Person1#: {hostile}", hostile, [f"{hostile} 하나", f"{hostile} 둘"]), "dev_1": other}
    harmless = page_html(evaluated({"dev_0": other, "dev_1": other}, topic="날씨"))
    page = page_html(evaluated(rows, topic=hostile))
    kinds = {tag for tag, _ in Elements(page.decode()).found}
    assert kinds == {tag for tag, _ in Elements(harmless.decode()).found}
    assert [attributes.get("type") for attributes in Elements(page.decode()).of("script")] == [
        "application/json",
        None,
    ]
    assert b"<!--" not in page
    row = held(page)[0]
    assert (row["id"], row["turns"], row["summary"]["text"]) == (identity, [["#Person1#: ", hostile]], hostile)
    assert [reference["text"] for reference in row["references"]] == [f"{hostile} 하나", f"{hostile} 둘"]


def test_the_page_makes_no_requests_and_runs_only_its_own_script(plain: Evaluation) -> None:
    page = page_html(plain).decode()
    elements = Elements(page)
    [policy] = [
        attributes["content"] or ""
        for attributes in elements.of("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = {
        f"{kind}-src": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for kind, text in (("script", elements.text("script", 1)), ("style", elements.text("style")))
    }
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert allowed == {
        "default-src": "'none'",
        **{kind: f"'sha256-{digest}'" for kind, digest in hashes.items()},
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    attributes = {(name, value) for _, found in elements.found for name, value in found.items()}
    assert not {name for name, _ in attributes} & {"src", "srcset", "data", "action", "style"}
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert {value for name, value in attributes if name == "href"} == {"#rows"}
    assert "@import" not in page
    assert "url(" not in page
    assert elements.of("html") == [{"lang": "ko"}]
    assert "word-break: keep-all" in elements.text("style")


def test_the_page_shows_the_score_as_eval_does(plain: Evaluation) -> None:
    page = page_html(plain).decode()
    for score in (plain.score, plain.other):
        assert f"<td>{score.rouge1:.2f}" in page
        assert f"<td>{score.final:.2f}" in page
        assert plain.summaries.sign(score) in page
    final = plain.intervals["final"]
    assert f"<small>{final.low:.2f}–<wbr>{final.high:.2f}</small>" in page
    [warning] = plain.warnings
    assert warning in page
    assert "대화가 적어 실제보다 좁습니다" in page


def test_a_row_has_its_scores_words_and_flags(plain: Evaluation) -> None:
    rows = held(page_html(plain))
    assert [row["id"] for row in rows] == list(DIALOGUES)
    assert [row["scores"] for row in rows] == [[round(one, 2) for one in row.score] for row in plain.rows]
    # A mean over the references, of which there is one.
    for row in rows:
        assert [figures[2] for figures in row["references"][0]["scores"]] == row["scores"][:3]
    assert [row["flags"] for row in rows] == [
        {},
        {"empty": [], "short": []},
        {"short": [], "invented speakers": ["#Person9#"], "lost speakers": ["#Person1#"]},
    ]
    # #|Person|2|#|는| 점심|을| 먹|었|다|.: the full stop is not a word for the baseline's ROUGE.
    words = [0, 1, 0, 6, 0, 1, 0, 1, 0, 1, 1, 2, 0, 1, 1, 1, 0, 1, 0, 1]
    assert rows[0]["summary"] == {"text": "#Person2#는 점심을 먹었다.", "words": words}
    # …| 먹|지| 않|았|습니다: the same up to 먹, which begins no common pair; a second # counts in its pair.
    assert rows[0]["references"][0]["own"] == "dddnddda00"
    assert rows[0]["references"][0]["marks"] == "dddnddda0000"


def test_lengths_are_in_the_units_of_javascript(in_tmp: Path) -> None:
    page = page_html(evaluated({"dev_0": ("네", "😀 가 😀나", ["가 😀"])}, Metric("rouge", "space")))
    [row] = held(page)
    assert row["summary"]["words"] == [0, 2, 1, 1, 1, 3]
    assert row["references"][0]["words"] == [0, 1, 1, 2]


def test_the_name_of_a_file_may_be_undecodable(plain: Evaluation) -> None:
    odd = Path(os.fsdecode(b"\xff<b>.csv"))
    Path("out.csv").rename(odd)
    assert "<h1>?&lt;b&gt;.csv</h1>" in page_html(evaluate_file(odd, "dev.csv")).decode()


def test_a_generation_that_was_cut_off_is_odd(in_tmp: Path) -> None:
    run = make_run("mine")
    data = write_data(Path("dev.csv"))
    predict(run, "dev.hf", finish="length")
    page = page_html(evaluate_run(run, data))
    assert [list(row["flags"]) for row in held(page)] == [["cut off"]] * 3
    assert "<h1>mine · dev.hf.jsonl</h1>" in page.decode()
    assert '<option value="cut off">길이 제한에 걸림 (3)</option>' in page.decode()


@pytest.mark.parametrize(
    "metric", [Metric("rouge-score"), Metric(aggregate="max"), Metric("rouge-score", "rouge-score-stem")]
)
def test_any_metric_has_its_page(in_tmp: Path, metric: Metric) -> None:
    result = evaluated({"dev_0": ("Tom: hi", "They meet at 10.", ["Tom met 10 friends.", "10"])}, metric)
    [row] = held(page_html(result))
    f1 = [[figures[2] for figures in reference["scores"]] for reference in row["references"]]
    combine = max if metric.aggregate == "max" else lambda values: sum(values) / len(values)
    assert row["scores"][:3] == pytest.approx([combine(one) for one in zip(*f1, strict=True)], abs=0.011)
    assert result.signature in page_html(result).decode()


def test_the_same_evaluation_gives_the_same_page(plain: Evaluation) -> None:
    assert page_html(plain) == page_html(plain)


def test_curves_have_a_dot_a_row_and_a_line_of_the_middle(in_tmp: Path) -> None:
    rows = evaluate_file(
        write_summaries(
            Path("out.csv"), [(row.id, row.references[0][:60]) for row in read_dialogues("sample:dev")]
        ),
        "sample:dev",
    ).rows
    for curve in length_curves(rows * 4):
        assert curve.left_out == ""
        assert curve.svg.count("<title>dev_") == 128
        assert curve.svg.count('class="part"') == 5
        places = [float(number) for number in re.findall(r'c[xy]="([^"]*)"', curve.svg)]
        assert min(places) >= 0
        assert max(places) <= 440
    assert [curve.svg.count('class="part"') for curve in length_curves(rows[:1])] == [1, 1, 1]


def test_rows_without_a_dot_are_listed_below_the_picture(in_tmp: Path) -> None:
    text = "#Person1#: 네"
    rows = evaluated({f"dev_{place}": (text, "네" * (1 + place % 9), ["네네네"]) for place in range(10)}).rows
    note = "점은 대화 {}개 중 {}개마다 하나씩 그렸고, 선은 모든 대화로 계산했습니다."
    for times, dots, left_out in (
        (200, 2000, ""),
        (201, 1005, note.format("2,010", 2)),
        (600, 2000, note.format("6,000", 3)),
    ):
        for curve in length_curves(rows * times):
            assert curve.svg.count("<title>dev_") == dots
            assert curve.left_out == left_out


def test_the_page_lists_which_dots_are_left_out(plain: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    note = "<p>점은 대화 3개 중 2개마다 하나씩 그렸고, 선은 모든 대화로 계산했습니다.</p>"
    assert page_html(plain).decode().count(note) == 0
    monkeypatch.setattr(curves, "_MOST_DOTS", 2)
    assert page_html(plain).decode().count(f"</svg>\n{note}\n</figure>") == 3


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("page.txt", snapshot("--html page.txt: expected a name that ends in .html")),
        ("page.html", snapshot("--html page.html: is there already; choose another name, nothing is overwritten")),
        ("folder.html", snapshot("--html folder.html: is a folder; choose another name, nothing is overwritten")),
        ("link.html", snapshot("--html link.html: is there already; choose another name, nothing is overwritten")),
        ("dev.csv/page.html", snapshot("dev.csv: is a file; expected a folder for page.html")),
    ],
)
def test_nothing_is_overwritten(plain: Evaluation, out: str, message: str) -> None:
    Path("page.html").write_text("mine", encoding="utf-8")
    Path("folder.html").mkdir()
    Path("link.html").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))
    for refuse in (lambda: check_page(Path(out)), lambda: write_page(plain, Path(out))):
        with raises(DataError) as error:
            refuse()
        assert error.message == message
    assert sorted(Path().rglob("*")) == before
    assert Path("page.html").read_text(encoding="utf-8") == "mine"


def test_a_page_is_written_into_a_new_folder(plain: Evaluation) -> None:
    write_page(plain, Path("new/folder/page.html"))
    assert Path("new/folder/page.html").read_bytes() == page_html(plain)
    assert [path.name for path in Path("new/folder").iterdir()] == ["page.html"]


def test_the_command_writes_the_page_and_prints_the_report(plain: Evaluation) -> None:
    arguments = ("eval", "dev.csv", "--predictions", "out.csv")
    before, after = llm_summ(*arguments), llm_summ(*arguments, "--html", "page.html")
    assert (after.code, after.out) == (0, before.out)
    assert after.err == f"{before.err}page.html\n"
    assert Path("page.html").read_bytes() == page_html(plain)
    # Reported before anything is scored: the data are not even opened.
    again = refused(llm_summ("eval", "nowhere.csv", "--predictions", "out.csv", "--html", "page.html"))
    assert again == "--html page.html: is there already; choose another name, nothing is overwritten"
    both = llm_summ("eval", "dev.csv", "--html", "other.html", "--compare", "out.csv", "out.csv")
    assert both.code == 2
    assert messages.plain(both.err) == snapshot("Error: --html shows one system: leave it out with --compare\n")
