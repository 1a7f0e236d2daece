"""The page of the service in Chromium, with a model that writes token by token, and with a key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, Tab, needs_chromium
from running_service import Running, running
from service_page import TALK, feedback, open_page, paste, summarise, sums

pytestmark = [needs_chromium, pytest.mark.slow]

TOKENS = 400
TEXT = "document.querySelector('.card .text')"


@pytest.fixture(scope="module")
def service(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = ("--model", str(tiny_model), "--engine", "hf", "--max-requests", "2", "--feedback", "feedback.jsonl")
    tokens = ("--set", f"generate.max_new_tokens={TOKENS}", "--set", f"generate.min_new_tokens={TOKENS - 1}")
    with running(*model, *tokens, cwd=tmp_path_factory.mktemp("streams"), key="sesame") as started:
        yield started


def enter(browser: Browser, service: Running) -> Tab:
    """Open the page, and give it the key."""
    tab = open_page(browser, service)
    tab.wait("document.querySelector('dialog[open]')")
    tab.type("sesame")
    tab.press("Enter")
    tab.wait("document.querySelector('#column-a [data-name=model]').options.length")
    return tab


def test_the_key_is_asked_for_until_it_is_right_and_kept_for_the_tab(browser: Browser, service: Running) -> None:
    tab = open_page(browser, service)
    tab.wait("document.querySelector('dialog[open]')")
    asked = tab.texts("#key-why")
    tab.type("open")
    tab.press("Enter")
    tab.wait("document.querySelector('dialog[open]') && document.activeElement.value === ''")
    assert tab.texts("#key-why") != asked
    tab.click("#key-cancel")
    tab.wait("document.querySelector('#problems .retry')")
    tab.click("#problems .retry")
    tab.wait("document.querySelector('dialog[open]')")
    tab.type("sesame")
    tab.press("Enter")
    tab.wait("document.querySelector('#column-a [data-name=model]').options.length")
    assert tab.texts("#problems .problem") == []
    paste(tab, TALK)
    assert tab.run("Object.values(localStorage).concat(document.cookie).join()").strip(",") == ""
    tab.go(f"{service.url}/?again")
    tab.wait("document.querySelector('#column-a [data-name=model]').options.length")
    assert tab.run("Object.values(sessionStorage).join()") == "sesame"


def test_a_summary_grows_while_it_is_written_and_can_be_stopped(browser: Browser, service: Running) -> None:
    tab = enter(browser, service)
    paste(tab, TALK)
    # The fourth length of the text presses the button: a command from here may come when all is written.
    tab.run(
        """
        window.seen = new Set();
        new MutationObserver(() => {
          const text = document.querySelector(".card .text")?.textContent;
          if (text) seen.add(text.length);
          if (seen.size !== 4 || window.then) return;
          const busy = document.querySelector(".card .body").getAttribute("aria-busy");
          window.then = [busy, document.activeElement.id];
          document.activeElement.click();
        }).observe(document.getElementById("groups"), { subtree: true, childList: true, characterData: true });
        document.getElementById("summarise").focus();
        """
    )
    tab.press("Enter")
    tab.wait("document.querySelector('[data-state=stopped]')")
    assert tab.run("window.then") == ["true", "stop"]
    stopped = tab.run(f"{TEXT}.textContent")
    assert tab.run("document.activeElement.id") == "summarise"
    service.until_logged("POST /v1/summaries ")  # 499, or 200 where all was written before the service knew
    assert "unexpected" not in service.log()
    assert tab.run(f"{TEXT}.textContent") == stopped
    summarise(tab)
    [text] = sums(tab)
    assert tab.texts(".card .status")[0].endswith("토큰")
    assert len(text) > len(stopped)
    assert tab.problems() == []


def test_the_better_one_of_two_is_kept(browser: Browser, service: Running) -> None:
    tab = enter(browser, service)
    paste(tab, TALK)
    tab.click("#compare")
    tab.choose("#column-a [data-name=prompt]", "meeting")
    tab.choose("#column-b [data-name=prompt]", "call")
    summarise(tab)
    [[a], [b]] = sums(tab, "A"), sums(tab, "B")
    assert a != b
    assert tab.texts(".card .name") == ["tiny · meeting", "tiny · call"]
    before = feedback(service)
    tab.click(".card[data-side=B] .better")
    tab.wait("document.querySelector('.card.chosen')")
    assert tab.run("document.querySelector('.card.chosen').dataset.side") == "B"
    [line] = feedback(service)[len(before) :]
    assert (line["kind"], line["model"]) == ("better", "tiny")
    # What has no letters at its ends may be cut by the template of the answer.
    assert (line["chosen"].strip(), line["rejected"].strip()) == (b.strip(), a.strip())
    assert "도윤: 여섯 시 어때?" in line["prompt"]
    assert tab.texts(".better") == []
    assert tab.problems() == []


def test_a_busy_service_is_tried_again_when_it_says(browser: Browser, service: Running) -> None:
    tab = enter(browser, service)
    paste(tab, TALK)
    ended = threading.Event()

    def occupy() -> None:
        body = {"text": TALK * 3, "stream": True}
        while not ended.is_set():
            with service.client.stream("POST", "/v1/summaries", json=body) as response:
                for _ in response.iter_bytes():
                    if ended.is_set():
                        break

    # One more than there are places: so none is ever free.
    others = [threading.Thread(target=occupy) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for _ in range(50):
            tab.click("#summarise")
            tab.wait("document.querySelector('#problems .retry') || document.querySelector('[data-state=done]')")
            if tab.texts("#problems .retry"):
                break
        [text] = tab.texts("#problems .problem")
        assert "요청이 많아 지금은 받을 수 없습니다" in text
        assert "초 뒤에 다시 시도" in text
        assert tab.run("document.querySelector('#problems .retry').disabled")
    finally:
        ended.set()
        for other in others:
            other.join()
    tab.wait("!document.querySelector('#problems .retry').disabled")
    tab.click("#problems .retry")
    tab.wait("document.querySelector('[data-state=done]')")
    assert tab.texts("#problems .problem") == []
