"""Speaker labels: the speakers of a dialogue, for lines of any form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.labels import joined_turns, line_labels, speakers_of, split_turns, tagging_of

TWO = ("상담사", "고객")


@pytest.mark.parametrize(
    ("dialogue", "speakers"),
    [
        ("#Person2#: 네.\n#Person1#: 예", ("#Person2#", "#Person1#")),
        (" #Person1#：네.\n#Person2# : 예", ("#Person1#", "#Person2#")),
        ("상담사: 네\n고객: 예\n상담사: 네", TWO),
        ("상담사:네\n고객:예", TWO),
        ("상담사：네\n고객：예", TWO),
        ("상담사 : 네\n고객 :예", TWO),
        ("[상담사] 네\n[고객] 예", TWO),
        ("[상담사]: 네\n[고객] : 예", TWO),
        ("［상담사］ 네\n【고객】예", TWO),
        ("[홍길동] [오후 3:15] 안녕\n[김영희] [PM 3:16] 응", ("홍길동", "김영희")),
        ("화자1:3시에 봐요\n화자2:네", ("화자1", "화자2")),
        ("Speaker A: yes\nMr. Smith: no", ("Speaker A", "Mr. Smith")),
        ("1: 네\n2: 예", ("1", "2")),
        ("Q: 이름은?\nA: 지수요", ("Q", "A")),
        # a label here and there
        ("상담사: 네\n혼잣말\n고객: 예", TWO),
        ("상담사: 네\n시간: 3시\n고객: 예\n회의 장소：강남", TWO),
        ("상담사: 10:30에 봐요\n고객: https://example.com 보세요\n10:30요?", TWO),
        ("상담사:\n상담사: 네\n고객: 예", TWO),
        # not labels
        ("#Person1#: 네\n상담사: 예", ("#Person1#",)),
        ("시간: 3시\n장소: 강남역\n문의: 지수", ()),
        ("10:30 출발\n오전 11:00 도착\n3:2로 이겼어", ()),
        ("http://example.com\nhttps://example.com:80/a", ()),
        ("C:\\자료\nD:\\사진", ()),
        ("좋아:)\n싫어:(\n메롱:P\nstd::vector", ()),
        ("안녕\n[사진]\n[사진] 봐\n응\n그래", ()),
        ("네\n내일 봐\n장소는:강남", ()),
        ("그런데 말이야, 이건 정말 중요한 이야기인데: 하자", ()),
        ("안녕하세요.\n네.", ()),
        ("", ()),
    ],
)
def test_who_speaks(dialogue: str, speakers: tuple[str, ...]) -> None:
    assert speakers_of(dialogue) == speakers


def test_where_the_label_of_a_line_ends() -> None:
    dialogue = "상담사: 네\n\n혼잣말\n[고객] 예"
    assert line_labels(dialogue) == [("상담사", 5), None, None, None]
    assert line_labels("[고객]: 예\n [상담사] 네") == [("고객", 5), ("상담사", 7)]


@pytest.mark.parametrize(
    ("dialogue", "speakers"),
    [
        ("#Person1#: 네", {"#Person1#"}),
        ("#Person1#: #Person3#은요?", {"#Person1#", "#Person3#"}),
        ("#Person1#: 네\n#person2#: 예", {"#Person1#", "#Person2#"}),
        ("#Person1#: 네\n#Peron2#: 예 #Peron3#", {"#Person1#", "#Person2#"}),
        ("상담사: 네", set()),
    ],
)
def test_the_tags_that_a_dialogue_has(dialogue: str, speakers: set[str]) -> None:
    assert tagging_of(dialogue).speakers == speakers


@given(
    st.lists(st.sampled_from(["#Person1#:", "#Person2#", " :", "네", ".", " ", "\n", "\r", '"', "“"])).map("".join)
)
def test_splitting_turns_twice_does_no_more_and_loses_nothing(text: str) -> None:
    once = split_turns(text)
    assert split_turns(once) == once
    assert list(joined_turns(once)) == []
    assert "".join(once.split()) == "".join(text.split())
