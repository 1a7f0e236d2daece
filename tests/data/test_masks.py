"""Masks: personal data leaves a dialogue, and comes back in its summary."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm_summ
from llm_summ.data.dialogue import Dialogue, Turn
from llm_summ.data.mask_rules import find_personal_data
from llm_summ.data.masks import masked, unmask, unresolved_masks
from llm_summ.data.speakers import named, tagged
from llm_summ.data.tags import TAG

LINES = Path(__file__).parent / "mask_lines.txt"
MARKED = re.compile(r"<(\w+):([^<>]+)>")
# Precision and recall in per cent, rounded down, on mask_lines.txt: what the rules reach; not less.
REACHED = {
    "Address": (96, 89),
    "CarNumber": (100, 92),
    "CardNumber": (100, 93),
    "DateOfBirth": (94, 94),
    "Email": (100, 100),
    "PassportNumber": (90, 81),
    "PhoneNumber": (100, 92),
    "SSN": (100, 100),
}


def lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the lines of the test set: the text, and kind and value of its personal data in order."""
    return [
        (MARKED.sub(r"\2", line).replace(" / ", "\n"), MARKED.findall(line))
        for line in LINES.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]


def test_precision_and_recall() -> None:
    right, found, labelled = Counter[str](), Counter[str](), Counter[str]()
    for text, marked in lines():
        got = [(data.kind, text[data.start : data.end]) for data in find_personal_data(text)]
        found.update(kind for kind, _ in got)
        labelled.update(kind for kind, _ in marked)
        right.update(kind for kind, _ in (Counter(got) & Counter(marked)).elements())
    assert set(labelled) == set(REACHED)
    assert len(lines()) >= 200
    for kind, (precision, recall) in REACHED.items():
        assert 100 * right[kind] // found[kind] >= precision, kind
        assert 100 * right[kind] // labelled[kind] >= recall, kind


def test_every_mask_is_one_of_the_task() -> None:
    for text, _ in lines():
        result, masks = masked(Dialogue("a", text))
        for token, value in masks.masks:
            assert TAG.match(token)
            assert token in result.text
            assert value not in result.text


def test_one_value_of_a_kind_has_the_plain_token() -> None:
    dialogue = Dialogue("a", "민지: 010-3921-7745로 줘\n도윤: 01039217745? 메일은 kim@example.com이야")
    result, masks = masked(dialogue)
    assert result.text == "민지: #PhoneNumber#로 줘\n도윤: #PhoneNumber#? 메일은 #Email#이야"
    assert dict(masks.masks) == {"#PhoneNumber#": "010-3921-7745", "#Email#": "kim@example.com"}
    assert masks.counts == {"PhoneNumber": 1, "Email": 1}


def test_several_values_of_a_kind_are_numbered_and_the_right_one_returns() -> None:
    result, masks = masked(Dialogue("a", "민지: 010-3921-7745나 010-2284-9910으로 줘"))
    assert result.text == "민지: #PhoneNumber#(1)나 #PhoneNumber#(2)으로 줘"
    assert unmask("#PhoneNumber#(2)로 연락한다.", masks) == "010-2284-9910으로 연락한다."
    assert unmask("#PhoneNumber# (1)은 민지의 것이다.", masks) == "010-3921-7745는 민지의 것이다."
    ambiguous = "#PhoneNumber#로 연락한다."
    assert unmask(ambiguous, masks) == ambiguous
    assert unresolved_masks(ambiguous, masks) == ("#PhoneNumber#",)
    assert unresolved_masks("#SSN# #PhoneNumber#(2) #PhoneNumber#(3)", masks) == ("#SSN#", "#PhoneNumber#(3)")


def test_a_mask_that_the_data_have_is_not_given_to_another_value() -> None:
    result, masks = masked(Dialogue("a", "#Person1#: #PhoneNumber#요\n#Person2#: 010-2284-9910 말고요?"))
    assert result.text == "#Person1#: #PhoneNumber#요\n#Person2#: #PhoneNumber#(1) 말고요?"
    assert unmask("#PhoneNumber#와 #PhoneNumber#(1)", masks) == "#PhoneNumber#와 010-2284-9910"


def test_speakers_references_and_topic_are_masked() -> None:
    turns = [Turn("010-2284-9910", "카드 5284-1103-9926-4471이요", 1.0, 2.0, "[010-2284-9910] ")]
    dialogue = Dialogue.of_turns(
        "a", turns, ("010-2284-9910이 5284-1103-9926-4471을 알려 준다.",), "010-2284-9910"
    )
    result, masks = masked(dialogue)
    assert result.turns == (Turn("#PhoneNumber#", "카드 #CardNumber#이요", 1.0, 2.0, "[#PhoneNumber#] "),)
    assert result.references == ("#PhoneNumber#이 #CardNumber#을 알려 준다.",)
    assert result.topic == "#PhoneNumber#"
    assert len(masks.masks) == 2


@pytest.mark.parametrize(
    "value",
    [
        *("010-3921-7745", "5284-1103-9926-4471", "880412-2084417", "계좌110284771930", "38가4417"),
        *("생일7월 14일", "M48217736"),
    ],
)
def test_a_value_needs_no_space_before_it(value: str) -> None:
    assert len(masked(Dialogue("a", f"그건{value}이에요"))[1].masks) == 1


def test_the_keyword_may_be_in_the_turn_before() -> None:
    assert masked(Dialogue("a", "A: 계좌번호요?\nB: 110284771930이요"))[0].text.endswith("B: #CardNumber#이요")
    assert masked(Dialogue("a", "A: 주문번호요?\nB: 110-284-771930이요"))[1].masks == ()


def test_a_value_is_masked_wherever_it_occurs() -> None:
    result, _ = masked(Dialogue("a", "A: 계좌 110-284-771930이요\nB: 주문번호요?\nA: 110-284-771930 말이에요"))
    assert "110-284" not in result.text


def test_masks_and_names_work_together() -> None:
    dialogue = Dialogue("a", "민지: 도윤아, 010-3921-7745야?\n010-2284-9910: 아니, kim@example.com이야")
    safe, masks = masked(dialogue)
    for_model, speakers = tagged(safe)
    assert "010" not in for_model.text + repr(speakers)
    assert for_model.speakers == ("#Person1#", "#Person2#")
    summary = "#Person1#은 #PhoneNumber#(1)을 묻고, #Person2#는 #Email#를 알려 준다."
    assert unmask(named(summary, speakers), masks) == (
        "민지는 010-3921-7745를 묻고, 010-2284-9910은 kim@example.com을 알려 준다."
    )


def test_a_report_shows_no_value() -> None:
    _, masks = masked(Dialogue("a", "010-2284-9910, 010-2284-9911"))
    assert repr(masks) == "MaskMap({'PhoneNumber': 2})"


def test_a_dialogue_without_personal_data_stays_as_it_is() -> None:
    dialogue = Dialogue("a", "민지: 3시에 10명이 와\n도윤: 12,000원이야")
    result, masks = masked(dialogue)
    assert result is dialogue
    assert unmask("#Email#로", masks) == "#Email#로"


def test_the_sample_has_no_personal_data() -> None:
    for name in ("train", "dev", "test"):
        for dialogue in llm_summ.read_dialogues(f"sample:{name}"):
            assert masked(dialogue)[0] is dialogue


VALUES = st.sampled_from(
    [
        *("010-3921-7745", "010-2284-9910", "kim@example.com", "880412-2084417", "5284-1103-9926-4471"),
        *(
            "38가 4417",
            "M48217736",
            "1988년 4월 12일생",
            "서울시 강남구 테헤란로 152",
            "02-6712-3348",
            "#PhoneNumber#",
            "#Email#",
        ),
    ]
)
FILLERS = st.sampled_from([" 그래 ", ", ", "\n", " 12,000원 ", " 3시에 ", "\nB: ", " #Person1# ", " 버전 3.1 "])


@given(st.lists(st.tuples(VALUES, FILLERS), max_size=8))
def test_masked_and_unmasked_is_the_same_text(parts: list[tuple[str, str]]) -> None:
    dialogue = Dialogue("a", "A: " + "".join(value + filler for value, filler in parts))
    result, masks = masked(dialogue)
    assert len(result.turns) == len(dialogue.turns)
    assert unmask(result.text, masks, fit_particles=False) == dialogue.text
    for _, value in masks.masks:
        assert value not in result.text


@given(st.text(alphabet="0123456789-*. ()@a가로동호번지년월일생\n공일#", max_size=60))
def test_any_text_is_read(text: str) -> None:
    dialogue = Dialogue("a", text)
    found = [*find_personal_data(text)]
    assert all("\n" not in text[data.start : data.end] for data in found)
    assert all(first.end <= second.start for first, second in pairwise(found))
    result, masks = masked(dialogue)
    assert (result is dialogue) == (not masks.masks) == (not found)
    assert not unresolved_masks("".join(token for token, _ in masks.masks), masks)
