"""Speaker labels: the beginning of a line that names its speaker. What counts as one is defined here only.

1. A tag and a colon, ``#Person1#: 네``. Where a dialogue has any of them, nothing else is a label.
2. A name of at most three words and 20 characters, and a colon: ``상담사: 네``, ``상담사:네``, ``Speaker A： 네``.
3. A name in brackets: ``[상담사] 네``, and as messengers export it, ``[상담사] [오후 3:15] 네``.

Of 2 and 3, a dialogue has the form that more of its lines have. These are not labels: the fields of a notice
(``시간: 3시``, see `_FIELDS`), times (``10:30``), addresses (``https://…``), paths and emoticons. Without a space
after the colon, a name counts if another line has it before a colon and a space, or if half of the lines have
labels. Names in brackets, which may be stage directions, count only if half of the lines have them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from llm_summ.data.tags import GAP, NEAR_TAG, PERSON_TAG, SPEAKER_TAG, may_be_odd, near_tag, proper_tags

__all__ = [
    "EMPTY_TURN",
    "NO_COLON",
    "TAG_LABEL",
    "Label",
    "Tagging",
    "is_tagged",
    "joined_turns",
    "line_labels",
    "skip_gap",
    "speakers_of",
    "split_turns",
    "tagging_of",
]

TAG_LABEL = rf"{PERSON_TAG}{GAP}*[:：]"
"""The pattern of a tag as a label; it does not say where in a text the label is."""
_TAGGED = re.compile(rf"^{GAP}*(?P<name>{PERSON_TAG}){GAP}*[:：]", re.MULTILINE)
_LABEL = re.compile(TAG_LABEL)
_GAP = re.compile(rf"{GAP}*")
_COLON = re.compile(rf"{GAP}*[:：]")
_WHITE_BEGIN = re.compile(r"^[^\S\n]*", re.MULTILINE)
NO_COLON = re.compile(rf"^{GAP}*{PERSON_TAG}(?!{GAP}*[:：])", re.MULTILINE)
"""A line that begins with a tag without a colon."""
EMPTY_TURN = re.compile(rf"^{GAP}*{TAG_LABEL}{GAP}*(?:$|(?={TAG_LABEL}))", re.MULTILINE)
"""A label that nothing follows, or only another label."""

# White space is taken as a whole (*+): shorter runs of it would never fit, and a line may have a megabyte of it.
_NAME = re.compile(
    rf"^{GAP}*+(?P<name>[^\s:：#＃\[［【](?:[^:：\n]{{0,18}}?[^:：\n{GAP[1:-1]}])?){GAP}*+"
    # Neither :// and C:\ nor the emoticons :) :( :D :P :-) nor ::
    rf"(?::(?!//|[\\:)(\]\[|*>]|-[)(DP]|[DPp](?!\w))|：)(?:(?P<space>{GAP}|(?<=：))|(?P<text>(?=\S)))?",
    re.MULTILINE,
)
_BRACKETED = re.compile(
    rf"^{GAP}*(?:\[(?P<square>[^\[\]\n]{{1,20}})\]|［(?P<wide>[^［］\n]{{1,20}})］|【(?P<black>[^【】\n]{{1,20}})】)"
    rf"(?:{GAP}*\[(?:오전|오후|[AaPp][Mm])?{GAP}*\d{{1,2}}:\d{{2}}[^\[\]\n]{{0,9}}\])?{GAP}*+[:：]?(?={GAP}*+\S)",
    re.MULTILINE,
)
_NO_NAME = re.compile(rf"[?!…~\"“”]|(?:\S+{GAP}+){{3}}\S")
_SENTENCE = re.compile(rf"[.,'‘’]|{GAP}\S+{GAP}")  # for names that only a colon shows to be names
_FIGURES = re.compile(rf"\d{GAP}*[:：]\d")
_FIELDS = frozenset(
    {
        *("시간", "일시", "날짜", "일자", "기간", "기한", "마감", "장소", "위치", "주소", "제목", "주제"),
        *("안건", "내용", "목적", "참석자", "참가자", "대상", "비용", "가격", "금액", "요금", "합계", "총액"),
        *("수량", "인원", "번호", "전화", "전화번호", "휴대폰", "연락처", "이메일", "메일", "링크"),
        *("홈페이지", "참고", "참조", "비고", "주의", "메모", "예", "예시", "결론", "요약", "결과", "이름"),
        *("성함", "나이", "생년월일", "준비물", "문의", "출처", "추신", "비율", "time", "date", "place"),
        *("location", "venue", "address", "subject", "topic", "title", "note", "notes", "tel", "phone"),
        *("fax", "email", "e-mail", "mail", "url", "link", "price", "cost", "total", "agenda", "ps", "p.s"),
        *("http", "https", "ftp", "mailto"),
    }
)
_WRITTEN_BREAK = re.compile(r"(?:\\n|</?br\s*/?>)\Z", re.IGNORECASE)
_OPENING = ":：“‘([{<「『［【"
_ENDED = ".?!…~\"'”’)"


class Label(NamedTuple):
    """The label of a line.

    Attributes:
        name: the speaker: the tag, or the name without colon and brackets.
        end: the index in the line after the label, colon and brackets included.
    """

    name: str
    end: int


class Tagging(NamedTuple):
    """The tags that a dialogue uses, as `odd_tags` and `proper_tags` need them for every text of its row.

    Attributes:
        tagged: whether its speakers are named with tags.
        speakers: its speaker tags, of those who speak and of others, with misspelt ones corrected. A word with
            other letters than Person, as in ``#Peron2#``, counts only if it is a label.
    """

    tagged: bool
    speakers: frozenset[str]


def tagging_of(dialogue: str) -> Tagging:
    """Return the tags that a dialogue uses."""
    tagged = is_tagged(dialogue)
    return Tagging(tagged, _speaker_tags(dialogue, tagged))


def is_tagged(dialogue: str) -> bool:
    """Return whether a dialogue names its speakers with tags; if not, `Person1` is a name like any other."""
    return _TAGGED.search(dialogue) is not None


def speakers_of(dialogue: str) -> tuple[str, ...]:
    """Return the speakers of a dialogue, in the order in which they first speak."""
    return tuple(dict.fromkeys(label.name for label in _labels(dialogue).values()))


def line_labels(dialogue: str) -> list[Label | None]:
    """Return the label of each line, None for a line without one; only line feeds separate lines."""
    labels = _labels(dialogue)
    starts = [0, *(match.end() for match in re.finditer("\n", dialogue))]
    return [
        None if (label := labels.get(start)) is None else label._replace(end=label.end - start) for start in starts
    ]


def skip_gap(text: str, start: int) -> int:
    """Return the index of the first character from `start` on that is not white space within a line."""
    match = _GAP.match(text, start)
    return match.end() if match else start


def joined_turns(text: str) -> Iterator[tuple[int, int]]:
    r"""Find the labels that should begin a line and do not.

    Those are the labels of a line after its first, and the first if a sentence ends before it. A label right after
    a colon, an opening quotation mark or a bracket is quoted. A label after a line break that is written out
    (``\n``, ``<br>``) does begin a line.

    Yields:
        the indexes at which the white space before a label begins and ends.
    """
    last = 0  # the end of the last label, or the start of the line; so no part of a long line is read twice
    labelled, quotes = False, Counter[str]()  # whether the line has an earlier label; its quotation marks
    for match in _LABEL.finditer(text):
        start = match.start()
        if (line_feed := text.rfind("\n", last, start)) >= 0:
            last, labelled, quotes = line_feed + 1, False, Counter()
        part = text[last:start]
        quotes.update({sign: part.count(sign) for sign in "\"'"})
        before = part.rstrip()
        gap = part[len(before) :]
        is_open = not before or before[-1] in _OPENING or quotes[before[-1]] % 2 == 1
        # Other white space ends a line in another system.
        if not is_open and _GAP.fullmatch(gap) and not _WRITTEN_BREAK.search(before):
            sentence_ends = bool(gap) and before[-1] in _ENDED and any(map(str.isalpha, before))
            if labelled or sentence_ends:
                yield start - len(gap), start
        last, labelled = match.end(), True


def split_turns(text: str) -> str:
    """Return the text with a line feed before each label that `joined_turns` finds."""
    end = 0
    parts = []
    for start, after in joined_turns(text):
        parts.append(text[end:start])
        end = after
    return "\n".join([*parts, text[end:]])


def _speaker_tags(dialogue: str, tagged: bool) -> frozenset[str]:
    if not may_be_odd(dialogue):
        return frozenset(SPEAKER_TAG.findall(dialogue))
    text = proper_tags(dialogue, tagged)
    begins = {match.end() for match in _WHITE_BEGIN.finditer(text)}
    near = [
        near_tag(match)
        for match in NEAR_TAG.finditer(text)
        if match.lastgroup and match.start() in begins and _COLON.match(text, match.end())
    ]
    return frozenset({*SPEAKER_TAG.findall(text), *near} - {""})


def _labels(dialogue: str) -> dict[int, Label]:
    """Return the labels by the index of their line's beginning; `Label.end` is an index of the dialogue."""
    tagged = {match.start(): Label(match["name"], match.end()) for match in _TAGGED.finditer(dialogue)}
    if tagged:
        return tagged
    lines = sum(1 for line in dialogue.split("\n") if line.strip())
    named = _names(dialogue, lines)
    bracketed = {
        match.start(): Label(name, match.end())
        for match in _BRACKETED.finditer(dialogue)
        if _is_name(name := (match["square"] or match["wide"] or match["black"]).strip())
    }
    return bracketed if len(bracketed) > len(named) and 2 * len(bracketed) >= lines else named


def _names(dialogue: str, lines: int) -> dict[int, Label]:
    """Return the names before colons, likewise; `lines` is the number of lines that are not blank."""
    sure: set[str] = set()
    loose: set[str] = set()
    candidates: dict[int, Label] = {}
    counted = 0
    for match in _NAME.finditer(dialogue):
        name, end = match["name"], match.end()
        if _NO_NAME.search(name) or _is_field(name):
            continue
        candidates[match.start()] = Label(name, end)
        if _FIGURES.search(dialogue, match.start(), end + 1):
            continue
        if match["space"] is not None:
            sure.add(name)
            counted += 1
        elif match["text"] is not None and _is_name(name) and not _SENTENCE.search(name):
            loose.add(name)
            counted += 1
    # "화자1:3시에 봐요" looks like a time; the other speakers have the same name with another number.
    names = {_stem(name) for name in (sure | loose if 2 * counted >= lines else sure)}
    return {start: label for start, label in candidates.items() if _stem(label.name) in names}


def _stem(name: str) -> str:
    """Return a name without its number, if it has another part."""
    return name.rstrip("0123456789 ") or "1"


def _is_name(name: str) -> bool:
    return any(map(str.isalpha, name)) and not _NO_NAME.search(name) and not _is_field(name)


def _is_field(name: str) -> bool:
    """Return whether a name is a field of a notice, such as the time of a meeting."""
    return name.split()[-1].lower() in _FIELDS if name.strip() else True
