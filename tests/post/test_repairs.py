"""The steps that repair and remove: how each changes a text, and that a good summary is not changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.post_step_registry import POST_STEPS
from llm_summ.post import post_process
from llm_summ.post.steps import needing_dialogue
from llm_summ.recipe import PostStep

TWO = "#Person1#: 안녕하세요, 예약하려고요.\n#Person2#: 네, 몇 분이세요?"
THREE = TWO + "\n#Person3#: 저도 갈래요."


def one(text: str, step: PostStep, *, cut_off: bool | None = None, dialogue: str = TWO) -> str:
    return post_process([text], [cut_off], [step], [dialogue]).texts[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Person1 #은 웃습니다.", "#Person1#은 웃습니다."),
        ("#person1#은 웃습니다.", "#Person1#은 웃습니다."),
        ("#Person 1#은 웃습니다.", "#Person1#은 웃습니다."),
        ("#Person1은 웃습니다.", "#Person1#은 웃습니다."),
        ("Person1은 #Person2에게 묻습니다.", "#Person1#은 #Person2#에게 묻습니다."),
        ("#phonenumber#로 전화합니다.", "#PhoneNumber#로 전화합니다."),
        ("# Phone Number #로, # Email #로", "#PhoneNumber#로, #Email#로"),
        ("#Person1# 은 #Person2#에게", "#Person1# 은 #Person2#에게"),
        ("방은 # 1입니다. #여행", "방은 # 1입니다. #여행"),
        # other letters, where the dialogue has the speaker
        ("#Peron2#는 웃습니다.", "#Person2#는 웃습니다."),
        ("#Ferson1#이 #persan2#에게", "#Person1#이 #Person2#에게"),
        ("#Personal2#, #Perosn1#, # Peson 1 #", "#Person2#, #Person1#, #Person1#"),
        ("#Peron2는 Ferson1#과", "#Person2#는 #Person1#과"),
        ("#사람1#과 #화자2#, #Person일#", "#Person1#과 #Person2#, #Person1#"),
        ("#Peron1# #Peron2#", "#Person1# #Person2#"),
        # no such speaker; too different; words, masks and tags that are correct in themselves
        ("#Peron3#은 웃습니다.", "#Peron3#은 웃습니다."),
        ("#Paul1#, #People1#, #Lesson2#, #Poison1#", "#Paul1#, #People1#, #Lesson2#, #Poison1#"),
        ("#PersonName#, #Person#, #PersonA#, Peron2, #1#", "#PersonName#, #Person#, #PersonA#, Peron2, #1#"),
        ("#여행1 #Person1#, #맛집2#", "#여행1 #Person1#, #맛집2#"),
        ("", ""),
    ],
)
def test_repair_tags(text: str, expected: str) -> None:
    assert one(text, "repair_tags") == expected


def test_person1_without_a_sign_is_a_word_where_the_dialogue_has_no_tags() -> None:
    assert one("Person1은 웃습니다.", "repair_tags", dialogue="상담사: 네\n고객: 예") == "Person1은 웃습니다."
    assert post_process(["Person1은"], [None], ["repair_tags"]).texts == ["Person1은"]
    assert post_process(["#Peron1#은"], [None], ["repair_tags"]).texts == ["#Peron1#은"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("회의를 합니다. 회의를 합니다.", "회의를 합니다."),
        ("회의를 합니다. 밥을 먹습니다. 회의를  합니다.", "회의를 합니다. 밥을 먹습니다."),
        ("회의를 합니다.\n회의를 합니다\n", "회의를 합니다."),
        # the last round was cut off
        ("회의를 합니다. 밥을 먹습니다. 회의를 합니다. 밥을 먹", "회의를 합니다. 밥을 먹습니다."),
        ("회의를 합니다. 밥을 먹습니다. 회의를", "회의를 합니다. 밥을 먹습니다. 회의를"),
        ("회의를 합니다. 회의를 미룹니다.", "회의를 합니다. 회의를 미룹니다."),
        ('그는 "네. 알겠어요. 네. 알겠어요."라고 합니다.', '그는 "네. 알겠어요. 네. 알겠어요."라고 합니다.'),
        ("네. 네. 갑니다.", "네. 네. 갑니다."),
        ("", ""),
    ],
)
def test_drop_repeats(text: str, expected: str) -> None:
    assert one(text, "drop_repeats") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("설명을 하고 설명을 하고 설명을 하고 갑니다.", "설명을 하고 갑니다."),
        ("길을 묻고, 길을 묻고, 길을 묻고, 길을", "길을 묻고"),
        ("비가 옵니다. 비가 옵니다. 비가 옵니다.", "비가 옵니다."),
        ("그는 은은은은은은은은은은은은", "그는 은"),
        ("회의 일 일 일 일 일 일 일 일 일", "회의 일"),
        ("#Person1# #Person1# #Person1#은 갑니다.", "#Person1#은 갑니다."),
        # a phrase twice is not a loop, and neither are repeated digits and signs
        ("길을 묻고, 길을 묻고, 떠납니다.", "길을 묻고, 길을 묻고, 떠납니다."),
        ("빨리 빨리 빨리 갑니다.", "빨리 빨리 빨리 갑니다."),
        ("값은 10000000000원입니다..........", "값은 10000000000원입니다.........."),
        ("ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 웃습니다.", "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 웃습니다."),
        ("", ""),
    ],
)
def test_cut_loops(text: str, expected: str) -> None:
    assert one(text, "cut_loops") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("요약: 회의를 합니다.", "회의를 합니다."),
        ("요약문 : 회의를 합니다.", "회의를 합니다."),
        ("### 요약\n회의를 합니다.", "회의를 합니다."),
        ("### 요약 회의를 합니다.", "회의를 합니다."),
        ("### 요약:\n\n회의를 합니다.", "회의를 합니다."),
        ("**요약:** 회의를 합니다.", "회의를 합니다."),
        ("**요약**\n회의를 합니다.", "회의를 합니다."),
        ("[요약] 회의를 합니다.", "회의를 합니다."),
        ("Summary: 회의를 합니다.", "회의를 합니다."),
        ("다음은 대화의 요약입니다: 회의를 합니다.", "회의를 합니다."),
        ("위 대화를 요약하면 다음과 같습니다. 회의를 합니다.", "회의를 합니다."),
        ("Here is the summary of the dialogue:\n\n회의를 합니다.", "회의를 합니다."),
        ("요약: 요약: 회의를 합니다.", "회의를 합니다."),
        ("회의를 합니다.\n#Person2#: 네, 알겠습니다.", "회의를 합니다."),
        ("회의를 합니다. #Person2#: 네, 알겠습니다.", "회의를 합니다."),
        ("회의를 합니다.\n\n### 대화\n#Person1#: 안녕", "회의를 합니다."),
        ("회의를 합니다. ### 대화: #Person1#", "회의를 합니다."),
        ("회의를 합니다.\n\n대화:\n#Person1#: 안녕", "회의를 합니다."),
        ("회의를 합니다.<|im_end|>\n<|im_start|>user", "회의를 합니다."),
        ("회의를 합니다.</s></s>", "회의를 합니다."),
        # a role's name
        ("assistant\n회의를 합니다.", "회의를 합니다."),
        ("assistant\n\n#Person1#은 회의를 합니다.", "#Person1#은 회의를 합니다."),
        ("assistant #Person1#은 회의를 합니다.", "#Person1#은 회의를 합니다."),
        ("assistant 회의를 합니다.", "회의를 합니다."),
        ("model\n회의를 합니다.", "회의를 합니다."),
        ("user\n회의를 합니다.", "회의를 합니다."),
        ("system #Person1#은 회의를 합니다.", "#Person1#은 회의를 합니다."),
        ("ASSISTANT: 회의를 합니다.", "회의를 합니다."),
        ("### assistant\n회의를 합니다.", "회의를 합니다."),
        ("[|assistant|]회의를 합니다.", "회의를 합니다."),
        ("<\uff5cAssistant\uff5c>회의를 합니다.", "회의를 합니다."),
        ("어시스턴트: 회의를 합니다.", "회의를 합니다."),
        ("assistant\n요약: 회의를 합니다.", "회의를 합니다."),
        ("회의를 합니다.\nuser\n다른 대화입니다.", "회의를 합니다."),
        ("회의를 합니다.assistant\n\n밥을 먹습니다.", "회의를 합니다."),
        ("회의를 합니다. model", "회의를 합니다."),
        # a model's reasoning, and other tokenizers' pieces
        ("<think>\n회의네.\n</think>\n\n회의를 합니다.", "회의를 합니다."),
        ("회의네.</think>회의를 합니다.", "회의를 합니다."),
        ("analysis회의네.assistantfinal회의를 합니다.", "회의를 합니다."),
        ("<extra_id_0> 회의를 합니다.<extra_id_1>", "회의를 합니다."),
        ("ko_KR 회의를 합니다.", "회의를 합니다."),
        ("[gMASK]sop 회의를 합니다.", "회의를 합니다."),
        ("[gMASK]<sop> 회의를 합니다.<eop>", "회의를 합니다."),
        # a sentence that announces the summary
        ("대화 요약은 다음과 같습니다. 회의를 합니다.", "회의를 합니다."),
        ("네, 요약해 드리겠습니다.\n회의를 합니다.", "회의를 합니다."),
        # texts that only look like one
        ("user가 늘어서 새 model을 만듭니다.", "user가 늘어서 새 model을 만듭니다."),
        ("user 계정을 만듭니다.", "user 계정을 만듭니다."),
        ("AI 기술을 배웁니다.", "AI 기술을 배웁니다."),
        ('그는 "system"을 끕니다.', '그는 "system"을 끕니다.'),
        ("<기생충>을 봅니다.", "<기생충>을 봅니다."),
        ("회의를 ⁇ 합니다.", "회의를 ⁇ 합니다."),
        ("<think>회의네.", "<think>회의네."),
        ("요약하면 회의를 합니다.", "요약하면 회의를 합니다."),
        ("위원회는 회의를 요약한 보고서: 세 부를 냅니다.", "위원회는 회의를 요약한 보고서: 세 부를 냅니다."),
        ("#Person1#은 요약문을 씁니다.", "#Person1#은 요약문을 씁니다."),
        ("#Person1#이 말합니다: 회의는 3:30입니다.", "#Person1#이 말합니다: 회의는 3:30입니다."),
        ("# Person1 #은 웃습니다.", "# Person1 #은 웃습니다."),
        # nothing would be left
        ("assistant", "assistant"),
        ("assistant\n", "assistant\n"),
        ("요약:", "요약:"),
        ("### 요약\n", "### 요약\n"),
        ("요약: </s>", "요약: </s>"),
        # a null word is the model's answer
        ("요약: nan", "nan"),
        ("#Person1#: 안녕\n#Person2#: 네", "#Person1#: 안녕\n#Person2#: 네"),
        ("", ""),
    ],
)
def test_drop_prompt(text: str, expected: str) -> None:
    assert one(text, "drop_prompt") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("회의를\ufffd 합니다.\u200b", "회의를 합니다."),
        ("회의를 합니다 😀.", "회의를 합니다."),
        ("축하합니다 👨‍👩‍👧👍🏽 그리고 ☎️ 갑니다", "축하합니다 그리고 갑니다"),
        ("1️⃣ 예약", "1 예약"),
        ("회의\x07를\x1b \x9b합니다.", "회의를 합니다."),
        ("한 줄\r\n두 줄\u2028세 줄", "한 줄\n두 줄\n세 줄"),
        ("한\u3164칸", "한 칸"),
        # text, not emoji
        ("별점 ★★★, ☎ 전화, 20℃, 5㎞, ©, →", "별점 ★★★, ☎ 전화, 20℃, 5㎞, ©, →"),
        ("탭\t과 줄\n", "탭\t과 줄\n"),
        # nothing would be left
        ("\ufffd\ufffd", "\ufffd\ufffd"),
        ("😀", "😀"),
        ("", ""),
    ],
)
def test_clean_characters(text: str, expected: str) -> None:
    assert one(text, "clean_characters") == expected


@pytest.mark.parametrize(
    ("text", "dialogue", "expected"),
    [
        ("#Person1#은 묻고, #Person3#은 답합니다.", TWO, "#Person1#은 묻고, #Person2#는 답합니다."),
        ("#Person3#이 #Person2#에게 묻습니다.", TWO, "#Person1#이 #Person2#에게 묻습니다."),
        ("#Person3# 을 #Person1# 이 부릅니다.", TWO, "#Person2# 를 #Person1# 이 부릅니다."),
        ("#Person1#은 웃습니다. #Person3#은 웁니다.", TWO, "#Person1#은 웃습니다. #Person2#는 웁니다."),
        ("#Person1#, #Person2#와 #Person4#가 갑니다.", THREE, "#Person1#, #Person2#와 #Person3#이 갑니다."),
        ("#Person1#은 #Person3#이라고 부릅니다.", TWO, "#Person1#은 #Person2#라고 부릅니다."),
        ("#Person1#은 #Person3#으로부터 책을 받습니다.", TWO, "#Person1#은 #Person2#로부터 책을 받습니다."),
        ("#Person1#은 #Person3# 다 함께 갑니다.", TWO, "#Person1#은 #Person2# 다 함께 갑니다."),
        # it could be either
        ("#Person1#과 #Person2#는 #Person3#을 봅니다.", TWO, None),
        ("#Person3#은 웁니다.", TWO, None),
        ("#Person1#은 #Person4#를 봅니다.", THREE, None),
        # counted from 0; two wrong speakers; mentioned in the dialogue; a dialogue without tags
        ("#Person0#은 #Person1#에게 묻습니다.", TWO, None),
        ("#Person1#은 #Person3#과 #Person4#를 봅니다.", TWO, None),
        ("#Person1#은 #Person3#을 봅니다.", TWO + "\n#Person1#: #Person3#은요?", None),
        ("#Person1#은 #Person3#을 봅니다.", "상담사: 네\n고객: 예", None),
        ("", TWO, None),
    ],
)
def test_repair_speakers(text: str, dialogue: str, expected: str | None) -> None:
    assert one(text, "repair_speakers", dialogue=dialogue) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#Person1#은 웃습니다. #Person2#는", "#Person1#은 웃습니다."),
        ("하나입니다. 둘입니다. 셋을 사고", "하나입니다. 둘입니다."),
        ("하나입니다. #Person1", "하나입니다."),
        ("온 사람은 #Person1#. 그리고", "온 사람은 #Person1#."),
        ('그는 "갑니다." 그리고', '그는 "갑니다."'),
        ("평점은 3.5점입니다. 값은 4.5", "평점은 3.5점입니다."),
        ("출발은 오전 9. 30에", "출발은 오전 9. 30에"),
        ("끝났습니다. 2024. 3. 5. 오전에", "끝났습니다."),
        ("1. 예약을 합니다. 2.", "1. 예약을 합니다."),
        # a title's dot does not end a sentence, and neither does one within a quotation
        ("갑니다. Ms. Dawson에게 메모를", "갑니다."),
        ("Ms. Dawson에게 메모를", "Ms. Dawson에게 메모를"),
        ("J. K. 롤링의 책을", "J. K. 롤링의 책을"),
        ("갑니다. 그는 '네'라며 “비가 와요. 우산이", "갑니다."),
        ("#Person1#은 “비가 와요. 우산이", "#Person1#은 “비가 와요. 우산이"),
        # finished, although a mark is missing
        ("갑니다. #Person2#는 좋다고 말합니다", "갑니다. #Person2#는 좋다고 말합니다"),
        ("일정을 논의함. 다음 주에 만나기로 함", "일정을 논의함. 다음 주에 만나기로 함"),
        ("갑니다. “네, 그럼요”", "갑니다. “네, 그럼요”"),
        ("갑니다. 번호는 5.", "갑니다. 번호는 5."),
        ("갑니다. ", "갑니다. "),
        # nothing would be left
        ("... 그리고", "... 그리고"),
        ("#Person1#은 웃", "#Person1#은 웃"),
        ("", ""),
    ],
)
def test_whole_sentences(text: str, expected: str) -> None:
    assert one(text, "whole_sentences") == expected
    assert one(text, "whole_sentences", cut_off=False) == text


def test_a_text_that_was_cut_off_needs_a_mark_to_be_whole() -> None:
    text = "갑니다. #Person2#는 좋다"
    assert one(text, "whole_sentences", cut_off=None) == text
    assert one(text, "whole_sentences", cut_off=True) == "갑니다."


def test_a_step_that_needs_the_dialogues_raises_without_them() -> None:
    with raises(ValueError) as raised:
        post_process(["#Person3#"], [None], ["strip", "repair_speakers"])
    assert raised.message == snapshot("the step repair_speakers needs the dialogues; found None")
    assert needing_dialogue(POST_STEPS.names()) == ["repair_speakers", "cut_to_limit"]


def test_every_change_is_reported_with_its_row() -> None:
    report = post_process([" 가", "나", "다 "], [None] * 3, ["strip", "cut_loops"])
    assert report.changed == {"strip": 2, "cut_loops": 0}
    assert [tuple(change) for change in report.changes] == [("strip", 0, " 가", "가"), ("strip", 2, "다 ", "다")]


# Pieces of text in which the errors are likely to occur together.
PIECES = st.sampled_from(
    [
        *(
            "#Person1#",
            "# Person 2 #",
            "#person3#",
            "#Person4",
            "#Peron2#",
            "#Ferson1",
            "persan1#",
            "#사람2#",
            "Person1",
            "#Person2#:",
            "#",
            "#PhoneNumber",
            "＃",
        ),
        *(
            "요약:",
            "### ",
            "요약\n",
            "**",
            "[요약]",
            "</s>",
            "<|end|>",
            "대화:\n",
            "다음은 요약입니다:",
            "Summary: ",
        ),
        *(
            "합니다.",
            "하고 ",
            "은",
            "은은은은은은은은",
            "다",
            "Mr. ",
            "3.5",
            "9. ",
            "A. ",
            "?",
            "…",
            '"',
            "“",
            "”",
            "'",
        ),
        *(
            " ",
            "\n",
            "\r",
            "\t",
            "\x0b",
            "\u2028",
            "\u200b",
            "\ufffd",
            "😀",
            "\u200d",
            "\ufe0f",
            "☎",
            "1",
            "\u3164",
        ),
    ]
)
MESSY = st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join)
LOOPING = st.tuples(MESSY, st.integers(1, 9), MESSY).map(lambda one: one[0] * one[1] + one[2])
ALONE = st.sampled_from(POST_STEPS.names())


@given(MESSY | LOOPING, st.sampled_from([None, True, False]), ALONE, st.sampled_from([TWO, THREE, "가: 네"]))
def test_steps_are_idempotent_and_never_empty_a_text(
    text: str, cut_off: bool | None, step: PostStep, dialogue: str
) -> None:
    once = one(text, step, cut_off=cut_off, dialogue=dialogue)
    assert one(once, step, cut_off=cut_off, dialogue=dialogue) == once
    assert any(map(str.isalnum, once)) == any(map(str.isalnum, text))
    assert bool(once.strip()) == bool(text.strip())


NAMES = st.sampled_from(["#Person1#", "#Person2#", "지수 씨", "Ms. Dawson", "김 부장", "#PersonName#"])
ACTS = st.sampled_from(
    [
        *(
            "식당을 예약하려고 합니다.",
            "3.5km를 오전 9. 30에 뛰자고 제안한다.",
            "번호가 #PhoneNumber#라고 말합니다.",
        ),
        *(
            '"네, 알겠어요."라고 답합니다.',
            "올지 모르겠다고 한다.",
            "'요약: 회의'라는 글을 씁니다.",
            "10,000원을 냅니다.",
        ),
        *(
            "J. K. 롤링의 책(2권)을 권합니다.",
            "너무너무 기쁩니다!",
            "2024. 3. 5.에 만나기로 합니다.",
            "왜 늦었을까요?",
        ),
    ]
)
GOOD = st.lists(
    st.builds("{} {} {}".format, NAMES, st.sampled_from(["오늘", "결국", "함께"]), ACTS),
    min_size=1,
    max_size=4,
    unique=True,
).map(" ".join)


@given(GOOD, st.sampled_from([None, True, False]))
def test_a_good_summary_stays_as_it_is(text: str, cut_off: bool | None) -> None:
    report = post_process([text], [cut_off], POST_STEPS.names(), [TWO])
    assert report.texts == [text], report.changes


@given(GOOD, st.integers(2, 5), st.sampled_from(["### 요약\n", "요약: ", "**요약**: ", "[요약]\n", "Summary:\n"]))
def test_errors_added_to_a_good_summary_are_removed(text: str, rounds: int, header: str) -> None:
    assert one(header + text, "drop_prompt") == text
    assert one(f"{text}\n#Person2#: 네, 그럼요.", "drop_prompt") == text
    assert one(f"{text}\n\n### 대화\n{TWO}", "drop_prompt") == text
    assert one(" ".join([text] * rounds), "drop_repeats") == text
    assert one(text.replace("#Person1#", "# person 1 #").replace("#Ph", "# ph"), "repair_tags") == text
    assert one(text + " #Person1#은 그리고", "whole_sentences") == text
    assert one(text + " 그리고" * 9, "cut_loops") == text + " 그리고"
    assert one(text.replace(" ", " \u200b\ufffd") + "😀", "clean_characters") == text
