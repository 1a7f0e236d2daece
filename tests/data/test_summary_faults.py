"""What is wrong with a summary, as the lint of data and the check of a submission find it, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.empty_texts import is_empty, is_null
from llm_summ.data.summary_faults import SUMMARY_FAULTS, is_korean, summary_faults, topic_faults

GOOD = "#Person1#은 #Person2#에게 역까지 가는 길을 묻습니다."

# Texts by the only fault that is found in them.
FAULTS = {
    "null-text": [
        "nan",
        "None",
        " NULL ",
        "<NA>",
        "(null)",
        "n/a",
        "N.A",
        "#N/A",
        "NaT",
        "undefined.",
        '"nan"',
        "-nan",
    ],
    "no-summary": [
        # fillers
        *(
            "빈 요약",
            "요약 없음",
            "요약없음.",
            "(내용 없음)",
            "없음",
            "해당 없음",
            "빈 문자열",
            "요약 불가",
            "요약 실패",
        ),
        *(
            "요약할 내용이 없습니다.",
            "요약 생성 실패",
            "오류가 발생했습니다.",
            "[비어 있음]",
            "요약문입니다.",
            "0",
            "12.5",
        ),
        *("ERROR", "Error.", "failed", "empty", "No summary", "TODO", "unknown", "summary", "(blank)"),
        # errors
        *("ERROR: 429 Too Many Requests", "Error code: 500", "ValueError: empty prompt", "오류: 응답이 없습니다."),
        *(
            "requests.exceptions.Timeout: HTTPError(503)",
            "503 Service Unavailable",
            "오류가 발생했습니다: 시간 초과",
        ),
        *("Traceback (most recent call last): …", "torch.OutOfMemoryError: CUDA out of memory."),
        # refusals
        *(
            "요약을 생성할 수 없습니다.",
            "죄송합니다. 요약을 생성할 수 없습니다.",
            "죄송하지만 도와드릴 수 없습니다.",
        ),
        *("주어진 대화가 없어 요약할 수 없습니다.", "대화 내용이 제공되지 않았습니다.", "대화를 입력해 주세요."),
        *("요약할 대화를 제공해 주시면 요약해 드리겠습니다.", "AI 언어 모델로서 답변을 드릴 수 없습니다."),
        *(
            "I'm sorry, but I can't summarize this.",
            "Sorry, I cannot help with that.",
            "As an AI language model, …",
        ),
    ],
    "prompt-remains": [
        # a role's name, alone, on a line of its own, on the line of the text, behind it
        *("assistant", "Assistant", "assistant:", "user", "model\n", "[|assistant|]", "system"),
        *(f"{role}\n{GOOD}" for role in ("assistant", "model", "user", "system", "Assistant", "ASSISTANT", "AI")),
        *(f"{role}\n\n{GOOD}" for role in ("assistant", "model", "human", "어시스턴트")),
        *(f"{role} {GOOD}" for role in ("assistant", "model", "user", "system")),
        *(f"assistant: {GOOD}", "assistant 두 사람은 회의를 엽니다.", f"### assistant\n{GOOD}"),
        *(f"assistantfinal{GOOD}", f"analysis요약하자.assistantfinal{GOOD}", f"final{GOOD}"),
        *(f"{GOOD}\nuser", f"{GOOD}\nuser\n다른 대화를 요약하세요.", f"{GOOD}assistant", f"{GOOD} model"),
        *(f"{GOOD} assistant {GOOD}", f"{GOOD}\nassistant\n두 사람은 회의를 엽니다."),
        # special tokens of all kinds of tokenizers
        *(f"{token} {GOOD}" for token in ("<extra_id_0>", "⁇", "<n>", "ko_KR", "[gMASK]", "[gMASK]sop", "<sop>")),
        *(f"{token} {GOOD}" for token in ("en_XX", "kor_Hang", "__ko__", "<pad>", "[unused0]", "[UNK]", "<usr>")),
        *(
            f"{token}{GOOD}"
            for token in ("<|begin_of_text|>", "<\uff5cAssistant\uff5c>", "</s>", "<S>", "<tool_call>", "<eot>")
        ),
        *(
            f"{GOOD}{token}"
            for token in ("<extra_id_1>", "<end_of_turn>", "<eop>", "[|endofturn|]", "[SEP]", "</w>")
        ),
        *(
            "두 사람은 ⁇ 회의를 엽니다.",
            "두 사람은 회의를 엽니다.<n>자료를 나눕니다.",
            "두 ##사람은 회의를 엽니다.",
        ),
        *("▁두▁사람은 회의를 엽니다.", "두@@ 사람은 회의를 엽니다."),
        # what announces a summary, or follows it
        *(
            "대화 요약은 다음과 같습니다.",
            f"대화 요약은 다음과 같습니다. {GOOD}",
            "요약하면 다음과 같습니다:\n회의를 엽니다.",
        ),
        *(
            "네, 요약해 드리겠습니다. 두 사람은 회의를 엽니다.",
            "물론입니다! 대화를 정리하면 아래와 같습니다.\n회의를 엽니다.",
        ),
        *(
            "이상 대화 요약입니다. 회의를 엽니다.",
            "다음은 요약문입니다.\n회의를 엽니다.",
            "Sure! Here is the summary: 회의를 엽니다.",
        ),
        *(f"{GOOD} 도움이 되셨길 바랍니다.", f"{GOOD} 더 궁금한 점이 있으면 말씀해 주세요.", f"{GOOD}\n---\n"),
        *(
            "대화 요약: 회의를 엽니다.",
            "</think> 회의를 엽니다.",
            "['회의를 엽니다.']",
            '{"summary": "회의를 엽니다."}',
        ),
    ],
    "lost-hangul": [
        *(
            "#Person1#? ?? ??? ???.",
            "?? ??? ??? ????.",
            "#Person1#? #Person2#?? ??? ???.",
            "□□ □□□ □□.",
            "¿¿ ¿¿¿.",
        ),
        # UTF-8 read as Latin-1 or as CP1252, CP949 read as Latin-1, escapes
        *("회의를 엽니다.".encode().decode("latin-1"), "두 사람".encode("cp949").decode("latin-1")),
        *("\u00ed\u0161\u0152\u00ec\u009d\u02dc", r"\ud68c\uc758\ub97c \uc5fd\ub2c8\ub2e4.", "%ED%9A%8C%EC%9D%98"),
        *(r"b'\xed\x9a\x8c\xec\x9d\x98'", "#Person1#ìĿĢ íļĮìĿĺë¥¼ ìĹ½ëĭĪëĭ¤."),
    ],
    "lost-tag": [
        *(
            "은 등산을 가자고 에게 말합니다.",
            "는 에게 길을 묻습니다.",
            "와 는 회의를 엽니다.",
            "과 은 회의를 엽니다.",
        ),
        *(
            "이 에게 길을 묻습니다.",
            "가 등산을 제안합니다.",
            "의 생일을 축하합니다.",
            "민수는 길을 묻고 에게 고마워합니다.",
        ),
        *(
            "회의를 엽니다. 는 자료를 나눕니다.",
            "회의를 열고, 는 자료를 나눕니다.",
            "Brian은 에게 파티를 알립니다.",
        ),
        *("민수와 회의를 하며 을 부릅니다.", "에게서 자료를 받습니다."),
    ],
    "repetition": [" ".join(4 * ["두 사람은 회의를 엽니다."]), "그는 " + 9 * "가자 ", "그는 " + 25 * "일"],
    "extra-quotes": ['"회의를 엽니다."', "“회의를 엽니다.”"],
}


@pytest.mark.parametrize(
    ("fault", "text"),
    [(fault, text) for fault, texts in FAULTS.items() for text in texts],
    ids=lambda value: ascii(value)[:60],
)
def test_a_fault_is_found(fault: str, text: str) -> None:
    found = list(summary_faults(text))
    assert [kind for kind, _, _ in found] == [fault]
    assert all(0 <= start <= end <= len(text) for _, start, end in found)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "",
        "…",
        "#Person1# 은 #Person2# 에게 길을 묻습니다. #Person2# 는 알려 줍니다.",
        "Ms. Dawson 은 Brian 에게 메모를 부탁합니다.",
        "이 회의는 내일 열립니다.",
        "가 볼 만한 곳을 묻습니다.",
        "그는 병원에 가 보라고 말합니다. 그는 집에 와 달라고 합니다.",
        "user가 늘어서 새 model을 만듭니다.",
        "AI 기술에 대해 이야기합니다.",
        "시스템 오류로 예약이 취소됩니다.",
        "모델 하우스를 보러 갑니다.",
        "두 사람은 영화 <기생충>과 <Titanic>을 봅니다.",
        "그는 오류가 난 보고서를 다시 보냅니다.",
        "#Person1#은 도와줄 수 없다고 말합니다.",
        "#Person2#는 대화를 나눌 시간이 없습니다.",
        "#Person1#은 회의 내용을 요약하면 다음과 같다고 말합니다.",
        "#Person1#은 죄송하다고 말합니다.",
        "#Person1#은 #Person2#에게 이름이 무엇인지 묻습니다. 왜?",
        "그는 '왜?'라고 묻습니다. 그녀는 '뭐?'라고 되묻습니다.",
        "None of Your Business라는 노래를 듣습니다.",
        "할인율은 30%이고 쿠폰은 20% 할인입니다.",
        "카페 Café Müller에서 ÀÉ라는 이름을 봅니다.",
        "테스트를 준비합니다.",
        "요약문을 함께 씁니다.",
        "0.5점 차이로 떨어졌습니다.",
        "회의를 열고 그는 갑니다. 사고 를 봅니다.",
        "#Person1# asks the way to the station.",
    ],
)
def test_a_good_summary_has_none(text: str) -> None:
    assert list(summary_faults(text)) == []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("<think>주제는 회의다.</think> 회의", ["prompt-remains"]),
        ("</think>회의", ["prompt-remains"]),
        ("회의<|im_end|>", ["prompt-remains"]),
        ("nan", ["null-text"]),
        ("?? ???", ["lost-hangul"]),
        *((topic, []) for topic in ("회의", "user", "오류", "AI", "없음", "test", "요약", "은 제품 구매")),
    ],
)
def test_a_topic_may_be_a_word_that_is_no_summary(text: str, faults: list[str]) -> None:
    assert [kind for kind, _, _ in topic_faults(text)] == faults


@pytest.mark.parametrize(
    ("text", "korean"),
    [
        (GOOD, True),
        ("John Smith와 Jane Doe는 New York에서 만납니다.", True),
        ("#Person1#", True),
        ("#Person1# asks the way.", False),
        ("两个人在开会。", False),
        ("#Person1#は道を聞きます。", False),
    ],
)
def test_korean_is_told_by_its_letters(text: str, korean: bool) -> None:
    assert is_korean(text) is korean


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        *((text, True) for text in ("", " ", ".", "…!", "nan", "NaN.", "None", "null", "N/A", "#NAME?", "<NA>")),
        *((text, False) for text in ("네", "0", "none of them", "None이 옵니다.", "Nan", "assistant")[:4]),
    ],
)
def test_one_definition_of_empty(text: str, empty: bool) -> None:
    assert is_empty(text) is empty
    assert is_null(text) is (empty and any(map(str.isalnum, text)))


def test_names_are_stable() -> None:
    assert set(FAULTS) | {"not-korean"} == set(SUMMARY_FAULTS)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    for find in (summary_faults, topic_faults):
        kinds = [kind for kind, start, end in find(text) if 0 <= start <= end <= len(text)]
        assert set(kinds) <= set(SUMMARY_FAULTS)
        assert len(set(kinds)) == len(kinds)
