"""The page of the service in Chromium, with the engine echo: its summary is the beginning of the dialogue."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import Browser, needs_chromium
from running_service import Running, running
from service_page import DONE, TALK, feedback, open_page, paste, read, summarise, sums

pytestmark = [needs_chromium, pytest.mark.slow]

FORMATS = Path(__file__).parents[1] / "data" / "formats"
HOSTILE = "<img src=x onerror=\"document.title='끝'\"><script>document.title='끝'</script>"


@pytest.fixture(scope="module")
def echo(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = ("--model", str(tiny_model), "--engine", "echo", "--set", "prompt.max_prompt_tokens=300")
    others = ("--feedback", "feedback.jsonl", "--max-body", "0.3")
    with running(*model, *others, cwd=tmp_path_factory.mktemp("echo")) as service:
        yield service


def long_talk(turns: int = 40) -> str:
    return "\n".join(
        f"{'민지' if turn % 2 else '도윤'}: {turn}번 안건은 찬성이에요." for turn in range(1, turns + 1)
    )


def test_a_pasted_dialogue_is_read_and_summarised_without_other_hosts(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, TALK)
    assert read(tab) == [tuple(line.split(": ", 1)) for line in TALK.splitlines()]
    assert tab.run("[...document.querySelectorAll('.speaker input')].map((field) => field.value)") == [
        "민지",
        "도윤",
        "서연",
    ]
    tab.press("Enter", "Control")
    tab.wait(DONE)
    answer = echo.client.post("/v1/summaries", json={"text": TALK, "long": "list"}).json()
    assert sums(tab) == [answer["summaries"][0]["summary"]]
    assert not tab.run("document.querySelector('.card .body').hasAttribute('aria-busy')")
    assert {urlsplit(address).netloc for address in tab.requests()} == {urlsplit(echo.url).netloc}
    assert tab.problems() == []


def test_the_conversations_of_a_dropped_file_are_summarised_and_saved(
    browser: Browser, echo: Running, tmp_path: Path
) -> None:
    tab = open_page(browser, echo)
    tab.drop([FORMATS / "windows-ko.txt"])
    tab.wait("document.querySelectorAll('#turns li').length")
    with (FORMATS / "windows-ko.txt").open("rb") as file:
        dialogues = echo.client.post("/v1/dialogues", files={"file": ("windows-ko.txt", file)}).json()["dialogues"]
    assert len(dialogues) == 3
    options = tab.run("[...document.getElementById('which').options].map((option) => option.textContent)")
    assert [one["id"] in option for one, option in zip(dialogues, options, strict=True)] == [True] * 3
    assert len(read(tab)) == len(dialogues[0]["turns"])
    # Times of turns are shown where the file has them.
    assert tab.texts("#turns .number")[:2] == ["0:00", "1:00"]
    tab.click("#next")
    assert [words for _, words in read(tab)] == [turn["text"] for turn in dialogues[1]["turns"]]
    tab.click("#all")
    tab.downloads(tmp_path)
    summarise(tab)
    assert tab.texts(".group h3") == [one["id"] for one in dialogues]
    tab.click("#save-csv")
    saved = tmp_path / "summaries.csv"
    until = time.monotonic() + 30
    while not saved.exists() or not saved.stat().st_size:
        assert time.monotonic() < until
        time.sleep(0.05)
    head, *rows = csv.reader(io.StringIO(saved.read_text(encoding="utf-8-sig")))
    assert head == ["fname", "summary"]
    assert [row[0] for row in rows] == [one["id"] for one in dialogues]
    assert all(row[1] for row in rows)
    assert tab.problems() == []


def test_a_speaker_gets_another_name_in_turns_and_summary(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, TALK)
    tab.run("document.querySelector('.speaker input').select()")
    tab.type("김 과장")
    tab.press("Enter")
    assert [speaker for speaker, _ in read(tab)] == ["김 과장", "도윤", "김 과장", "서연"]
    summarise(tab)
    assert sums(tab)[0].startswith("김 과장: 내일")
    assert tab.texts(".stale") == []
    tab.run("document.querySelector('.speaker input').focus()")
    tab.press("Escape")  # the name that the file has
    assert next(speaker for speaker, _ in read(tab)) == "민지"
    assert len(tab.texts(".stale")) == 1
    summarise(tab)
    assert sums(tab)[0].startswith("민지: 내일")
    assert tab.texts(".stale") == []


def test_a_part_leads_to_its_turns_and_back(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, long_talk())
    summarise(tab)
    ranges = tab.texts(".range")
    assert len(ranges) > 1
    tab.click(".part:nth-child(2) .range")
    first, last = map(int, ranges[1].removeprefix("발화 ").split("–"))
    marked = tab.run("[...document.querySelectorAll('#turns .marked')].map((row) => Number(row.dataset.number))")
    assert marked == list(range(first, last + 1))
    tab.wait(
        "(() => { const row = document.querySelector('.marked').getBoundingClientRect();"
        "const box = document.getElementById('turns-scroll').getBoundingClientRect();"
        "return row.top >= box.top && row.bottom <= box.bottom; })()"
    )
    assert tab.run("document.activeElement.id") == "turns-scroll"
    tab.click("#to-summary")
    assert tab.run("document.activeElement.textContent") == ranges[1]
    tab.click("#unmark")
    assert tab.run("document.querySelectorAll('.marked').length") == 0


def test_texts_are_never_run(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, f"{HOSTILE}민지: {HOSTILE}\n도윤: 네\n<b>수지</b>: {HOSTILE}")
    summarise(tab)
    assert HOSTILE in "".join(words for _, words in read(tab))
    assert HOSTILE in sums(tab)[0]
    assert tab.run("document.querySelectorAll('main img, main script, #turns b b').length") == 0
    tab.click("#show-text")
    assert tab.run("document.title") == "대화 요약 · llm-summ"
    assert tab.problems() == []


def test_errors_are_explained_and_can_be_tried_again(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, TALK)
    tab.choose("#candidates", "4")  # which echo does not have
    tab.click("#summarise")
    tab.wait("document.querySelector('#problems .problem:not([hidden])')")
    [text] = tab.texts("#problems .problem")
    refused = echo.client.post("/v1/summaries", json={"text": TALK, "best_of": 4})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] in text
    assert "이대로는 요약할 수 없습니다" in text
    assert tab.texts("#problems .retry") == []  # the same request would fail again
    tab.choose("#candidates", "1")

    tab.send(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    tab.click("#summarise")
    tab.wait("document.querySelector('#problems .retry')")
    assert "서비스에 연결할 수 없습니다" in tab.texts("#problems .problem")[0]
    tab.send(
        "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    tab.click("#problems .retry")
    tab.wait(DONE)
    assert tab.texts("#problems .problem") == []

    tab.click("#clear")
    tab.run("document.getElementById('text').focus()")
    tab.paste("민지: 아주 긴 대화입니다.\n" * 20000)
    tab.wait("document.querySelector('#read-problem:not([hidden])')")
    assert "너무 커서" in tab.texts("#read-problem")[0]


def test_languages_and_colours_are_switched_and_kept(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, TALK)
    summarise(tab)
    assert tab.run("document.documentElement.lang") == "ko"
    [length] = tab.texts(".card .status")
    assert length.endswith("자")
    tab.click("#language")
    assert tab.run("document.documentElement.lang") == "en"
    assert tab.texts("#summarise span") == ["Summarise"]
    assert tab.texts(".card .status") == [length.removesuffix("자") + " characters"]
    # What is Korean now comes from the dialogue, or is the button for Korean.
    tab.run(
        "document.querySelectorAll('#turns, #speakers, .card .body, #language').forEach((one) => one.remove())"
    )
    assert not tab.run("/[가-힣]/.test(document.body.innerText)")
    light = tab.run("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    assert tab.run("document.documentElement.dataset.theme") == "light"
    tab.click("#theme")
    assert tab.run("getComputedStyle(document.body).backgroundColor") != light
    tab.go(f"{echo.url}/?again")
    tab.wait("document.querySelector('#summarise span').textContent === 'Summarise'")
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    kept = tab.run("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert json.loads(kept) == [{"llm-summ.language": "en", "llm-summ.theme": "dark"}, {}]
    english = open_page(browser, echo, language="en-US")
    assert english.texts("#summarise span") == ["Summarise"]


def test_everything_can_be_reached_by_keys_and_has_a_name(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    reached: list[str] = []
    for _ in range(30):
        tab.press("Tab")
        reached.append(
            tab.run(
                "(({ id, dataset, className, tagName }) => id || dataset.name || className || tagName)"
                "(document.activeElement)"
            )
        )
        if reached[-1] == "summarise":
            break
    assert reached[:2] == ["skip", "language"]
    assert {"text", "open", "sample", "model", "prompt", "mask", "compare", "summarise"} <= set(reached)
    outlined = tab.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outlined == "solid"
    tab.press("Tab", "Shift")
    tab.run("document.getElementById('text').focus()")
    tab.type(TALK)
    tab.press("Enter", "Control")
    tab.wait(DONE)
    assert tab.run("getComputedStyle(document.getElementById('turns-view')).display") != "none"
    tab.click("#compare")
    tab.run("document.querySelector('.more').open = true")
    tab.send("Accessibility.enable")
    roles = {"button", "combobox", "textbox", "switch", "checkbox", "link", "DisclosureTriangle"}
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(controls) > 20
    assert [node["role"]["value"] for node in controls if not node["name"]["value"]] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, echo: Running, width: int) -> None:
    tab = open_page(browser, echo, width=width, height=800)
    tab.resize(width, 800, mobile=width < 500)
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for language in ("ko", "en"):
        assert tab.run("document.documentElement.lang") == language
        assert tab.run(wider) <= 0
        paste(tab, long_talk() + "\n" + "아주긴이름" * 12 + ": " + "http://example.com/" + "a" * 300)
        tab.click("#mask")
        tab.run("document.querySelector('.more').open = true")
        summarise(tab)
        tab.click(".range")
        assert tab.run(wider) <= 0
        tab.click("#compare")
        summarise(tab)
        tab.click(".card .edit")
        assert tab.run(wider) <= 0
        tab.click("#compare")
        tab.click("#mask")
        tab.click("#clear")
        tab.click("#language")


def test_personal_data_is_hidden_and_comes_back(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, "민지: 제 번호는 010-1234-5678이에요.\n도윤: 네, 전화드릴게요.")
    tab.click("#mask")
    summarise(tab)
    assert "010-1234-5678" in sums(tab)[0]
    assert tab.texts(".notes li") == ["모델에 숨긴 개인정보: 전화번호 ×1"]
    tab.click("#unmask")
    assert len(tab.texts(".stale")) == 1
    summarise(tab)
    assert "#PhoneNumber#" in sums(tab)[0]
    assert "010-1234-5678" not in sums(tab)[0]


def test_a_corrected_summary_is_kept_only_if_the_service_keeps_feedback(browser: Browser, echo: Running) -> None:
    tab = open_page(browser, echo)
    paste(tab, TALK)
    tab.run("document.querySelector('.speaker input').select()")
    tab.type("지우")
    summarise(tab)
    written = sums(tab)[0]
    before = feedback(echo)
    tab.click(".card .edit")
    assert tab.run("document.querySelector('.editing button').disabled")  # nothing is changed yet
    tab.run("document.activeElement.select()")
    tab.type("지우와 도윤은 내일 여섯 시에 만난다.")
    tab.click(".editing button")
    tab.wait("!document.querySelector('.editing')")
    assert sums(tab) == ["지우와 도윤은 내일 여섯 시에 만난다."]
    [line] = feedback(echo)[len(before) :]
    assert (line["kind"], line["chosen"], line["rejected"]) == (
        "edited",
        "지우와 도윤은 내일 여섯 시에 만난다.",
        written,
    )
    assert "지우: 내일 몇 시에 볼까?" in line["prompt"]
    assert "민지" not in line["prompt"]

    tab.run("document.getElementById('clear').click()")
    paste(tab, long_talk())
    summarise(tab)
    tab.click(".part:nth-child(2) .edit")
    tab.run("document.activeElement.select()")
    tab.type("둘이 찬성한다.")
    tab.click(".editing button")
    tab.wait("!document.querySelector('.editing')")
    [part] = feedback(echo)[len(before) + 1 :]
    first = int(str(tab.run("document.querySelector('.part:nth-child(2) .range').dataset.first")))
    assert part["chosen"] == "둘이 찬성한다."
    assert f": {first - 1}번 안건" in part["prompt"]  # the overlap
    assert f": {first - 2}번 안건" not in part["prompt"]
    tab.choose("#long", "merge")  # no single prompt led to a merged summary
    summarise(tab)
    assert tab.texts(".card .edit") == []
    tab.choose("#long", "list")

    tab.run("import('./page/feedback.js').then((module) => module.allow(false))")
    summarise(tab)
    assert tab.texts(".card .edit") == []
    assert tab.problems() == []
