"""Post-processing: how each step changes a text, and which texts it does not change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.post_step_registry import POST_STEPS, PostStepSpec
from llm_summ.post import post_process
from llm_summ.recipe import PostStep, Recipe

DEFAULT: list[PostStep] = Recipe.model_fields["post"].default


def one(text: str, *steps: PostStep, cut_off: bool = False) -> str:
    return post_process([text], [cut_off], steps, [""]).texts[0]


@pytest.mark.parametrize("spec", POST_STEPS.built_in, ids=lambda spec: spec.name)
def test_every_step_that_a_recipe_may_name_is_there(spec: PostStepSpec) -> None:
    assert spec.load().__name__ == spec.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  요약입니다. \n", "요약입니다."),
        ("\u3000요약\u00a0", "요약"),
        ("두  칸\n두 줄", "두  칸\n두 줄"),
        (" \n", ""),
        ("", ""),
    ],
)
def test_strip(text: str, expected: str) -> None:
    assert one(text, "strip") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("첫 줄\n둘째 줄", "첫 줄 둘째 줄"),
        ("첫 줄 \r\n\r\n  둘째 줄\r셋째", "첫 줄 둘째 줄 셋째"),
        ("- 하나\n- 둘", "- 하나 - 둘"),
        ("두  칸", "두  칸"),
        ("글자 그대로 \\n", "글자 그대로 \\n"),
        ("\n", ""),
        ("", ""),
    ],
)
def test_join_lines(text: str, expected: str) -> None:
    assert one(text, "join_lines") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("두  칸\t과 \t탭", "두 칸 과 탭"),
        ("전각\u3000\u3000칸\u00a0", "전각 칸 "),
        ("두 줄 \n  은 줄", "두 줄 \n 은 줄"),
        ("하나 둘", "하나 둘"),
        ("", ""),
    ],
)
def test_collapse_whitespace(text: str, expected: str) -> None:
    assert one(text, "collapse_whitespace") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#Person1#은 웃습니다. #Person2#는", "#Person1#은 웃습니다."),
        ("하나입니다. 둘입니다. 셋", "하나입니다. 둘입니다."),
        ("갈까요? 네", "갈까요?"),
        ("좋습니다! 그리고", "좋습니다!"),
        ("정말요?! 그리고", "정말요?!"),
        ("行きます。 그리고", "行きます。"),
        # a tag may end a sentence
        ("온 사람은 #Person1#. 그리고", "온 사람은 #Person1#."),
        # quotes and brackets that close stay with their sentence
        ('"갑니다." 그가 말하고', '"갑니다."'),
        ("‘갑니다.’ 그가 말하고", "‘갑니다.’"),
        ("「갑니다.」 그가", "「갑니다.」"),
        ("(끝났습니다.) 그리고", "(끝났습니다.)"),
        ("망설입니다… 그러다", "망설입니다…"),
        ("망설입니다... 그러다", "망설입니다..."),
        ("줄 끝입니다.\n다음 줄", "줄 끝입니다."),
        # a text that ended exactly at the limit is finished
        ("하나입니다. 둘입니다.", "하나입니다. 둘입니다."),
        ("하나입니다. ", "하나입니다."),
        # the dots of numbers do not end a sentence
        ("평점은 3.5점입니다. 값은 4.5", "평점은 3.5점입니다."),
        ("평점은 3.5", "평점은 3.5"),
        ("1. 예약을 합니다. 2. 취소를", "1. 예약을 합니다."),
        ("1. 예약을 합니다.\n2.", "1. 예약을 합니다."),
        ("1. 예약을", "1. 예약을"),
        ("오전 9. 30에", "오전 9. 30에"),
        ("주소는 www.example.com 이고", "주소는 www.example.com 이고"),
        # no sentence is finished: an unfinished summary is better than an empty one
        ("#Person1#은 웃", "#Person1#은 웃"),
        ("붙은 문장입니다.그리고", "붙은 문장입니다.그리고"),
        ("", ""),
    ],
)
def test_cut_unfinished(text: str, expected: str) -> None:
    assert one(text, "cut_unfinished", cut_off=True) == expected
    assert one(text, "cut_unfinished", cut_off=False) == text


def test_steps_run_in_order_and_each_reports_how_many_texts_it_changed() -> None:
    texts = [" 하나입니다.\n 둘", "그대로입니다.", "  칸  둘 "]
    report = post_process(texts, [True, True, False], DEFAULT)
    assert report.texts == ["하나입니다.", "그대로입니다.", "칸 둘"]
    assert list(report.changed.items()) == [
        ("strip", 2),
        ("join_lines", 1),
        ("collapse_whitespace", 1),
        ("cut_unfinished", 1),
    ]


def test_another_order_is_another_result() -> None:
    assert one("하나\n 둘 ", "collapse_whitespace", "strip") == "하나\n 둘"
    assert one("하나\n 둘 ", "join_lines", "collapse_whitespace") == "하나 둘"


def test_without_steps_nothing_changes() -> None:
    report = post_process([" a "], [True], [])
    assert (report.texts, report.changed) == ([" a "], {})


def test_every_text_needs_its_own_mark() -> None:
    with raises(ValueError) as raised:
        post_process(["a", "b"], [True], ["strip"])
    assert raised.message == snapshot("zip() argument 2 is shorter than argument 1")


texts = st.text(st.sampled_from(" \t\n\r\x0b\x1c\u2028\u00a0.!?…\"')1가3#") | st.characters(), max_size=40)


@given(texts, st.booleans(), st.sampled_from([*([step] for step in POST_STEPS.names()), DEFAULT]))
def test_a_second_pass_changes_nothing(text: str, cut_off: bool, steps: list[PostStep]) -> None:
    once = one(text, *steps, cut_off=cut_off)
    assert one(once, *steps, cut_off=cut_off) == once


@given(texts, st.booleans())
def test_the_default_steps_only_remove_white_space_and_an_end(text: str, cut_off: bool) -> None:
    found = one(text, *DEFAULT, cut_off=cut_off)
    assert len(found.splitlines()) <= 1
    assert "".join(text.split()).startswith("".join(found.split()))
    if text.strip():
        assert found.strip()
