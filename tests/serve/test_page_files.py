"""The files of the page: nothing from elsewhere, no markup made of texts, the same words in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_summ.serve import page
from llm_summ.serve.page import POLICY, page_file

FOLDER = Path(page.__file__).parent
SOURCES = {
    path.name: path.read_text(encoding="utf-8")
    for path in FOLDER.iterdir()
    if path.suffix != ".py" and path.is_file()
}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r'(?:src|href)="page/([^"]+)"', SOURCES["index.html"]))
    named |= set(re.findall(r'url\("([^"]+)"\)', SOURCES["page.css"]))
    named |= {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert named | {"index.html"} == set(SOURCES)
    for name in named:
        assert page_file(name) is not None
    for name in ("../app.py", "__init__.py", "", "nothing.js"):
        assert page_file(name) is None


def test_nothing_comes_from_another_host_and_no_text_becomes_markup() -> None:
    for name, text in SOURCES.items():
        addresses = [found for found in re.findall(r"https?://[^\s\"'`)]+", text) if "www.w3.org" not in found]
        assert addresses == [], name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), name
    markup = SOURCES["index.html"]
    assert not re.search(r"\s(style|on\w+)=", markup)
    assert not re.search(r"<style|<script>", markup)
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_both_languages_have_the_same_words_and_the_page_has_no_others() -> None:
    keys = {
        language: set(re.findall(r'^  (?:"([^"]+)"|(\w+)):', SOURCES[f"words_{language}.js"], re.MULTILINE))
        for language in ("en", "ko")
    }
    english, korean = ({one or other for one, other in found} for found in keys.values())
    assert english == korean
    assert len(english) > 100
    named = set(re.findall(r'data-words(?:-[a-z-]+)?="([^"]+)"', SOURCES["index.html"]))
    assert named <= english
    # The rest is in scripts, as a text or as the beginning of one: `theme ${theme}`. Unknown words raise an error.
    scripts = "".join(text for name, text in SCRIPTS.items() if not name.startswith("words_"))
    begun = tuple(re.findall(r"`([a-z]+ )\$\{", scripts))
    inside = {"masked", "PersonalData"}  # which other entries use
    unused = {word for word in english - named - inside if f'"{word}"' not in scripts}
    assert {word for word in unused if not word.startswith(begun)} == set()
    assert not any(
        re.search("[가-힣]", text)
        for name, text in SCRIPTS.items()
        if name not in ("words_ko.js", "words_en.js", "sample_dialogue.js")
    )


def _colours(index: int) -> dict[str, tuple[float, ...]]:
    """Return the colours of the light theme (0) or of the dark one (1)."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", SOURCES["page.css"])
    colours = {}
    for name, *both in found:
        digits = both[index][1:]
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        colours[name] = tuple(int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return colours


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it."""

    def luminance(colour: tuple[float, ...]) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_have_the_contrast_that_wcag_aa_asks_for(theme: int) -> None:
    colours = _colours(theme)
    texts = [(name, paper) for name in ("ink", "faint") for paper in ("ground", "paper", "raised")]
    texts += [("ink", "counted"), ("accent", "paper"), ("accent", "raised"), ("accent", "counted")]
    texts += [("on-accent", "accent"), ("on-accent", "accent-strong"), ("paper", "ink")]
    texts += [
        ("bad", "paper"),
        ("bad", "bad-paper"),
        ("ink", "bad-paper"),
        ("note", "note-paper"),
        ("note", "paper"),
    ]
    texts += [(f"hue{number}", paper) for number in range(6) for paper in ("paper", "raised", "counted")]
    assert {
        (text, paper): ratio for text, paper in texts if (ratio := _contrast(colours[text], colours[paper])) < 4.5
    } == {}
    edges = [("field-edge", "paper"), ("accent", "ground"), ("good", "ground")]
    assert {edge: ratio for edge in edges if (ratio := _contrast(*(colours[name] for name in edge))) < 3} == {}
