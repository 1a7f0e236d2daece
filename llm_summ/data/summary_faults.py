"""Errors in the text of a summary, for `data check` and the check of a submission.

A summary is a reference in a data file and a prediction in a submission; the same texts are wrong in both. Damage
by files and CSV writers (line breaks, entities, tags) is not covered here. The rules were tested on about five
thousand human summaries, in which they found only what a reader also found wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from llm_summ.data.empty_texts import is_blank, is_null
from llm_summ.data.labels import TAG_LABEL
from llm_summ.data.tags import TAG

__all__ = [
    "LEAD_IN",
    "PRINTED",
    "ROLE_BEFORE",
    "ROLE_BEHIND",
    "SUMMARY_FAULTS",
    "THINKING",
    "TOKENS",
    "is_korean",
    "prompt_remains",
    "summary_faults",
    "topic_faults",
]

SUMMARY_FAULTS = {
    "null-text": "a missing value, or a spreadsheet's error, written as a word",
    "no-summary": "a refusal, an error or a filler in place of a summary",
    "prompt-remains": "part of a prompt, a chat role or a special token, trained and scored as words",
    "lost-hangul": "Hangul was lost: question marks or characters of another encoding in its place",
    "lost-tag": "a particle without its speaker: were tags removed as special tokens?",
    "repetition": "an endless repetition: the model did not stop",
    "extra-quotes": "quotes around the whole summary, scored as morphemes",
    "not-korean": "hardly any Hangul among its letters",
}
"""The stable names of the errors, and their meanings. Whether `not-korean` is one depends on the other texts."""

_Found = Iterator[tuple[str, int, int]]  # the kind, its first index in the text and the index after it

TOKENS = (
    # A title in angle brackets (<기생충>, <Titanic>) is not one.
    r"<\|[^|<>\n]{1,40}\|>|\[\|[^|\n]{1,40}\|\]|<\uff5c[^<>\n]{1,60}\uff5c>|<</?SYS>>"
    r"|</?(?!br\b)[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*/?>|</?(?:S|BOS|EOS|PAD|UNK|SEP|CLS|MASK|EOD|EOT|USR|SYS|INST)>"
    r"|\[/?(?i:inst|bos|eos|pad|unk|sep|cls|[gs]?mask|[es]op|eo[td]|unused\d+|extra_id_\d+|assistant|user|system)\]"
    # languages of mBART, NLLB and M2M100
    r"|(?<![A-Za-z0-9_])(?:[a-z]{2}_(?:XX|[A-Z]{2})|[a-z]{3}_(?:Hang|Latn|Han[st]|Jpan|Cyrl|Arab)|__[a-z]{2,3}__)"
    r"(?![A-Za-z0-9_])"
    # bytes, an unknown piece, and the marks of SentencePiece, byte-level BPE, WordPiece and fastBPE
    r"|<0x[0-9A-F]{2}>|[\u2047\u2581\u0120\u010a]|(?:\A|(?<=\s))##(?=[가-힣])|(?<=[A-Za-z가-힣])@@(?=\s|\Z)"
)
"""Special tokens of chat templates, and those that tokenizers leave in a text that is decoded with them."""
THINKING = re.compile(
    r"\A(?:.*</(?:think|thinking|thought|reasoning|analysis)>|\s*analysis.*?assistant\s?final)\s*", re.DOTALL
)
"""The reasoning of a model before its answer."""

# Roles of a chat template whose special tokens were skipped: on a line of their own, right after a sentence, or on
# one line with the text if line breaks were joined. A Korean word has its particle right after it (user가).
_ROLE = r"(?:assistant|model|user|system)"
_ANY_ROLE = (
    r"(?i:assistant|model|user|system|human|bot|ai|chatbot|gpt|tool|developer|ipython|observation)"
    r"|어시스턴트|사용자|시스템|챗봇"
)
_ROLE_LINE = rf"(?:\A|(?<=\n))[ \t>*#\[(]{{0,9}}(?:{_ANY_ROLE})[ \t*\])]{{0,9}}(?:[:：]|\n|\Z)"
ROLE_BEFORE = re.compile(
    rf"\s*(?:{_ROLE_LINE}|assistant\s?(?:final|\s)(?=[#가-힣])|{_ROLE}[ \t]+(?=#)|final(?=[#가-힣]))\s*"
)
"""The name of a role before the summary, which can be removed."""
ROLE_BEHIND = re.compile(
    rf"(?<=[.?!…])(?:\s*{_ROLE}\s*(?:\n|\Z)|\s*assistant\s+(?=[#가-힣]))|(?<=[가-힣][.?!…]){_ROLE}(?![A-Za-z])"
    rf"|(?<=\n){_ROLE}\s*(?:\n|\Z)"
)
"""The name of a role after a sentence: another turn follows."""

_HEADING = (
    r"(?:대화|한국어|최종)?\s?(?:요약(?:문|본|\s?결과)?|정답|답변|지시문?|명령어|질문|출력|응답)(?:은|는)?"
    r"(?:\s?다음과 같습니다)?"
)
_PHRASE = r"[^.:：\n#]"
LEAD_IN = re.compile(
    rf"\s*(?:(?:네|예|넵|물론입니다|물론이죠|알겠습니다|좋습니다|그럼요)[,.!]?\s{{0,3}})?"
    rf"(?:{_PHRASE}{{0,40}}(?:요약|정리){_PHRASE}{{0,30}}(?:다음과|아래와)\s?같(?:습니다|아요|다)"
    rf"|{_PHRASE}{{0,40}}(?:요약|정리){_PHRASE}{{0,12}}(?:드리|하)겠습니다"
    rf"|(?:다음은|아래는){_PHRASE}{{0,30}}(?:요약|정리){_PHRASE}{{0,12}}(?:입니다|이에요|예요)"
    rf"|(?:이상|위){_PHRASE}{{0,20}}요약(?:본|문)?입니다)\s*(?:[.:：!]|\n|\Z)\s*"
    r"|\s*(?:(?i:sure|certainly|of course|okay|absolutely)[,!.]\s*)?"
    r"(?i:(?:here(?:'s| is)|below is|the following is) (?:the|a|your) [a-z ]{0,20}summary)[^.:\n]{0,40}[.:\n]\s*"
)
"""A sentence that announces the summary."""
_LEAD_OUT = (
    r"(?:도움이 되(?:셨|었)(?:길|으면|기를)|(?:추가|더) ?(?:로|적인)? ?(?:궁금|필요|도움)[^.\n]{0,30}"
    r"(?:말씀|알려|문의)[^.\n]{0,8}(?:세요|십시오))[^.\n]{0,12}\W*\Z"
    r"|(?i:let me know if|i hope this (?:helps|summary))"
)
PRINTED = re.compile(r"\A\s*(?:array\(|Series\()?(?:[\[{]+\s*['\"]|\(\s*'[^'\n]*'\s*,)")
"""The beginning of a list, a tuple or a dictionary as Python or JSON prints it."""

_SPECIAL = re.compile(TOKENS)
_PROMPT = re.compile(
    rf"{TOKENS}|{ROLE_BEHIND.pattern}|\s(?:assistant|model|user)\Z|{_ROLE_LINE}"
    rf"|\A\s*{_ROLE}[ \t]+(?=[#가-힣])|assistant(?:final|analysis)|\A\s*final(?=[#가-힣])|{PRINTED.pattern}"
    # headings at the beginning of a line, and rules between parts
    r"|```|(?:^|(?<=\n))\s{0,9}(?:\*\*|#{1,6}(?=\s)(?!\s*Person)|(?:-{3,}|={3,}|\*{3,})\s*(?:\n|\Z)"
    rf"|(?:\[\s?{_HEADING}\s?\]|[\"'(]?{_HEADING}[\"')]?\s{{0,3}}[:：])"
    r"|(?i:[\"']?(?:summary|answer|output|response|dialogue|instruction|input|assistant|user|system)[\"']?"
    r"\s{0,3}[:：]))"
    r"|(?i:here(?:'s| is) (?:the|a) [a-z ]{0,20}summary)|(?:다음은|아래는)[^.\n]{0,30}요약"
    rf"|\A(?:{LEAD_IN.pattern})|{_LEAD_OUT}"
    # a turn: the dialogue continues
    rf"|(?:^|(?<=[\n.?!]))[ \t]{{0,9}}{TAG_LABEL}"
)

_THING = (
    r"(?:요약(?:문|본|\s?결과)?|내용|답변|응답|결과|출력|텍스트|문자열|대화(?:문|\s?내용)?|정보|데이터|본문"
    r"|해당(?:\s?사항)?)"
)
# The text as a whole, without marks around it
_FILLER = re.compile(
    rf"(?:빈|없는)\s?{_THING}|비어\s?있(?:음|습니다)|공백|없음|미정|오류|에러|실패|생략|테스트"
    r"|요약(?:문|본)?(?:입니다)?"
    rf"|{_THING}(?:할\s?(?:내용|것|대화))?(?:이|가|은|는)?\s?(?:없음|없습니다|없다|없어요|미정|생략|누락|오류|에러|실패"
    r"|(?:생성\s?)?(?:불가(?:능)?(?:함|합니다)?|실패(?:함|했습니다)?|오류|중))"
    r"|(?:오류|에러|문제)(?:가|이)?\s?발생(?:함|했습니다|하였습니다)?[^\n]{0,40}"
    r"|(?i:error|err|fail(?:ed|ure)?|empty|blank|missing|unknown|unavailable|not available|summary|todo|tbd|test"
    r"|exception|time(?:d )?out|skip(?:ped)?|placeholder"
    r"|(?:no|empty|null) (?:summary|output|response|answer|content|string|text|data))"
    r"|[\d\s.,:%+-]+"
)
_ERROR = re.compile(
    r"\A\W{0,3}(?:(?i:error|exception|오류|에러)\s?(?:[:：(\[#]|code\b|코드|\d)|[\w.]{0,60}(?:Error|Exception)\b\s?[:(]|[a-z_]+(?:\.\w+)+\s?[:(]"
    r"|(?:HTTP\s?)?[45]\d\d\s(?:Internal|Bad|Too|Service|Gateway|Not|Client|Server)\b)"
    r"|Traceback \(most recent|(?i:\brate limit|cuda out of memory)"
)
# In the first sentence, if it names no speaker: a summary may report what others could not do.
_REFUSAL = re.compile(
    r"\A\W{0,3}(?:죄송(?:합니다|하지만|해요)|유감스럽게도|미안하지만"
    r"|(?:저는|나는)?\s?(?:AI|인공지능|(?:대규모\s?)?언어\s?모델)[^.\n#]{0,20}로서"
    r"|(?i:i(?:'m|’m| am) (?:sorry|unable)|sorry[,.]|i (?:can(?:'|’)?t|cannot|can not) |unfortunately,"
    r"|as an? (?:ai|language))"
    rf"|(?:(?:주어진|제공된|제공해 주신|해당|이|위|입력된?|본|요약할)\s)?{_THING}"
    r"(?:이|가|을|를|은|는|에는|만으로는|으로는)?\s[^.\n#]{0,40}?(?:수\s?(?:가\s)?없(?:습니다|어요|음|네요)|않았습니다|없습니다|부족합니다|불가(?:능)?합니다"
    r"|(?:해|알려|보내|입력해|제공해)\s?주(?:세요|십시오|시면)[^.\n#]{0,20})[.!]?(?=\s|\Z))"
)

_HANGUL = re.compile("[가-힣ㄱ-ㅣ\u1100-\u11ff]")
# A word of question marks, boxes or upside-down marks replaces letters that an encoding does not have.
_SIGN_OF_LOSS = re.compile(r"[?？□¿\\%ê-í\u00b0-\u00c8]")
_LOST_WORD = re.compile(r"[?？□¿]+[.,!]?")
_MOJIBAKE = re.compile(
    # UTF-8 read as Latin-1 or CP1252, or by byte-level BPE; CP949 read as Latin-1; escapes that were not decoded
    r"(?:[ê-í][\u0080-\u00bf\u0100-\u017f\u0192\u02c6\u02dc\u2013-\u2122]{2}){2}"
    r"|(?:[\u00b0-\u00b6\u00b8-\u00c8][\u00a1-\u00b6\u00b8-\u00fe]){2}|(?:\\u[0-9a-fA-F]{4}){2}|(?:\\x[0-9a-f]{2}){3}|(?:%[0-9A-F]{2}){3}"
)

_PARTICLE = r"(?:은|는|을|를|에게(?:서|는|도|로)?|한테|께서?|의|로부터)"
_LOST_TAG = re.compile(
    # at the beginning of a sentence; "이 회의" and "가 보다" do not begin with a particle
    rf"(?:\A\s*|(?<=[.?!…])\s+)(?:(?:{_PARTICLE}|와|과|이랑|랑|[과와]의)(?=[\s,])|가(?=\s(?![보볼봐본있달주줘버]))"
    rf"|(?:이|가|도)(?=\s{_PARTICLE}\s))"
    # after the end of a clause, a comma or another particle, which take no particle
    rf"|,\s+{_PARTICLE}(?=\s)"
    r"|(?:[다자라냐느하되]고|[으하이]며|면서|지만|[해아어]서|는데|도록|려고)\s+(?:을|를|에게(?:서|는|도)?|한테|로부터)(?=\s)"
    r"|(?:\S(?:은|는|이|가|을|를)|[가-힣]고)\s+(?:에게(?:서|는|도)?|한테|로부터)(?=\s)"
    r"|(?<!\S)[과와]\s(?:은|는|을|를|에게|의)(?=\s)"
)

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "`": "`"}
# Eight times the same, or three times the same of five characters and more.
_REPEATED = re.compile(r"(\S.{0,3}?)\1{7,}|(\S.{4,99}?)(?:[\s.,!?]*\2){2,}")
_ONE_LETTER = 20  # times the same letter in a row: laughter is shorter


def summary_faults(text: str) -> _Found:
    """Find the errors in the text of a summary; an empty one has none.

    Yields:
        a name in `SUMMARY_FAULTS`, each once, its first index in the text and the index after it.
    """
    if is_blank(text):
        yield from _lost_hangul(text)
        return
    if is_null(text):
        yield "null-text", 0, len(text)
        return
    whole = text.strip(" \t\r\n.!?()[]<>{}\"'*-_=~…")
    if _FILLER.fullmatch(whole) or _ERROR.search(text) or _REFUSAL.match(text):
        yield "no-summary", 0, len(text)
        return
    if match := _PROMPT.search(text):
        yield "prompt-remains", *match.span()
    yield from _lost_hangul(text)
    if match := _LOST_TAG.search(text):
        yield "lost-tag", *match.span()
    if match := _repetition(text):
        yield "repetition", *match.span()
    inner = text.strip()
    closing = _QUOTES.get(inner[0])
    if closing is not None and inner.endswith(closing) and len(inner) > 1:
        within = inner[1:-1]
        if closing not in within and inner[0] not in within:
            yield "extra-quotes", 0, len(text)


def topic_faults(text: str) -> _Found:
    """Find the errors in the text of a topic; it may be a single word such as "user" or "오류"."""
    if is_null(text):
        yield "null-text", 0, len(text)
        return
    if match := _SPECIAL.search(text):
        yield "prompt-remains", *match.span()
    yield from _lost_hangul(text)


def prompt_remains(text: str) -> str:
    """Return the text without remains of a prompt."""
    return _PROMPT.sub("", text)


def is_korean(text: str) -> bool:
    """Return whether a quarter of the letters are Hangul; a Latin word, maybe a name, counts as one letter."""
    hangul = len(_HANGUL.findall(text))
    if 4 * hangul >= len(text):
        return True
    return 4 * hangul >= sum(map(str.isalpha, re.sub("[A-Za-z]+", "a", TAG.sub("", text))))


def _lost_hangul(text: str) -> _Found:
    if _SIGN_OF_LOSS.search(text) is None:  # most texts: a search for one letter is much faster
        return
    if match := _MOJIBAKE.search(text):
        yield "lost-hangul", *match.span()
        return
    words = list(re.finditer(r"\S+", TAG.sub(lambda match: " " * len(match.group()), text)))
    lost = [word for word in words if _LOST_WORD.fullmatch(word.group())]
    if len(lost) > 1 and 3 * len(lost) >= len(words):
        yield "lost-hangul", lost[0].start(), lost[-1].end()


def _repetition(text: str) -> re.Match[str] | None:
    """Return the first endless repetition; its first five characters occur at least twice more."""
    fives = [text[at : at + 5] for at in range(len(text) - 4)]
    later = Counter(fives)
    end = 0
    for at, five in enumerate(fives):
        later[five] -= 1
        if later[five] > 1 and at >= end and (match := _REPEATED.match(text, at)):
            if _is_endless(match):
                return match
            end = match.end()
    return None


def _is_endless(match: re.Match[str]) -> bool:
    """Return whether words are repeated: rows of digits or dots and laughter are not errors."""
    letters = set(match[1] or match[2]) - {" "}
    return any(map(str.isalpha, letters)) and (len(letters) > 1 or len(match.group()) >= _ONE_LETTER)
