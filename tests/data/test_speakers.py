"""Speakers: names become tags and come back, with the particles that they want."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

import llm_summ
from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Dialogue, Turn
from llm_summ.data.speaker_names import parse_speaker_names, read_speaker_names
from llm_summ.data.speakers import (
    Person,
    SpeakerMap,
    named,
    named_dialogue,
    tagged,
    tagged_text,
    unsupported_tags,
    unused_names,
)

TWO = SpeakerMap((Person("#Person1#", "민지"), Person("#Person2#", "김 과장(영업)")), frozenset({"#Person5#"}))
NAMES = st.lists(
    st.sampled_from(
        [
            "민지",
            "도윤",
            "서현",
            "하늘",
            "김 과장",
            "참석자 1",
            "참석자 2",
            "Amy",
            "Jack",
            "LG",
            "이 대리(영업)",
            "박金",
        ]
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


def test_names_become_tags_in_order_of_appearance() -> None:
    dialogue = Dialogue(
        "a", "도윤: 민지야, 안녕\n민지: 응, 도윤아\n\n도윤: 그래", ("민지가 도윤에게 답한다.",), "인사"
    )
    result, speakers = tagged(dialogue)
    assert result.text == "#Person1#: 민지야, 안녕\n#Person2#: 응, 도윤아\n\n#Person1#: 그래"
    assert result.references == ("#Person2#가 #Person1#에게 답한다.",)
    assert (result.id, result.topic) == ("a", "인사")
    assert speakers.names == {"#Person1#": "도윤", "#Person2#": "민지"}
    assert named_dialogue(result, speakers) == dialogue


def test_references_have_the_names_of_the_file_or_of_the_map_file() -> None:
    dialogue = Dialogue("a", "민지: 네\n도윤: 예", ("민지가 도윤에게 답한다.", "서현이 도윤에게 답한다."))
    for names in ({"민지": "서현"}, {"민지": "도윤", "도윤": "민지"}):
        assert tagged(dialogue, names)[0].references[0] == "#Person1#이 #Person2#에게 답한다."
    assert tagged(dialogue, {"민지": "서현"})[0].references[1] == "#Person1#이 #Person2#에게 답한다."


def test_times_stay_and_odd_labels_become_usual_ones() -> None:
    turns = [
        Turn("민지", "네\n그래요", 1.0, 2.0, "[민지] [오후 3:15] "),
        Turn(None, "(웃음)"),
        Turn("도윤", "예", 3.0),
    ]
    result, _ = tagged(Dialogue.of_turns("a", turns))
    assert result.turns == (
        Turn("#Person1#", "네\n그래요", 1.0, 2.0),
        Turn(None, "(웃음)"),
        Turn("#Person2#", "예", 3.0),
    )


def test_a_dialogue_that_has_tags_is_not_changed() -> None:
    dialogue = Dialogue("a", "#Person2#: 네\n#Person1#: #Person7#은요?", ("#Person2#은 답한다.",))
    result, speakers = tagged(dialogue)
    assert result is dialogue
    assert speakers == SpeakerMap((Person("#Person2#", None), Person("#Person1#", None)), frozenset({"#Person7#"}))
    assert named("#Person2#은 답한다.", speakers) == "#Person2#은 답한다."


def test_no_new_tag_is_one_that_the_dialogue_mentions() -> None:
    turns = [Turn("민지", "#Person1#은 누구야?"), Turn("#Person2#", "몰라"), Turn("도윤", "나도")]
    result, speakers = tagged(Dialogue.of_turns("a", turns))
    assert result.speakers == ("#Person3#", "#Person2#", "#Person4#")
    assert named("#Person1#은 #Person3#과 #Person4#", speakers) == "#Person1#은 민지와 도윤"


def test_a_map_renames_and_merges() -> None:
    dialogue = Dialogue("a", "참석자 1: 네\n참석자 2: 예\n참석자  3: 응", ("참석자 3이 답한다.",))
    result, speakers = tagged(dialogue, {"참석자 1": "김 과장", "참석자 3": "김 과장", "참석자 9": "박 부장"})
    assert result.speakers == ("#Person1#", "#Person2#")
    assert speakers.names == {"#Person1#": "김 과장", "#Person2#": "참석자 2"}
    assert named("#Person1#가 #Person2#은", speakers) == "김 과장이 참석자 2는"
    assert unused_names({"참석자 1": "가", "참석자 9": "나"}, [dialogue]) == ("참석자 9",)


def test_a_map_names_and_merges_tags() -> None:
    dialogue = Dialogue("a", "#Person1#: 네\n#Person2#: #Person3#는?\n#Person3#: 예", ("#Person3#는 온다.",))
    result, speakers = tagged(dialogue, {"#Person1#": "민지", "#Person3#": "민지"})
    assert result.text == "#Person1#: 네\n#Person2#: #Person1#은?\n#Person1#: 예"
    assert result.references == ("#Person1#은 온다.",)
    assert named("#Person1#은 #Person2#를", speakers) == "민지는 #Person2#를"


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("#Person1#은 #Person2#를 본다.", "민지는 김 과장(영업)을 본다."),
        ("#Person1# 은 #Person2# 가 좋다.", "민지는 김 과장(영업)이 좋다."),
        ("#Person1#과 #Person2#는", "민지와 김 과장(영업)은"),
        ("#Person1#에게 #Person2#의 것을", "민지에게 김 과장(영업)의 것을"),
        ('"#Person1#"이라고 한 #Person2#', '"민지"라고 한 김 과장(영업)'),
        ("#Person1#이(가) #Person2#을(를)", "민지가 김 과장(영업)을"),
        ("#Person1#, 이 회의는 #Person2# 과장님", "민지, 이 회의는 김 과장(영업) 과장님"),
        ("#Person1#이번에 #Person2#과장", "민지이번에 김 과장(영업)과장"),
        ("#Person3#은 #Person5#는 #Person 1#은", "#Person3#은 #Person5#는 #Person 1#은"),
        ("", ""),
    ],
)
def test_names_come_back_with_their_particles(summary: str, expected: str) -> None:
    assert named(summary, TWO) == expected


def test_a_tag_that_no_turn_supports_is_reported() -> None:
    assert unsupported_tags("#Person3#은 #Person1#과 #Person5#와 #Person3#를", TWO) == ("#Person3#",)
    assert unsupported_tags("민지는 갔다.", TWO) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("민지는 민지연과 다르다.", "#Person1#은 민지연과 다르다."),
        ("민지에게는 김 과장(영업)이", "#Person1#에게는 #Person2#가"),
        ("이민지가 민지네에서", "이민지가 민지네에서"),
        ("민지/도윤, 민지.", "민지/도윤, #Person1#."),
        ("민지의 말, 민지입니다", "#Person1#의 말, #Person1#입니다"),
    ],
)
def test_a_name_counts_where_it_is_a_word(text: str, expected: str) -> None:
    assert tagged_text(text, TWO) == expected


def test_a_name_of_one_syllable_is_not_looked_for() -> None:
    _, speakers = tagged(Dialogue("a", "나: 네\n이: 예\n3: 응\nA: 네"))
    assert tagged_text("나는 이 일을 3일에 A와 했다.", speakers) == "나는 이 일을 3일에 #Person4#와 했다."


SPOKEN = st.tuples(NAMES.map(lambda names: names[0]), st.text(alphabet="네응 오늘은좋다.?!#1:\n", max_size=20))
OTHER = st.tuples(st.none(), st.text(alphabet="네응 (웃음)…\n", max_size=9))


@given(st.lists(st.one_of(SPOKEN, SPOKEN, OTHER), max_size=8))
def test_any_dialogue_gets_tags_and_loses_no_word(pairs: list[tuple[str | None, str]]) -> None:
    dialogue = Dialogue.of_turns("a", [Turn(speaker, text) for speaker, text in pairs])
    result, speakers = tagged(dialogue)
    assert [turn.text for turn in result.turns] == [turn.text for turn in dialogue.turns]
    assert result.speakers == tuple(f"#Person{number}#" for number in range(1, len(dialogue.speakers) + 1))
    assert tuple(speakers.names.values()) == dialogue.speakers
    assert tagged(result)[0] == result
    assert named_dialogue(result, speakers).turns == dialogue.turns


@given(st.text(alphabet="가나:：#＃Person123[] \n민지", max_size=60))
def test_any_text_gets_tags(text: str) -> None:
    dialogue = Dialogue("a", text)
    result, speakers = tagged(dialogue)
    assert len({person.tag for person in speakers.persons}) == len(speakers.persons)
    assert result.speakers == tuple(person.tag for person in speakers.persons)
    assert Dialogue("a", result.text).speakers == result.speakers


@given(st.text(max_size=60), st.sampled_from(["", "#Person1#", "#Person9#은 ", "민지는 ", "김 과장(영업)이 "]))
def test_any_text_is_read(text: str, more: str) -> None:
    summary = more + text
    assert set(unsupported_tags(named(summary, TWO), TWO)) <= set(unsupported_tags(summary, TWO))
    assert "#Person1#" not in named(summary, TWO)
    assert "#Person1#" in tagged_text(summary, TWO) or "민지" not in summary.split()


@given(NAMES, st.data())
def test_names_are_put_in_and_taken_out_again(names: list[str], data: st.DataObject) -> None:
    persons = tuple(Person(f"#Person{number}#", name) for number, name in enumerate(names, 1))
    speakers = SpeakerMap(persons)
    endings = {
        person.tag: ["에게 ", "의 ", "도 ", ", ", ". "]
        + ["은 ", "이 ", "을 ", "과 ", "이랑 ", "과의 "] * (int(person.tag[7:-1]) % 10 in {1, 3, 6})
        + ["는 ", "가 ", "를 ", "와 ", "로부터 "] * (int(person.tag[7:-1]) % 10 in {2, 4, 5})
        for person in persons
    }
    summary = ""
    for _ in range(data.draw(st.integers(0, 6))):
        tag = data.draw(st.sampled_from(sorted(endings)))
        summary += (
            tag + data.draw(st.sampled_from(endings[tag])) + data.draw(st.sampled_from(["", "회의에서 말한다. "]))
        )
    with_names = named(summary, speakers)
    assert "#" not in with_names
    assert tagged_text(with_names, speakers) == summary


def test_names_put_into_the_sample_and_taken_out_keep_the_score() -> None:
    before, after, hypotheses, again = [], [], [], []
    for dialogue in llm_summ.read_dialogues("sample:dev"):
        persons = map(Person, dialogue.speakers, ("민지", "도윤", "김 과장", "Jane", "참석자 7", "서현", "하늘"))
        with_names = named_dialogue(dialogue, SpeakerMap(tuple(persons)))
        assert "#Person" not in "".join(f"{turn.speaker} " for turn in with_names.turns)
        result, _ = tagged(with_names)
        assert result.text == dialogue.text
        before.append(dialogue.references[1:])
        after.append(result.references[1:])
        hypotheses.append(dialogue.references[0])
        again.append(result.references[0])
    first, second = llm_summ.score_corpus(hypotheses, before), llm_summ.score_corpus(again, after)
    assert abs(first.final - second.final) <= 0.1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("참석자 1: 김 과장\n'#Person2#': 도윤\n3: 민지\n", "names.yaml"),
        ("speaker,name\n참석자 1,김 과장\n#Person2#,도윤\n\n3,민지\n", "names.csv"),
    ],
)
def test_a_map_file_is_read(text: str, where: str, tmp_path: Path) -> None:
    expected = {"참석자 1": "김 과장", "#Person2#": "도윤", "3": "민지"}
    assert parse_speaker_names(text, where) == expected
    (tmp_path / where).write_bytes(text.encode("cp949"))
    assert read_speaker_names(tmp_path / where) == expected


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (
            "민지: 가\n민지: 나\n",
            "names.yaml",
            snapshot("names.yaml:2: 민지 is both 가 and 나; keep one of the two"),
        ),
        (
            "민지: 도윤\n#Person1#: 서현\n",
            "names.yaml",
            snapshot("names.yaml:2: #Person1# is a comment for YAML; put it in quotation marks: '#Person1#'"),
        ),
        (
            "민지: 도윤\n서현: [가, 나]\n",
            "names.yaml",
            snapshot("names.yaml:2: found a list; expected a speaker and a name, '참석자 1: 김 과장'"),
        ),
        (
            "민지: 도윤\n서현:\n",
            "names.yaml",
            snapshot("names.yaml:2: found nothing; expected a speaker and a name, '참석자 1: 김 과장'"),
        ),
        ("민지: ''\n", "names.yaml", snapshot("names.yaml:1: found an empty name; fill it in")),
        (
            "민지: '#Person2#'\n",
            "names.yaml",
            snapshot("names.yaml:1: found the tag #Person2# as a name; write the name of a person"),
        ),
        (
            "민지: '도윤\n",
            "names.yaml",
            snapshot("names.yaml:2: not YAML (found unexpected end of stream); expected '참석자 1: 김 과장'"),
        ),
        (
            "민지,도윤\n서현\n",
            "names.csv",
            snapshot("names.csv:2: found 1 columns; expected two, a speaker and a name"),
        ),
        (
            "민지,도윤\n민지,서현\n",
            "names.csv",
            snapshot("names.csv:2: 민지 is both 도윤 and 서현; keep one of the two"),
        ),
        ("민지,\n", "names.csv", snapshot("names.csv:1: found an empty name; fill it in")),
        (
            '민지,"도윤\n',
            "names.csv",
            snapshot("names.csv:1: not CSV (unexpected end of data); close the quotation mark"),
        ),
    ],
)
def test_a_damaged_map_file_is_refused_with_its_line(text: str, where: str, message: str) -> None:
    with raises(DataError) as caught:
        parse_speaker_names(text, where)
    assert caught.message == message


def test_a_number_of_a_caller_keeps_its_zero() -> None:
    names = parse_speaker_names("01012345678: 민지\n참석자 1: 007\n", "names.yaml")
    assert names == {"01012345678": "민지", "참석자 1": "007"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", snapshot("names.yaml: no names; expected lines such as '참석자 1: 김 과장'")),
        ("# nothing\n", snapshot("names.yaml: no names; expected lines such as '참석자 1: 김 과장'")),
        ("- 민지\n", snapshot("names.yaml: found no pairs; expected lines such as '참석자 1: 김 과장'")),
        ("민지\n", snapshot("names.yaml: found no pairs; expected lines such as '참석자 1: 김 과장'")),
    ],
)
def test_a_map_file_without_pairs_is_refused(text: str, message: str) -> None:
    with raises(DataError) as caught:
        parse_speaker_names(text, "names.yaml")
    assert caught.message == message
