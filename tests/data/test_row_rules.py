"""What is found odd in a row, and what is not."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.formats import writer_for
from llm_summ.data.row_rules import Oddity, row_oddities
from llm_summ.data.rules import REPAIRED, RULES
from llm_summ.data.table import Record, Table

LINES = (
    "#Person1#: 안녕하세요. 예약했는데요.",
    "#Person2#: 네, 성함이 어떻게 되세요?",
    "#Person1#: #PersonName#입니다.",
)
CLEAN = {
    "fname": "dev_7",
    "dialogue": "\n".join(LINES),
    "summary": "#Person1#이 예약을 확인하려고 이름을 말합니다.",
    "topic": "예약 확인",
}
UNTAGGED = "상담사: 네, 무엇을 도와드릴까요?\n고객: 카드를 잃어버렸어요.\n상담사: 정지해 드리겠습니다."


def oddities(values: dict[str, Any], name: str = "dev.csv") -> list[Oddity]:
    record = Record(10, values)
    return row_oddities(Table(Path(name), tuple(values), [record], format=writer_for(Path(name))), record)


def kinds(**changed: Any) -> set[str]:
    return {odd.kind for odd in oddities(CLEAN | changed)}


def test_a_clean_row_has_none() -> None:
    assert oddities(CLEAN) == []
    assert kinds(dialogue=UNTAGGED, summary="고객이 카드를 정지합니다.") == set()


def test_names_of_kinds_are_stable_and_every_kind_says_why() -> None:
    assert all(name == rule.code and rule.why for name, rule in RULES.items())
    assert [kind.severity for kind in RULES.values()] == sorted(
        (kind.severity for kind in RULES.values()), reverse=True
    )
    assert {code for code, rule in RULES.items() if rule.remedy == REPAIRED} == {
        *("id-outer-space", "broken-tag", "joined-turns", "literal-line-feed", "html", "line-end"),
        *("invisible-character", "not-nfc", "blank-line", "line-space"),
    }


# A line that is put after two clean ones, and all that is found.
TURNS = [
    ("#Person1#: 네.", set()),
    ("#Person12#: 네.", set()),
    ("#Person1#:네.", set()),
    ("#Person2#: #Person1#, #Person2#은 #PhoneNumber#로 #Address##Email#", set()),
    ("#Person1#은#Person2#의 친구예요.", {"tag-without-colon"}),
    ("#Person1# 네.", {"tag-without-colon"}),
    ("네, 알겠습니다.", {"no-speaker"}),
    ("(웃음)", {"no-speaker"}),
    ("#PhoneNumber#입니다.", {"no-speaker"}),
    ("상담사: 네.", {"no-speaker"}),
    ("#Person1#:", {"empty-turn"}),
    ("#Person1#: ", {"empty-turn"}),
    ("#Person1#: 네. #Person2#: 좋아요.", {"joined-turns"}),
    ("#Person1#: 네?  #Person2#: 좋아요.", {"joined-turns"}),
    ("#Person1#: 내일 봐요?#Person2#: 네.", {"joined-turns"}),
    ("#Person1#: 내일 봐요#Person2#: 네", {"joined-turns"}),
    ("#Person1#: 받는 사람 #Person2#: 좋아요.", {"joined-turns"}),
    ("#Person1#: “네”#Person2#: 좋아요.", {"joined-turns"}),
    ("#Person1#: 네.#Person2# : 좋아요.", {"joined-turns"}),
    ("#Person1#: 네.#Person2#：좋아요.", {"joined-turns"}),
    ("#Person1#: 네.#person2#: 좋아요.", {"joined-turns", "broken-tag"}),
    ("#Person1#: 네.Person2: 좋아요.", {"joined-turns", "broken-tag"}),
    ("#Person1 : 네.#Person2 : 좋아요.", {"joined-turns", "broken-tag"}),
    ("#Person1#: 네.#Peron2#: 좋아요.", {"joined-turns", "broken-tag"}),
    ("안녕하세요. #Person2#: 좋아요.", {"joined-turns", "no-speaker"}),
    # spoken of, quoted, two who speak together, a number before the label
    ("#Person1#: 네. #Person2#, 좋아요.", set()),
    ("#Person1#: 그건#Person2#에게 물어봐요.", set()),
    ('#Person1#: 쪽지에 "#Person2#: 미안"이래요.', set()),
    ("#Person1#: 쪽지에 ‘#Person2#: 미안’이래요.", set()),
    ("#Person1#과 #Person2#: 네!", {"tag-without-colon"}),
    ("1. #Person1#: 네.", {"no-speaker"}),
    ("#Person1#: #Person2#: 네.", {"empty-turn"}),
    # tags that are misspelt
    ("#Person1 : 네.", {"broken-tag"}),
    ("#Person1: 네.", {"broken-tag"}),
    ("# Person1#: 네.", {"broken-tag"}),
    ("#Person1 #: 네.", {"broken-tag"}),
    ("#Person 1#: 네.", {"broken-tag"}),
    ("#Person_1#: 네.", {"broken-tag"}),
    ("#person1#: 네.", {"broken-tag"}),
    ("#PERSON1#: 네.", {"broken-tag"}),
    ("Person1#: 네.", {"broken-tag"}),
    ("person1#: 네.", {"broken-tag"}),
    ("Person1: 네.", {"broken-tag"}),
    ("＃Person1＃: 네.", {"broken-tag"}),
    ("#Person１#: 네.", {"broken-tag"}),
    ("#Person1#：네.", {"broken-tag"}),
    ("#Person1# : 네.", {"broken-tag"}),
    ("#Person1#: #Person2와 #Person1#", {"broken-tag"}),
    ("#Person1#: Person2가 왔어요.", {"broken-tag"}),
    ("person1: 네.", {"broken-tag"}),
    # other letters than Person, where the dialogue has that speaker
    ("#Peron1#: 네.", {"broken-tag"}),
    ("#Person1#: #Ferson2#는요?", {"broken-tag"}),
    ("#Person1#: #persan2#는요?", {"broken-tag"}),
    ("#Person1#: #Pesron2#, #Peron2와", {"broken-tag"}),
    ("#Person1#: #사람2#는요?", {"broken-tag"}),
    ("#Person1#: #Person이#는요?", {"broken-tag"}),
    ("#Person1#: #Peron3#는요?", {"unknown-mask"}),
    ("#Person1#: #Lesson1#, #Prison2#", {"unknown-mask"}),
    ("#Person1#: #여행1 #사람1", set()),
    # masks that are misspelt, and what only looks like it
    ("#Person1#: #Phone Number#예요.", {"broken-tag"}),
    ("#Person1#: #phonenumber#예요.", {"broken-tag"}),
    ("#Person1#: #phone_number#예요.", {"broken-tag"}),
    ("#Person1#: # Email #이에요.", {"broken-tag"}),
    ("#Person1#: #E-mail#이에요.", {"broken-tag"}),
    ("#Person1#: #PhoneNumber예요.", {"broken-tag"}),
    ("#Person1#: PhoneNumber#예요.", {"broken-tag"}),
    ("#Person1#: ＃SSN＃이에요.", {"broken-tag"}),
    ("#Person1#: #Name#입니다.", {"unknown-mask"}),
    ("#Person1#: #이름#입니다.", {"unknown-mask"}),
    ("#Person1#: #Person#입니다.", {"unknown-mask"}),
    ("#Person1#: #PersonA#입니다.", {"unknown-mask"}),
    ("#Person1#: #맛집 #여행 좋아요.", set()),
    ("#Person1#: #email 주소 있어요?", set()),
    ("#Person1#: C# 1#, #1번이요. 12#34#", set()),
    ("#Person1#: a person1 email, VIPerson1", set()),
    ("#Person1#: 콜론： 전각이에요.", set()),
    # remains of other formats
    (r"#Person1#: 네.\n#Person2#: 좋아요.", {"literal-line-feed"}),
    (r"#Person1#: 네.\r\n", {"literal-line-feed"}),
    (r"#Person1#: 네.\\n좋아요.", {"literal-line-feed"}),
    (r"#Person1#: C:\new\notes에 있어요.", set()),
    ("#Person1#: 네.<br>좋아요.", {"html"}),
    ("#Person1#: 네.<BR />좋아요.", {"html"}),
    ("#Person1#: A &amp; B", {"html"}),
    ("#Person1#: &quot;네&quot;", {"html"}),
    ("#Person1#: &#39;네&#x27;", {"html"}),
    ("#Person1#: &amp;amp;lt;", {"html"}),
    ("#Person1#: <b>네</b>", {"html-tag"}),
    ("#Person1#: <p class='x'>네", {"html-tag"}),
    ("#Person1#: AT&T;와 R&D; Q&A & &lt 1 < 2 > 0 <3 <스승의 은혜> <brother> <bbb>", set()),
    # characters
    ("#Person1#: 네.\r", {"line-end"}),
    ("#Person1#: 네.\u2028", {"line-end"}),
    ("#Person1#: 네,\u0085좋아요.", {"line-end"}),
    ("#Person1#: 네,\u200b좋아요.", {"invisible-character"}),
    ("#Person1#: 네,\ufeff좋아요.", {"invisible-character"}),
    ("#Person1#: 네,\x07좋아요.", {"invisible-character"}),
    ("#Person1#: 네,\u3164좋아요.", {"invisible-character"}),
    ("#Person1#: 네,\u200d좋아요.", {"invisible-character"}),
    ("#Person1#: 우리 가족 👨‍👩‍👧 ❤️‍🔥 👍🏽", set()),
    ("#Person1#: 네\t탭과\u00a0빈칸과\u3000전각", set()),
    ("#Person1#: 네,\ufffd요.", {"lost-character"}),
    ("#Person1#: " + unicodedata.normalize("NFD", "좋아요."), {"not-nfc"}),
    ("#Person1#: ㅋㅋㅋ ㅠㅠ café 『東京』 ①", set()),
    # lines
    ("", {"blank-line"}),
    ("   ", {"blank-line"}),
    ("\n#Person1#: 네.", {"blank-line"}),
    ("#Person1#: 네. ", {"line-space"}),
    ("#Person1#: 네.\u3000", {"line-space"}),
    (" #Person1#: 네.", {"line-space"}),
]


@pytest.mark.parametrize(("line", "found"), TURNS, ids=[ascii(line) for line, _ in TURNS])
def test_what_is_odd_in_a_turn(line: str, found: set[str]) -> None:
    assert kinds(dialogue="\n".join((*LINES[:2], line, LINES[0]))) == found


@pytest.mark.parametrize(("line", "found"), [case for case in TURNS if case[0].strip()])
def test_an_oddity_stands_where_it_is(line: str, found: set[str]) -> None:
    """The row begins in line 10; in JSONL, a row is a line."""
    values = {"topic": "두\n줄", "summary": CLEAN["summary"], "dialogue": "\n".join((*LINES, line, LINES[1]))}
    first = 10 + 1 + len(LINES)
    for odd in oddities({"fname": "a"} | values):
        # a blank line is found at the line feed before it
        assert odd.line in ((first, first - 1) if odd.kind == "blank-line" else (first,))
        assert odd.column == "dialogue"
    assert {odd.line for odd in oddities({"fname": "a"} | values, "dev.jsonl")} <= {10}


ROWS = [
    ({"fname": ""}, {"missing-id"}),
    ({"fname": " \n"}, {"missing-id"}),
    ({"fname": None}, {"missing-id"}),
    ({"fname": " dev_7"}, {"id-outer-space"}),
    ({"fname": "dev_7\n"}, {"id-outer-space"}),
    ({"fname": "\ufeffdev_7"}, {"id-outer-space"}),
    ({"fname": "dev\n7"}, {"id-odd-character"}),
    ({"fname": "dev\u200b7"}, {"id-odd-character"}),
    ({"fname": "\u200b"}, {"id-odd-character"}),
    ({"fname": "dev 7"}, set()),
    ({"fname": 7}, {"not-text"}),
    ({"dialogue": ["a"]}, {"not-text"}),
    ({"summary": 3.5}, {"not-text"}),
    ({"dialogue": ""}, {"empty-dialogue"}),
    ({"dialogue": " \n "}, {"empty-dialogue"}),
    ({"dialogue": None}, {"empty-dialogue"}),
    ({"summary": ""}, {"empty-summary"}),
    ({"summary": "\n"}, {"empty-summary"}),
    ({"summary": None}, {"empty-summary"}),
    ({"topic": " "}, {"empty-topic"}),
    ({"topic": None}, {"empty-topic"}),
    ({"topic1": "", "topic": "예약"}, set()),
    ({"summary": CLEAN["dialogue"]}, {"summary-longer", "prompt-remains"}),
    ({"summary": "요약" * 100}, {"summary-longer", "repetition"}),
    # texts that are not summaries; test_summary_faults.py has all of them
    ({"summary": "nan"}, {"null-text"}),
    ({"summary": "."}, {"empty-summary"}),
    ({"summary": "요약 없음"}, {"no-summary"}),
    ({"summary": "</think> 이름을 말합니다."}, {"prompt-remains"}),
    ({"summary": "이름을 말합니다.<end_of_turn>"}, {"prompt-remains"}),
    ({"summary": "?? ???? ??."}, {"empty-summary", "lost-hangul"}),
    ({"summary": "은 에게 이름을 말합니다."}, {"lost-tag"}),
    ({"summary": "#Person1# says the name."}, {"not-korean"}),
    ({"topic": "<think>예약이다.</think> 예약 확인"}, {"prompt-remains"}),
    ({"topic": "nan"}, {"null-text"}),
    ({"topic": "오류"}, set()),
    ({"dialogue": str(list(LINES))}, {"printed-list", "one-turn", "no-speaker"}),
    (
        {"dialogue": str([{"role": "#Person1#", "content": "네"}, {"role": "A"}])},
        {"printed-list", "one-turn", "no-speaker"},
    ),
    ({"summary": "#Person3#이 예약합니다."}, {"tag-not-in-dialogue"}),
    ({"summary": "#Person1#의 #Address#을 묻습니다."}, {"tag-not-in-dialogue"}),
    ({"summary": "Person1은 예약합니다."}, {"broken-tag"}),
    ({"summary": "#Person1은 예약합니다."}, {"broken-tag"}),
    ({"summary": "#Person1#과 #Person2 #이 만납니다."}, {"broken-tag"}),
    ({"summary": "예약&amp;확인"}, {"html"}),
    ({"summary": "예약\u200b확인"}, {"invisible-character"}),
    ({"summary": "예약합니다. "}, {"line-space"}),
    ({"topic": "예약 &amp; 확인"}, {"html"}),
    ({"summary2": ""}, {"missing-reference"}),
    ({"summary2": None, "summary3": "확인합니다."}, {"missing-reference"}),
    ({"summary": "", "summary2": ""}, {"empty-summary"}),
    ({"summary2": CLEAN["summary"] + " "}, {"equal-references", "line-space"}),
    ({"summary2": "예약을 확인합니다."}, set()),
    ({"summary": "#Peron2#가 이름을 묻습니다."}, {"broken-tag"}),
    ({"summary": "#Peron3#이 이름을 묻습니다."}, {"unknown-mask"}),
    ({"dialogue": f"{LINES[0]}\n#Peron2#: 네.", "summary": "#Person2#가 답합니다."}, {"broken-tag"}),
    ({"dialogue": LINES[1], "summary": "이름을 묻습니다."}, {"one-turn"}),
    ({"dialogue": "".join(LINES), "summary": "이름을 묻습니다."}, {"joined-turns"}),
    ({"dialogue": "상담사:네, 말씀하세요.\n고객：카드요.\n상담사 : 네.", "summary": "묻습니다."}, set()),
    ({"dialogue": "[상담사] 네, 말씀하세요.\n[고객] 카드를 잃어버렸어요.", "summary": "묻습니다."}, set()),
    ({"dialogue": f"{UNTAGGED}\n시간: 3시", "summary": "정지합니다."}, {"no-speaker"}),
    ({"dialogue": f"{LINES[0]}\n{LINES[2]}", "summary": "예약했습니다."}, {"one-speaker"}),
    ({"dialogue": f"{UNTAGGED.splitlines()[0]}\n상담사: 여보세요?", "summary": "묻습니다."}, {"one-speaker"}),
    ({"dialogue": "안녕하세요.\n네, 안녕하세요, 어떻게 오셨나요?", "summary": "인사합니다."}, {"no-speaker"}),
    ({"dialogue": f"{UNTAGGED}\n네, 알겠습니다.", "summary": "정지합니다."}, {"no-speaker"}),
    ({"dialogue": "Person1: 네.\nPerson2: 좋아요.", "summary": "Person1이 답합니다."}, set()),
    ({"dialogue": f"{LINES[0]}\n#person2#: 네.", "summary": "#Person2#가 답합니다."}, {"broken-tag"}),
    ({"dialogue": CLEAN["dialogue"].replace("\n", "\r\n")}, {"line-end"}),
    ({"dialogue": CLEAN["dialogue"] + "\n"}, {"blank-line"}),
    ({"other": " &amp;\r\n#Person1 "}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "found"), ROWS, ids=[ascii(changed) for changed, _ in ROWS])
def test_what_is_odd_in_a_row(changed: dict[str, Any], found: set[str]) -> None:
    assert kinds(**changed) == found


def test_a_file_without_summaries_or_topics_lacks_none() -> None:
    assert oddities({"fname": "test_1", "dialogue": CLEAN["dialogue"]}) == []


def test_turns_are_read_as_a_dialogue() -> None:
    turns = [{"speaker": "#Person1#", "text": "네. "}, "#Person2: 좋아요.", ""]
    found = oddities({"fname": "a", "turns": turns}, "dev.jsonl")
    assert {(odd.kind, odd.column) for odd in found} == {
        *(("line-space", "turns"), ("broken-tag", "turns"), ("blank-line", "turns")),
    }
    assert {odd.kind for odd in oddities({"fname": "a", "turns": [{"speaker": "A"}]}, "dev.jsonl")} == {"not-text"}
    assert {odd.kind for odd in oddities({"fname": "a", "turns": []}, "dev.jsonl")} == {"empty-dialogue"}


def test_an_excerpt_shows_what_is_not_seen_on_one_line() -> None:
    dialogue = f"{LINES[0]}\n{LINES[1]}\n#Person1#: 열두 자를 앞에 두고\u200b좋아요.\n{LINES[1]}"
    [odd] = oddities(CLEAN | {"dialogue": dialogue})
    assert odd.excerpt == "… 열두 자를 앞에 두고\\u200b좋아요.⏎#Person2#: 네, 성함이 …"


# What a field can hold at all: UTF-8 without NUL.
ANYTHING = st.text(
    st.sampled_from("#＃:： \n\r\t\\n<>&;personPERSONNumber12１가나.\u200b\u200d\ufffd\u1112\u1161\ufeff")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)


@given(st.dictionaries(st.sampled_from(["fname", "summary", "summary2", "topic"]), ANYTHING), ANYTHING)
def test_any_row_is_survived(values: dict[str, str], dialogue: str) -> None:
    for odd in oddities({"fname": "a", **values, "dialogue": dialogue}):
        assert odd.kind in RULES
        assert odd.line >= 10
        assert odd.excerpt.isprintable() or not odd.excerpt
