"""What is wrong with a single summary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from llm_summ.data.handed_in import is_empty
from llm_summ.data.oddities import ENTITY, INVISIBLE, LINE_BREAK_TAG, LINE_END, LITERAL_LINE_FEED
from llm_summ.data.tags import GAP, TAG, odd_tags

__all__ = ["LINE_BREAK", "text_faults"]

LINE_BREAK = re.compile(rf"\n|{LINE_END.pattern}")
"""What ends a line in one system or another."""

_LONG, _SHORT = 400, 10  # characters: human summaries of the competition have 25 to 263
_NULL = re.compile(
    r"[#<(\[]?(?:nan|none|null|n/?a|undefined)[>)\]]?[.。]?|#(?:name\?|(?:value|ref|div/0|num|null)!)",
    re.IGNORECASE,
)
_HEADING = (
    r"(?:대화|한국어|최종)?\s?(?:요약(?:문|본|\s?결과)?|정답|답변|지시문?|명령어|질문|출력|응답)(?:은|는)?"
    r"(?:\s?다음과 같습니다)?"
)
_PROMPT = re.compile(
    # special tokens and the marks of chat templates
    r"<\|[^|<>\n]{1,40}\|>|\[\|[^|\n]{1,40}\|\]|<\uff5c[^<>\n]{1,60}\uff5c>"
    r"|</?(?:s|bos|eos|pad|unk|mask|think|thought|answer|summary|start_of_turn|end_of_turn|usr|sys|unused\d+)>"
    r"|<</?SYS>>|\[/?(?:INST|BOS|EOS|PAD|UNK|SEP|CLS|MASK)\]"
    r"|\s(?:model|assistant|user)\Z"
    # tokens that were not decoded: bytes, and the marks of SentencePiece and of byte-level BPE for a space
    r"|<0x[0-9A-F]{2}>|[\u2581\u0120\u010a]"
    # a list or a dictionary as Python prints it
    r"|\A\s*[\[{]\s?['\"]"
    # headings, of Markdown and of what comes next, where a line begins
    r"|```|(?:^|(?<=\n))\s{0,9}(?:\*\*|#{1,6}(?=\s)(?!\s*Person)"
    rf"|(?:\[\s?{_HEADING}\s?\]|[\"'(]?{_HEADING}[\"')]?\s{{0,3}}[:：])"
    r"|(?i:[\"']?(?:summary|answer|output|response|dialogue|instruction|input|assistant|user|system)[\"']?"
    r"\s{0,3}[:：]))"
    r"|(?i:here(?:'s| is) (?:the|a) [a-z ]{0,20}summary)|(?:다음은|아래는)[^.\n]{0,30}요약"
    # a turn: the dialogue goes on
    r"|(?:^|(?<=[\n.?!]))[ \t]{0,9}#Person\d+#\s?[:：]"
)
_CUT_TAG = re.compile(r"#(?:[A-Z][A-Za-z]{0,14}\d*)?\s*$")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "`": "`"}
_ENDED = re.compile(r"[.?!…。？！][\"'”’)\]」』]*$")
_DOUBLE_SPACE = re.compile(rf"(?<=\S)(?:{GAP}{{2,}}|\t)(?=\S)")
# Eight times the same, or three times the same of five characters and more.
_REPEATED = re.compile(r"(\S.{0,3}?)\1{7,}|(\S.{4,99}?)(?:[\s.,!?]*\2){2,}")
_ONE_LETTER = 20  # times the same letter on end: laughter is shorter
_PATTERNS = (
    ("prompt-remains", _PROMPT),
    ("line-break", LINE_BREAK),
    ("literal-line-feed", LITERAL_LINE_FEED),
    ("html", ENTITY),
    ("html", LINE_BREAK_TAG),
    ("invisible-character", INVISIBLE),
    ("lost-character", re.compile("\ufffd")),
    ("double-space", _DOUBLE_SPACE),
)


def text_faults(text: str) -> Iterator[tuple[str, int, int]]:
    """What is wrong with a summary by itself.

    Yields:
        a name of `kinds.FAULT_KINDS`, once each, and where it begins and ends in the text.
    """
    inner = text.strip()
    if is_empty(text):
        yield "empty-summary", 0, 0
        if (lost := text.find("\ufffd")) >= 0:
            yield "lost-character", lost, lost + 1
        return
    if inner != text:
        at = 0 if text[0].isspace() else len(text.rstrip())
        yield "outer-space", at, at
    if _NULL.fullmatch(inner):
        yield "null-text", 0, len(text)
        return
    seen: set[str] = set()
    for kind, pattern in _PATTERNS:
        found = pattern.search(text)
        if found and kind not in seen:
            seen.add(kind)
            yield kind, *found.span()
    if repeated := next(filter(_is_endless, _REPEATED.finditer(text)), None):
        yield "repetition", *repeated.span()
    yield from _tag_faults(text)
    closing = _QUOTES.get(inner[0])
    if closing is not None and inner.endswith(closing) and len(inner) > 1:
        within = inner[1:-1]
        if closing not in within and inner[0] not in within:
            yield "extra-quotes", 0, len(text)
    if not unicodedata.is_normalized("NFC", text):
        yield "not-nfc", 0, 0
    yield from _notes(inner)


def _is_endless(match: re.Match[str]) -> bool:
    """Whether a repetition is one of words: rows of figures or dots and laughter are not."""
    letters = set(match[1] or match[2]) - {" "}
    return any(map(str.isalpha, letters)) and (len(letters) > 1 or len(match.group()) >= _ONE_LETTER)


def _tag_faults(text: str) -> Iterator[tuple[str, int, int]]:
    """The first misspelt tag, the first of an unknown name, and the first other sign."""
    first: dict[str, tuple[int, int]] = {}
    # What is gone through already is blanked, so that places stay.
    letters = list(text)
    for match in TAG.finditer(text):
        letters[slice(*match.span())] = " " * len(match.group())
    for repaired, start, end in odd_tags(text, tagged=True):
        first.setdefault("broken-tag" if repaired else "unknown-mask", (start, end))
        letters[start:end] = " " * (end - start)
    rest = "".join(letters)
    cut = _CUT_TAG.search(rest)
    if cut:
        first.setdefault("broken-tag", cut.span())
        rest = rest[: cut.start()]
    sign = re.search("[#＃]", _PROMPT.sub("", rest)) and re.search("[#＃]", rest)
    if sign:
        first.setdefault("stray-sign", sign.span())
    for kind, (start, end) in first.items():
        yield kind, start, end


def _notes(inner: str) -> Iterator[tuple[str, int, int]]:
    # A Latin word counts as a single letter: Korean summaries have names in it.
    letters = [letter for letter in re.sub("[A-Za-z]+", "a", TAG.sub("", inner)) if letter.isalpha()]
    hangul = [letter for letter in letters if re.match("[가-힣ㄱ-ㅣ\u1100-\u11ff]", letter)]
    if 4 * len(hangul) < len(letters):
        yield "not-korean", 0, 0
    if len(inner) > _LONG:
        yield "long-summary", _LONG, _LONG
    if len(inner) < _SHORT:
        yield "short-summary", 0, 0
    if not _ENDED.search(_PROMPT.sub("", inner).rstrip()):
        yield "no-full-stop", len(inner), len(inner)
