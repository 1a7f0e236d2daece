"""Particles: the form behind a word follows the end of its Korean reading."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.particles import PARTICLE, fitting
from llm_summ.data.readings import Ending, ending

# A name, a particle in some form, and the form that the name wants.
PAIRS = [
    ("민지", "은", "는"),
    ("도윤", "는", "은"),
    ("민지", "이", "가"),
    ("도윤", "가", "이"),
    ("김 과장", "가", "이"),
    ("김 과장", "를", "을"),
    ("지우", "을", "를"),
    ("서연", "와", "과"),
    ("하나", "과", "와"),
    ("서울", "으로", "로"),
    ("부산", "로", "으로"),
    ("제주", "으로", "로"),
    ("민지", "아", "야"),
    ("도윤", "야", "아"),
    ("민지", "이라고", "라고"),
    ("도윤", "라고", "이라고"),
    ("민지", "이나", "나"),
    ("도윤", "나", "이나"),
    ("민지", "이랑", "랑"),
    ("도윤", "랑", "이랑"),
    ("도윤", "로부터", "으로부터"),
    ("한결", "으로부터", "로부터"),
    ("하늘", "로서", "로서"),
    ("도윤", "로서", "으로서"),
    ("민지", "과의", "와의"),
    ("도윤", "와는", "과는"),
    ("민지", "이었다", "였다"),
    ("도윤", "였다", "이었다"),
    ("도윤", "다", "이다"),
    ("민지", "이다", "이다"),
    ("도윤", "며", "이며"),
    ("민지", "이에요", "예요"),
    ("도윤", "에요", "이에요"),
    ("민지", "은(는)", "는"),
    ("도윤", "이(가)", "이"),
    ("민지", "이야말로", "야말로"),
    ("Amy", "은", "는"),
    ("Jane", "가", "이"),
    ("Jack", "를", "을"),
    ("Kate", "을", "를"),
    ("Mike", "이", "가"),
    ("Daniel", "는", "은"),
    ("Paul", "으로", "로"),
    ("David", "은", "는"),
    ("Robert", "이", "가"),
    ("Mr. Brown", "와", "과"),
    ("Michelle", "가", "이"),
    ("Daphne", "은", "는"),
    ("José", "을", "를"),
    ("LG", "은", "는"),
    ("IBM", "는", "은"),
    ("KBS", "이", "가"),
    ("SQL", "으로", "로"),
    ("A", "과", "와"),
    ("참석자 1", "가", "이"),
    ("참석자 2", "은", "는"),
    ("화자 3", "를", "을"),
    ("상담사 10", "가", "이"),
    ("1,000", "은", "은"),
    ("7", "으로", "로"),
    ("50%", "을", "를"),
    ("3kg", "가", "이"),
    ("김민수(팀장)", "은", "는"),
    ("이 대리(영업)", "은", "는"),
    ('"도윤"', "는", "은"),
    ("민지😊", "이", "가"),
    ("金", "은", "은(는)"),
    ("金", "로부터", "(으)로부터"),
]


def test_the_table_has_60_names_and_particles() -> None:
    assert len(set(PAIRS)) == len(PAIRS) >= 60


@pytest.mark.parametrize(("name", "given", "form"), PAIRS)
def test_a_particle_takes_the_form_that_a_name_wants(name: str, given: str, form: str) -> None:
    assert fitting(given, name) == form
    assert fitting(form, name) == form


@pytest.mark.parametrize(
    ("word", "end"),
    [
        *[
            (name, Ending.CONSONANT)
            for name in ("Jim", "Anne", "Catherine", "Eric", "Philip", "Bob", "Scott", "Park")
        ],
        *[
            (name, Ending.CONSONANT)
            for name in ("Minseok", "Baek", "JACK", "KEVIN", "NASDAQ", "100", "0", "10000", "3", "ㅋㅋ")
        ],
        *[(name, Ending.L) for name in ("Carl", "Nicole", "R", "HTML", "1", "8", "ㄹ", "11")],
        *[
            (name, Ending.VOWEL)
            for name in ("Mark", "Frank", "Luke", "Steve", "George", "Grace", "Elizabeth", "Mrs.")
        ],
        *[(name, Ending.VOWEL) for name in ("Peter", "Sarah", "SK", "KT", "2", "1000000000000", "4.5", "さくら")],
        *[(name, None) for name in ("", "金", "!?", "()", "...")],
    ],
)
def test_how_a_reading_ends(word: str, end: Ending | None) -> None:
    assert ending(word) is end


def test_what_is_no_particle_stays() -> None:
    for text in ("에게", "의", "께서", "과장", "은행", "가족", ""):
        assert fitting(text, "민지") == text
        assert re.fullmatch(PARTICLE, text) is None


@given(
    st.text(max_size=12),
    st.sampled_from(["은", "를", "으로부터", "이라고", "와의", "야", "이었다", "다", "(으)로"]),
)
def test_the_form_does_not_depend_on_the_form_before(word: str, particle: str) -> None:
    once = fitting(particle, word)
    assert fitting(once, word) == once
    assert re.match(PARTICLE, once)
