"""What the check of a submission finds in its summaries, and what it does not suspect."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from submissions import (
    IDS,
    LINES,
    SAMPLE,
    TEXTS,
    Found,
    check_bytes,
    kinds_and_lines,
    sample_of,
    with_text,
)

from llm_summ.submit import check_submission

LONG = " ".join(f"{number}번째 회의 자료를 보냅니다." for number in range(30))
FILES: list[tuple[str, str, Found]] = [
    ("empty", with_text(""), {"empty-summary": [4]}),
    ("a full stop", with_text("."), {"empty-summary": [4]}),
    ("punctuation", with_text("…! _"), {"empty-summary": [4]}),
    ("nan", with_text("nan"), {"null-text": [4]}),
    ("None", with_text(" None"), {"null-text": [4], "outer-space": [4]}),
    ("#NAME?", with_text("#NAME?"), {"null-text": [4]}),
    ("the sample's text", with_text("요약문입니다."), {"placeholder": [4]}),
    ("the same twice", with_text(TEXTS[0]), {"repeated-summary": [4]}),
    ("white space before", with_text(" 회의 자료를 보냅니다."), {"outer-space": [4]}),
    ("white space behind", with_text("회의 자료를 보냅니다.\u3000"), {"outer-space": [4]}),
    ("two spaces", with_text("회의  자료를 보냅니다."), {"double-space": [4]}),
    ("a tab", with_text("회의\t자료를 보냅니다."), {"double-space": [4]}),
    ("a line break", with_text('"회의 자료를\n메일로 보냅니다."'), {"line-break": [4]}),
    ("a literal line feed", with_text("회의 자료를\\n메일로 보냅니다."), {"literal-line-feed": [4]}),
    ("an entity", with_text("회의 &amp; 자료를 보냅니다."), {"html": [4]}),
    ("a line break of HTML", with_text("회의 자료를<br>메일로 보냅니다."), {"html": [4]}),
    ("a zero-width space", with_text("회의 자료를\u200b 보냅니다."), {"invisible-character": [4]}),
    ("a lost character", with_text("회의 \ufffd료를 보냅니다."), {"lost-character": [4]}),
    ("lost characters only", with_text("\ufffd" * 20), {"empty-summary": [4], "lost-character": [4]}),
    ("decomposed", with_text(unicodedata.normalize("NFD", TEXTS[2])), {"not-nfc": [4]}),
    ("English", with_text("#Person1# asks the way to the station."), {"not-korean": [4]}),
    ("too long", with_text(LONG), {"long-summary": [4]}),
    ("too short", with_text("네."), {"short-summary": [4]}),
    ("no full stop", with_text("회의 자료를 메일로 보내기"), {"no-full-stop": [4]}),
    ("a model that did not stop", with_text("회의 자료를 " + 8 * "보내고 " + "보냅니다."), {"repetition": [4]}),
]


@pytest.mark.parametrize(("content", "expected"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_each_fault_is_found_where_it_is(tmp_path: Path, content: str, expected: Found) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, content.encode())) == expected


@pytest.mark.parametrize(
    "text",
    [
        " ".join(3 * ["두 사람은 주말에 만나서 오래된 영화를 보고 저녁을 먹기로 합니다."]),
        9 * "두 사람은 주말에 만나서 오래된 영화를 보고 저녁을 먹기로 합니다.",
        " ".join(3 * ["그는 갑니다."]),
        "그는 회의를 열고 회의를 열고 회의를 열고 갑니다.",
        f"그는 {20 * 'ㅋ'} 웃습니다.",
    ],
)
def test_a_model_that_did_not_stop_is_found(tmp_path: Path, text: str) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, with_text(text).encode())).keys() - {"long-summary"} == {
        "repetition"
    }


@pytest.mark.parametrize(
    "text",
    [
        "요약: 두 사람이 점심을 먹기로 합니다.",
        "[요약] 대화 요약: 두 사람이 점심을 먹기로 합니다.",
        "Summary: 두 사람이 점심을 먹기로 합니다.",
        "### 요약 두 사람이 점심을 먹기로 합니다.",
        "<bos>두 사람이 점심을 먹기로 합니다.",
        "두 사람이 점심을 먹기로 합니다.<eos>",
        "두 사람이 점심을 먹기로 합니다.<|im_end|>",
        "두 사람이 점심을 먹기로 합니다.</s>",
        "두 사람이 점심을 먹기로 합니다.[|endofturn|]",
        "<start_of_turn>model 두 사람이 점심을 먹기로 합니다.",
        "[INST] 두 사람이 점심을 먹기로 합니다.",
        "<think>생각해 보자.</think> 두 사람이 점심을 먹기로 합니다.",
        "**두 사람이** 점심을 먹기로 합니다.",
        "다음은 대화의 요약입니다. 두 사람이 점심을 먹기로 합니다.",
        "두 사람이 점심을 먹기로 합니다. #Person1#: 좋아요.",
        "두 사람이 점심을 먹기로 합니다.<unused12>",
        "두 사람이 점심을 먹기로 합니다.<0xEC><0x95>",
        "두 사람이 점심을 먹기로 합니다. model",
        "▁두▁사람이▁점심을▁먹기로▁합니다.",
        "Ġ두 사람이 점심을 먹기로 합니다.",
        "['두 사람이 점심을 먹기로 합니다.']",
    ],
)
def test_what_remains_of_a_prompt_is_found(tmp_path: Path, text: str) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, with_text(text).encode())) == {"prompt-remains": [4]}


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("# Person1 #", "broken-tag"),
        ("#person1#", "broken-tag"),
        ("#Person1 ", "broken-tag"),
        ("#Person 1#", "broken-tag"),
        ("Person1#", "broken-tag"),
        ("Person1", "broken-tag"),
        ("#Phone Number#", "broken-tag"),
        ("#Personal1#", "unknown-mask"),
        ("#Mr. Kim", "stray-sign"),
        ("##Person1##", "stray-sign"),
    ],
)
def test_broken_tags_are_found(tmp_path: Path, tag: str, kind: str) -> None:
    text = with_text(f"{tag}에게 회의 자료를 보내기로 합니다.")
    assert kinds_and_lines(check_bytes(tmp_path, text.encode())) == {kind: [4]}


@pytest.mark.parametrize("end", ["#", "#Per", "#Person", "#Person1"])
def test_a_tag_that_was_cut_off_is_found(tmp_path: Path, end: str) -> None:
    text = with_text(f"민수는 길을 묻습니다. {end}")
    assert kinds_and_lines(check_bytes(tmp_path, text.encode())) == {"broken-tag": [4], "no-full-stop": [4]}


@pytest.mark.parametrize(
    "text",
    [
        "C# 강의를 신청합니다.",
        "'어린 왕자'와 '데미안'을 읽기로 합니다.",
        "3:1로 이겼다는 소식을 전합니다.",
        "회의는 10:30에 시작하며 요약본을 나눠 줍니다.",
        "#Person1#은 #PersonName#의 번호 #PhoneNumber#를 알려줍니다!",
        "그는 a < b > c 라고 적습니다.",
        "그는 '질문: 왜?'라고 적습니다.",
        "그는 정답: 3번을 골랐다고 합니다.",
        "그는 **중요**하다고 적습니다.",
        "그는 새 user model을 만듭니다.",
        "John Smith와 Jane Doe는 New York의 Blue Bottle에서 만납니다.",
        "그는 100000000원을 빌립니다.",
        "그는 할 말을 찾습니다...........",
        "그는 ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 웃고 갑니다.",
        "카드 번호 ****-****-****-1234를 말합니다.",
        "그는 '네. 네. 네.'라고 합니다.",
        "회의를 하고 다음 회의를 잡고 회의를 끝냅니다.",
    ],
)
def test_good_summaries_are_not_suspected(tmp_path: Path, text: str) -> None:
    found = kinds_and_lines(check_bytes(tmp_path, with_text(text).encode()))
    assert found.keys() <= {"stray-sign"}
    assert bool(found) == ("C#" in text)


ENGLISH = [f"#Person1# asks #Person2# about thing number {number}." for number in range(6)]


def rows_of(texts: Sequence[str]) -> str:
    return LINES[0] + "".join(
        f"{at},{one},{text}\n" for at, (one, text) in enumerate(zip(IDS, texts, strict=True))
    )


@pytest.mark.parametrize(
    ("texts", "sample", "dialogues", "found"),
    [
        # the sample is in Korean, most of the file is, the dialogue is, nothing is known, the dialogue is English
        (ENGLISH, SAMPLE, None, ("problem", 6)),
        ([*TEXTS[:5], ENGLISH[5]], SAMPLE.replace("요약문입니다.", "-"), None, ("problem", 1)),
        (ENGLISH, SAMPLE.replace("요약문입니다.", "-"), "#Person1#: 안녕하세요?", ("problem", 6)),
        (ENGLISH, SAMPLE.replace("요약문입니다.", "-"), None, ("note", 6)),
        (ENGLISH, SAMPLE.replace("요약문입니다.", "a summary"), None, ("note", 6)),
        (ENGLISH, SAMPLE, "#Person1#: How are you?", None),
        ([*TEXTS[:5], "两个人在开会。"], SAMPLE, None, ("problem", 1)),
    ],
)
def test_whether_summaries_must_be_korean(
    tmp_path: Path, texts: list[str], sample: str, dialogues: str | None, found: tuple[str, int] | None
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text(rows_of(texts), encoding="utf-8")
    spoken = None if dialogues is None else dict.fromkeys(IDS, dialogues)
    report = check_submission(path, sample_of(tmp_path, sample), dialogues=spoken)
    kinds = {one.rule.code: (one.severity, len(one.places)) for one in report.findings}
    assert kinds.get("not-korean") == found


def repeated(
    folder: Path, rows: int, copies: int, dialogues: dict[str, str] | None = None
) -> tuple[str, list[str]]:
    """Return the finding for rows with the first row's summary: its severity and its places."""
    sample, good = "fname,summary\n", "fname,summary\n"
    for row in range(rows):
        sample += f"test_{row},-\n"
        good += f"test_{row},회의 {0 if row <= copies else row}번을 다음 주에 열기로 합니다.\n"
    path = folder / "submission.csv"
    path.write_text(good, encoding="utf-8")
    [finding] = check_submission(path, sample_of(folder, sample), dialogues=dialogues).findings
    assert finding.rule.code == "repeated-summary"
    return finding.severity, [place.found for place in finding.places]


@pytest.mark.parametrize(
    ("rows", "copies", "severity"),
    [
        *(
            (6, 1, "note"),
            (6, 2, "note"),
            (6, 3, "problem"),
            (6, 5, "problem"),
            (150, 2, "note"),
            (150, 3, "problem"),
        ),
        *((499, 4, "note"), (499, 9, "note"), (499, 10, "problem"), (499, 498, "problem")),
    ],
)
def test_a_few_equal_summaries_are_a_note(tmp_path: Path, rows: int, copies: int, severity: str) -> None:
    assert repeated(tmp_path, rows, copies)[0] == severity


def test_equal_summaries_of_near_duplicate_dialogues_are_a_note(tmp_path: Path) -> None:
    turns = (
        "#Person1#: {}번 회의를 언제 열까요? 자료를 미리 나눠 드리고 장소도 정해야 합니다. 누가 오는지도요.\n"
        "#Person2#: 다음 주에 엽시다. 장소는 삼 층 회의실이 좋겠고, 자료는 제가 나눠 드리겠습니다."
    )
    near = {f"test_{row}": turns.format(row) for row in range(6)}
    severity, found = repeated(tmp_path, 6, 5, near)
    assert severity == "note"
    assert all("near-duplicates" in one for one in found)
    unlike = near | {f"test_{row}": f"#Person1#: {chr(0xAC00 + row) * 60}" for row in range(1, 4)}
    severity, found = repeated(tmp_path, 6, 5, unlike)
    assert (severity, ["near-duplicates" in one for one in found]) == ("problem", [False] * 3 + [True] * 2)
