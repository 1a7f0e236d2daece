"""The page of a service, as a user works with it."""

from __future__ import annotations

import json
from typing import Any

from chromium import Browser, Tab
from running_service import Running

__all__ = ["TALK", "feedback", "open_page", "paste", "read", "summarise", "sums"]

TALK = (
    "민지: 내일 몇 시에 볼까?\n"
    "도윤: 여섯 시 어때? 늦으면 010-1234-5678로 전화해.\n"
    "민지: 좋아, 그때 봐.\n"
    "서연: 나도 갈게."
)
DONE = (
    "document.querySelectorAll('.card').length > 0"
    " && document.querySelectorAll('.card:not([data-state=done])').length === 0"
)
"""True when all summaries are finished."""


def open_page(browser: Browser, service: Running, **options: Any) -> Tab:
    """Open the page and wait until it knows the models."""
    tab = browser.open(f"{service.url}/", **options)
    models = "document.querySelector('#column-a [data-name=model]')?.options.length"
    tab.wait(f"{models} || document.querySelector('dialog[open]')")
    return tab


def paste(tab: Tab, text: str) -> None:
    """Paste a dialogue into the empty page, and wait until it is read."""
    tab.run("document.getElementById('text').focus()")
    tab.paste(text)
    tab.wait("document.querySelectorAll('#turns li').length")


def read(tab: Tab) -> list[tuple[str, str]]:
    """Return the turns that are shown: speaker and words."""
    script = (
        "[...document.querySelectorAll('#turns li')].map((row) =>"
        " [row.querySelector('b')?.textContent, row.querySelector('.words').textContent])"
    )
    return [(speaker, words) for speaker, words in tab.run(script)]


def summarise(tab: Tab) -> None:
    """Summarise, and wait until all summaries are finished."""
    tab.click("#summarise")
    tab.wait(DONE)


def sums(tab: Tab, side: str = "A") -> list[str]:
    """Return the texts of the summaries of a side, one for each part."""
    return tab.texts(f".card[data-side={side}] .text")


def feedback(service: Running) -> list[dict[str, Any]]:
    """Return the lines of the file of feedback."""
    return [
        json.loads(line) for line in (service.folder / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    ]
