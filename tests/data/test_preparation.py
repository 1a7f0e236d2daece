"""Names and personal data before a model reads a dialogue, and in its summary."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Dialogue, Turn
from llm_summ.data.preparation import Handling, prepare
from llm_summ.data.tags import PERSON_TAG

LINES = (Path(__file__).parent / "mask_lines.txt").read_text(encoding="utf-8").splitlines()[1:]
TALK = Dialogue(
    "a",
    "민지: 제 번호는 010-3921-7745예요\n도윤: kim@mail.co.kr로 보낼게요",
    ("민지가 도윤에게 010-3921-7745를 알려 준다.", "도윤이 kim@mail.co.kr로 보낸다."),
    "번호",
)
ALL = Handling("tags", mask=True, unmask=True)


def test_a_model_reads_tags_and_masks_and_people_read_names_and_values() -> None:
    prepared = prepare(TALK, ALL)
    assert prepared.dialogue.text == "#Person1#: 제 번호는 #PhoneNumber#예요\n#Person2#: #Email#로 보낼게요"
    assert prepared.dialogue.references == (
        "#Person1#이 #Person2#에게 #PhoneNumber#를 알려 준다.",
        "#Person2#가 #Email#로 보낸다.",
    )
    assert (prepared.dialogue.id, prepared.dialogue.topic) == ("a", "번호")
    assert prepared.masked == {"PhoneNumber": 1, "Email": 1}
    found = prepared.restore("#Person1#은 #Person2#에게 #PhoneNumber#을 준다.")
    assert (found.text, found.unsupported, found.unresolved) == (
        "민지는 도윤에게 010-3921-7745를 준다.",
        (),
        (),
    )


@pytest.mark.parametrize(
    ("handling", "text", "restored"),
    [
        (Handling(), TALK.text, "#Person1#은 답한다."),
        (Handling("tags"), TALK.text.replace("민지", "#Person1#").replace("도윤", "#Person2#"), "민지는 답한다."),
        (Handling(names={"민지": "김 과장"}), TALK.text.replace("민지", "김 과장"), "#Person1#은 답한다."),
        (
            Handling("tags", {"민지": "박", "도윤": "박"}),
            TALK.text.replace("민지", "#Person1#").replace("도윤", "#Person1#"),
            "박은 답한다.",
        ),
    ],
)
def test_each_handling(handling: Handling, text: str, restored: str) -> None:
    prepared = prepare(TALK, handling)
    assert prepared.dialogue.text == text
    assert prepared.restore("#Person1#은 답한다.").text == restored
    assert handling.changes_nothing == (prepared.dialogue == TALK)


def test_a_tag_that_nobody_has_stays_and_is_returned() -> None:
    for handling in (Handling(), Handling("tags"), ALL):
        found = prepare(TALK, handling).restore("#Person3#은 #Person3#에게, #Address#에서.")
        assert found.text == "#Person3#은 #Person3#에게, #Address#에서."
        assert (found.unsupported, found.unresolved) == (("#Person3#",), ("#Address#",))


def test_tags_and_masks_that_the_file_has_are_supported() -> None:
    dialogue = Dialogue("a", "#Person1#: #Person4#가 #PhoneNumber#로 전화해\n#Person2#: 010-3921-7745도 돼")
    prepared = prepare(dialogue, ALL)
    assert prepared.dialogue.text.endswith("#PhoneNumber#(1)도 돼")
    found = prepared.restore("#Person4#는 #PhoneNumber#로, #PhoneNumber#(1)로.")
    assert (found.text, found.unsupported, found.unresolved) == (
        "#Person4#는 #PhoneNumber#로, 010-3921-7745로.",
        (),
        (),
    )


def test_a_mask_of_one_of_several_values_is_not_guessed() -> None:
    dialogue = Dialogue("a", "민지: 010-3921-7745 아니면 010-3921-7746이야")
    found = prepare(dialogue, ALL).restore("번호는 #PhoneNumber#이다. #PhoneNumber#(2)가 맞다.")
    assert found.text == "번호는 #PhoneNumber#이다. 010-3921-7746이 맞다."
    assert found.unresolved == ("#PhoneNumber#",)


def test_a_speaker_whose_name_is_a_number_is_masked() -> None:
    turns = [Turn("010-3921-7745", "여보세요"), Turn("도윤", "누구세요? 010-3921-7745번이 뜨네요")]
    dialogue = Dialogue.of_turns("a", turns, ("010-3921-7745가 전화한다.",))
    kept = prepare(dialogue, Handling(mask=True))
    assert kept.dialogue.text == "#PhoneNumber#: 여보세요\n도윤: 누구세요? #PhoneNumber#번이 뜨네요"
    masked = prepare(dialogue, Handling("tags", mask=True))
    assert masked.dialogue.text == "#Person1#: 여보세요\n#Person2#: 누구세요? #PhoneNumber#번이 뜨네요"
    assert "7745" not in str(masked.dialogue)
    assert masked.restore("#Person1#이 도윤에게 묻는다.").text.startswith("#PhoneNumber#")
    assert prepare(dialogue, ALL).restore("#Person1#이 묻는다.").text == "010-3921-7745가 묻는다."


def test_nothing_shows_a_value_or_a_name() -> None:
    prepared = prepare(TALK, Handling("tags", {"민지": "김 과장"}, mask=True, unmask=True))
    shown = f"{prepared} {prepared.handling} {prepared.masks} {prepared.restore('#Person1#의 #PhoneNumber#')}"
    assert not re.search("7745|kim@|민지|도윤|김 과장", shown)
    assert "{'PhoneNumber': 1, 'Email': 1}" in shown


def test_values_return_only_if_something_was_masked() -> None:
    with raises(DataError) as raised:
        Handling(unmask=True)
    assert raised.message == snapshot("unmask: nothing is masked without mask; ask for both, or for neither")


def test_a_handling_goes_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(ALL)) == ALL


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_no_secret_is_left_and_every_one_returns(lines: list[str], tags: bool, with_names: bool) -> None:
    texts = [re.sub(r"<\w+:([^<>]+)>", r"\1", line) for line in lines]
    turns = [Turn(("민지", "도윤")[number % 2], text) for number, text in enumerate(texts)]
    dialogue = Dialogue.of_turns("a", turns)
    handling = Handling("tags" if tags else "keep", {"민지": "서현"} if with_names else {}, mask=True, unmask=True)
    prepared = prepare(dialogue, handling)
    for mask in prepared.masks.masks:
        assert mask.value in dialogue.text
        assert mask.value not in prepared.dialogue.text
    found = prepared.restore(prepared.dialogue.text)
    assert (found.unsupported, found.unresolved) == ((), ())
    assert not re.search(PERSON_TAG, found.text)
    for mask in prepared.masks.masks:
        assert mask.value in found.text
        without = prepare(dialogue, Handling(handling.speakers, handling.names, mask=True))
        assert mask.value not in without.restore(prepared.dialogue.text).text
