"""Steps that remove text outside the summary: parts of a prompt, endless repetitions, odd characters."""

from __future__ import annotations

import re

from llm_summ.data.labels import TAG_LABEL
from llm_summ.data.row_rules import INVISIBLE, LINE_END
from llm_summ.data.summary_faults import LEAD_IN, ROLE_BEFORE, ROLE_BEHIND, THINKING, TOKENS
from llm_summ.data.tags import GAP
from llm_summ.post.post_input import PostInput

__all__ = ["clean_characters", "cut_loops", "drop_prompt"]

# Characters shown as emoji by default (Unicode's Emoji_Presentation), or with a variation selector behind them: ★
# and ☎ are text. The digit of a keycap is kept.
_EMOJI = re.compile(
    rf"{GAP}*(?:[\U0001F000-\U0001FAFF\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653"
    r"\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705"
    r"\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55]"
    r"|[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2bff\u3030\u303d\u3297\u3299]\ufe0f)"
    r"[\ufe0f\u200d\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]*"
)
_UNSEEN = re.compile("[\ufffd\ufe0e\ufe0f\u20e3\u200d\U000e0020-\U000e007f]")
_FILLERS = re.compile("[\u3164\uffa0]")  # invisible letters that people write as spaces

# Tokens that end a text or begin another. ⁇ and <n> are not among them: within a text they are letters or a break.
_TOKEN = (
    r"(?:<\|[^|<>\n]{1,40}\|>|\[\|[^|\n]{1,40}\|\]|<\uff5c[^<>\n]{1,60}\uff5c>"
    r"|</?(?:s|bos|eos|pad|unk|sep|cls|mask|start_of_turn|end_of_turn|usr|sys|[es]op|eo[td]|unused\d+|extra_id_\d+)>"
    r"|\[/?(?:INST|EOS|PAD|SEP|CLS)\]|\[g?MASK\](?:sop)?|<</?SYS>>)"
)
_SUMMARY = (
    r"(?:(?:대화|한국어|최종)\s?)?(?:요약(?:문|본|\s?결과)?|정답|답변|출력|응답)"
    r"|(?:final\s|the\s)?(?:summary|answer|output|response)"
)
_HEADER = re.compile(
    rf"\s*(?:{_TOKEN}|(?!<think)(?-i:{TOKENS})"
    rf"|(?:\#{{1,6}}\s*|\*\*\s*|[\[【(]\s*)?(?:{_SUMMARY})\s*[\]】)]?\s*(?:\*\*)?(?:\s*[:：](?:\s*\*\*)?|{GAP}*\n)"
    rf"|(?:\#{{1,6}}\s+(?:{_SUMMARY})\s|[\[【]\s*(?:{_SUMMARY})\s*[\]】]|\*\*(?:{_SUMMARY})\*\*)"
    r"|(?:다음은|아래는|위(?:의)?\s(?:대화|내용)[은는을를의]?\s)[^.:：\n]{0,30}요약[^.:：\n]{0,20}"
    r"(?:[:：]|(?<=입니다)\.|(?<=같습니다)\.)"
    r"|here(?:'s|\sis)\s(?:the|a)\s[a-z ]{0,20}summary[^.:\n]{0,40}:)\s*",
    re.IGNORECASE,
)
_BEFORE = (THINKING, _HEADER, ROLE_BEFORE, LEAD_IN)
_BLOCK = (
    r"(?:대화(?:문|\s?내용)?|지시(?:문|\s?사항)?|명령어?|질문|입력|dialogue|conversation|instruction|input|question"
    rf"|{_SUMMARY})"
)
_BEHIND = re.compile(
    rf"\s*(?:{_TOKEN}|(?<=\s)\#{{2,6}}\s|(?<=\n)\#\s+{_BLOCK}|(?<=\n)(?:\*\*|\[)?\s?{_BLOCK}\s?(?:\*\*|\])?\s?[:：])",
    re.IGNORECASE,
)
_TURN = re.compile(rf"(?<=[.?!…\n])\s*{TAG_LABEL}")
_BEGINS_WITH_TURN = re.compile(rf"\s*{TAG_LABEL}")

_PHRASE = re.compile(r"(\S.{4,99}?)(?:[\s.,!?…~]*\1){2,}")
_LETTERS = re.compile(r"(\S{1,4}?)(?:\s*\1){7,}")
_WORD = re.compile("[A-Za-z가-힣]")
_BETWEEN = " \t\n.,!?…~"


def clean_characters(summary: PostInput) -> str:
    """Remove emoji, control characters and invisible characters; line ends of other systems become line feeds."""
    text = LINE_END.sub("\n", _EMOJI.sub("", summary.text))
    return _UNSEEN.sub("", INVISIBLE.sub("", _FILLERS.sub(" ", text)))


def drop_prompt(summary: PostInput) -> str:
    """Remove text before the summary and text after it.

    Before it: a model's reasoning, special tokens, a role's name (``assistant``), a heading, a sentence that
    announces the summary. After it: a turn, a role's name, another block, a special token. A text that begins with
    a turn is a whole dialogue: none of its turns is removed.
    """
    text = summary.text
    while header := next(filter(None, (pattern.match(text) for pattern in _BEFORE)), None):
        text = text[header.end() :]
    patterns = (_BEHIND, ROLE_BEHIND) if _BEGINS_WITH_TURN.match(text) else (_BEHIND, ROLE_BEHIND, _TURN)
    starts = [match.start() for pattern in patterns for match in pattern.finditer(text)]
    end = min((start for start in starts if text[:start].strip()), default=None)
    return text if end is None else text[:end].rstrip()


def cut_loops(summary: PostInput) -> str:
    """Keep one of three or more equal phrases in a row (of 5 to 100 characters), or of eight or more short ones.

    Repeated digits and signs, and ㅋㅋㅋ, are not changed.
    """
    text = summary.text
    while (after := _without_loops(_without_loops(text, _LETTERS), _PHRASE)) != text:
        text = after
    return text


def _without_loops(text: str, pattern: re.Pattern[str]) -> str:
    at = 0
    while match := pattern.search(text, at):
        if not _WORD.search(match[1]):
            at = match.end()
            continue
        rest = text[match.end() :]
        begun = rest.strip(_BETWEEN)
        # The last, incomplete round of a loop that was cut off
        if begun and match[1].startswith(begun) and rest.endswith(begun):
            rest = ""
        text, at = text[: match.start()] + match[1] + rest, match.start()
    return text
