"""Speaker tags and masks, and their misspellings.

A tag is ``#Person1#``; a mask, ``#PhoneNumber#``, replaces personal data. `labels.py` defines when a tag is a
label, that is, names the speaker of a line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

__all__ = [
    "GAP",
    "NEAR_TAG",
    "PERSON_TAG",
    "SPEAKER_TAG",
    "TAG",
    "may_be_odd",
    "near_tag",
    "odd_tags",
    "proper_tags",
]

GAP = r"[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]"
r"""White space within a line; \s would also take what ends lines in other systems."""

_MASKS = (
    *("PhoneNumber", "Address", "DateOfBirth", "PassportNumber", "CardNumber", "Email", "CarNumber", "SSN"),
    "PersonName",
)
_MASK_BY_LETTERS = {name.lower(): name for name in _MASKS}
_SEPARATOR = r"[ \t\u00a0\u3000_-]*"
_DIGITS = "[0-9０-９]+"
_PERSON = rf"Person{_SEPARATOR}{_DIGITS}"
_SPLIT_MASKS = "|".join(_SEPARATOR.join(re.findall("SSN|[A-Z][a-z]+", name)) for name in _MASKS)
_ANY_CASE = rf"(?i:{_PERSON}|{_SPLIT_MASKS}|E{_SEPARATOR}mail)"
# Without both signs a mask needs its exact spelling: "#email" and "an address" are words.
_SPELT = rf"(?:(?i:{_PERSON})|{'|'.join(_MASKS)})"

PERSON_TAG = "#Person[0-9]+#"
"""The pattern of a speaker tag in its correct spelling."""
SPEAKER_TAG = re.compile(r"#Person\d+#")  # also with full-width digits
"""A speaker, or a person who is mentioned."""
TAG = re.compile(rf"#(?:Person[0-9]+|{'|'.join(_MASKS)})#")
"""A tag or a mask in its correct spelling."""
# Correct tags are matched first, so that no match goes from the last sign of one to the first of the next.
_TAGS = re.compile(
    rf"^{GAP}*(?P<colon>{PERSON_TAG}(?:{GAP}+[:：]|：){GAP}*)"
    rf"|{TAG.pattern}"
    rf"|(?P<signed>[#＃]{_SEPARATOR}{_ANY_CASE}{_SEPARATOR}[#＃](?!{_ANY_CASE}))"
    rf"|(?P<unclosed>[#＃]{_SEPARATOR}{_SPELT}(?![A-Za-z0-9０-９_]))"
    rf"|(?P<unopened>(?<![A-Za-z0-9_]){_SPELT}[#＃](?!{_ANY_CASE}))"
    rf"|(?P<bare>(?<![A-Za-z0-9_#＃])(?:Person[0-9]+(?![A-Za-z0-9_#＃])|person[0-9]+(?={GAP}*[:：])))"
    r"|(?P<unknown>#[^\W\d]\w{0,29}#)",
    re.MULTILINE,
)
_ODD_COLON = re.compile(rf"#(?:{GAP}+[:：]|：)")

# Another word than Person before a number: #Peron2#, #사람1#. Its last sign must not begin another tag.
_WORD, _LATIN = r"[^\W\d_]{2,9}", "[A-Za-z]{5,7}"
_NO_TAG = rf"(?!{_ANY_CASE}|{_LATIN}{_DIGITS}|{_WORD}{_SEPARATOR}{_DIGITS}{_SEPARATOR}[#＃])"
NEAR_TAG = re.compile(
    rf"{TAG.pattern}"
    rf"|[#＃]{_SEPARATOR}(?P<signed>{_WORD}){_SEPARATOR}(?P<number>{_DIGITS}|(?<=(?i:person))[일이삼사오육칠팔구])"
    rf"{_SEPARATOR}[#＃]{_NO_TAG}"
    rf"|[#＃](?P<unclosed>{_LATIN})(?P<after>{_DIGITS})(?![A-Za-z0-9０-９_#＃])"
    rf"|(?<![A-Za-z0-9_#＃])(?P<unopened>{_LATIN})(?P<before>{_DIGITS})[#＃]{_NO_TAG}"
)
"""A correct tag or mask, or a word and a number that `near_tag` examines."""
_KOREAN_PERSON = frozenset({"사람", "인물", "화자", "퍼슨", "펄슨", "페르손"})
_OTHER_WORDS = frozenset({"pension", "persian", "poison", "prison"})
_NUMERALS = {numeral: str(number) for number, numeral in enumerate("일이삼사오육칠팔구", 1)}

_NO_SPEAKERS: frozenset[str] = frozenset()


def odd_tags(
    text: str, tagged: bool, speakers: AbstractSet[str] = _NO_SPEAKERS
) -> Iterator[tuple[bool, int, int]]:
    """Find misspelt tags, and words that look like a mask but are not a known one.

    Args:
        text: the text of any column.
        tagged: whether the dialogue of its row uses tags; if not, `Person1` is a name like any other.
        speakers: the tags of that dialogue; a word with other letters than Person is a tag only if it is one of
            them.

    Yields:
        whether `proper_tags` repairs it, its first index and the index after it; in the order of the text.
    """
    if not may_be_odd(text):
        return
    near = [match.span() for match in NEAR_TAG.finditer(text) if near_tag(match) in speakers]
    odd = [(True, *span) for span in near]
    rest = deque(near)
    for match in _TAGS.finditer(text):
        start, end = match.span()
        while rest and rest[0][1] <= start:
            rest.popleft()
        if rest and rest[0][0] < end:
            continue
        if match.lastgroup == "unknown" or _is_broken(match, tagged):
            odd.append((match.lastgroup != "unknown", start, end))
    yield from sorted(odd, key=lambda item: item[1:])


def proper_tags(text: str, tagged: bool, speakers: AbstractSet[str] = _NO_SPEAKERS) -> str:
    """Return the text with the correct spelling of its speaker tags and masks.

    Args:
        text: the text of any column.
        tagged: as in `odd_tags`.
        speakers: as in `odd_tags`: with ``#Person2#`` among them, ``#Peron2#`` is one letter from it.
    """
    if not may_be_odd(text):
        return text
    for _ in range(2):  # a colon is corrected only after its tag is
        if speakers:
            text = NEAR_TAG.sub(lambda match: tag if (tag := near_tag(match)) in speakers else match.group(), text)
        text = _TAGS.sub(lambda match: _proper(match) if _is_broken(match, tagged) else match.group(), text)
    return text


def near_tag(match: re.Match[str]) -> str:
    """Return the speaker tag that a misspelling is near; empty if it is not near enough.

    Between two signs, two letters may be wrong if the first is right (``#Persnon1#``), otherwise one. They are
    counted as insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). Next to a
    single sign, one letter may be wrong. Other English words, such as ``#Prison1#``, are not near. Between two
    signs, Korean words for a person are.

    Args:
        match: of `NEAR_TAG`.
    """
    kind = match.lastgroup
    if kind is None:
        return ""
    signed = match["signed"] is not None
    word = unicodedata.normalize("NFKC", match["signed"] or match["unclosed"] or match["unopened"]).lower()
    digits = match["number"] or match["after"] or match["before"]
    if not (_is_near(word, signed) or (signed and word in _KOREAN_PERSON)):
        return ""
    return "#Person" + "".join(_NUMERALS.get(digit) or str(int(digit)) for digit in digits) + "#"


def _is_near(word: str, signed: bool) -> bool:
    from rapidfuzz.distance import OSA

    if not word.isascii() or word in _OTHER_WORDS:
        return False
    return OSA.distance(word, "person", score_cutoff=2) <= (2 if signed and word.startswith("p") else 1)


def may_be_odd(text: str) -> bool:
    """Return whether a text may have odd tags; it is fast, and most texts have correct ones only."""
    rest = TAG.sub("", text)
    return "#" in rest or "＃" in rest or "erson" in rest or _ODD_COLON.search(text) is not None


def _is_broken(match: re.Match[str], tagged: bool) -> bool:
    return match.lastgroup not in (None, "unknown") and (tagged or match.lastgroup != "bare")


def _proper(match: re.Match[str]) -> str:
    if match["colon"]:
        before = match.group()[: match.start("colon") - match.start()]
        return f"{before}{TAG.findall(match['colon'])[0]}: "
    letters = re.sub(r"[\W_]", "", match.group()).lower()
    if letters in _MASK_BY_LETTERS:
        return f"#{_MASK_BY_LETTERS[letters]}#"
    # int() also reads full-width digits
    return "#Person" + "".join(str(int(digit)) for digit in letters.removeprefix("person")) + "#"
