"""Speaker tags and masks, and how they are misspelt.

A tag is ``#Person1#``; a mask, ``#PhoneNumber#``, stands where personal data stood. A line of a dialogue begins
with a tag and a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["GAP", "LIKE_A_TAG", "TAG", "TURN", "is_tagged", "odd_tags", "proper_tags"]

GAP = r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
r"""White space within a line; \s would also take what ends lines in other systems."""

_MASKS = (
    *("PhoneNumber", "Address", "DateOfBirth", "PassportNumber", "CardNumber", "Email", "CarNumber", "SSN"),
    "PersonName",
)
_MASK_BY_LETTERS = {name.lower(): name for name in _MASKS}
_SEPARATOR = r"[ \t\u00a0\u3000_-]*"
_PERSON = rf"Person{_SEPARATOR}[0-9０-９]+"
_SPLIT_MASKS = "|".join(_SEPARATOR.join(re.findall("SSN|[A-Z][a-z]+", name)) for name in _MASKS)
_ANY_CASE = rf"(?i:{_PERSON}|{_SPLIT_MASKS}|E{_SEPARATOR}mail)"
# Without both signs only what is spelt like a mask is one: "#email" and "an address" are words.
_SPELT = rf"(?:(?i:{_PERSON})|{'|'.join(_MASKS)})"

TAG = re.compile(rf"#(?:Person[0-9]+|{'|'.join(_MASKS)})#")
"""A tag or a mask as it should be."""
TURN = re.compile(rf"^{GAP}*#Person[0-9]+#:", re.MULTILINE)
"""How a turn begins."""
LIKE_A_TAG = re.compile(rf"{GAP}*(?:[#＃]{_SEPARATOR}(?i:{_PERSON})|(?i:{_PERSON}){_SEPARATOR}[#＃:：])")
"""How a line begins that names its speaker in some way or other."""

# Proper tags are taken first, so that nothing is found between the last sign of one and the first of the next.
_TAGS = re.compile(
    rf"^{GAP}*(?P<colon>#Person[0-9]+#(?:{GAP}+[:：]|：){GAP}*)"
    rf"|{TAG.pattern}"
    rf"|(?P<signed>[#＃]{_SEPARATOR}{_ANY_CASE}{_SEPARATOR}[#＃](?!{_ANY_CASE}))"
    rf"|(?P<unclosed>[#＃]{_SEPARATOR}{_SPELT}(?![A-Za-z0-9０-９_]))"
    rf"|(?P<unopened>(?<![A-Za-z0-9_]){_SPELT}[#＃](?!{_ANY_CASE}))"
    rf"|(?P<bare>(?<![A-Za-z0-9_#＃])Person[0-9]+(?![A-Za-z0-9_#＃]))"
    r"|(?P<unknown>#[^\W\d]\w{0,29}#)",
    re.MULTILINE,
)
_ODD_COLON = re.compile(rf"#(?:{GAP}+[:：]|：)")


def is_tagged(dialogue: str) -> bool:
    """Whether a dialogue names its speakers with tags; in others `Person1` may be a name as any other."""
    return TURN.search(dialogue) is not None


def odd_tags(text: str, tagged: bool) -> Iterator[tuple[bool, int, int]]:
    """Tags that are misspelt, and what looks like a mask and is none that is known.

    Args:
        text: of any column.
        tagged: whether the dialogue that it belongs to is.

    Yields:
        whether `proper_tags` repairs it, and where it begins and ends.
    """
    rest = TAG.sub("", text)
    if "#" in rest or "＃" in rest or "Person" in rest or _ODD_COLON.search(text):
        for match in _TAGS.finditer(text):
            if match.lastgroup == "unknown" or _is_broken(match, tagged):
                yield match.lastgroup != "unknown", *match.span()


def proper_tags(text: str, tagged: bool) -> str:
    """The text with its speaker tags and masks as they should be spelt."""
    for _ in range(2):  # the colon after a tag is seen when the tag is one
        text = _TAGS.sub(lambda match: _proper(match) if _is_broken(match, tagged) else match.group(), text)
    return text


def _is_broken(match: re.Match[str], tagged: bool) -> bool:
    return match.lastgroup not in (None, "unknown") and (tagged or match.lastgroup != "bare")


def _proper(match: re.Match[str]) -> str:
    if match["colon"]:
        before = match.group()[: match.start("colon") - match.start()]
        return f"{before}{TAG.findall(match['colon'])[0]}: "
    letters = re.sub(r"[\W_]", "", match.group()).lower()
    if letters in _MASK_BY_LETTERS:
        return f"#{_MASK_BY_LETTERS[letters]}#"
    # int() reads full-width digits, too
    return "#Person" + "".join(str(int(digit)) for digit in letters.removeprefix("person")) + "#"
