"""Tags that summaries invent, lose or misspell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import row

from llm_summ.evaluate.fidelity import FINDINGS, check_fidelity

DIALOGUE = "#Person1#: 전화번호가 #PhoneNumber#인가요?\n#Person2#: 네, 민수에게도 알려 주세요."


def found(summary: str, references: list[str], text: str = DIALOGUE) -> dict[str, tuple[str, ...]]:
    fidelity = check_fidelity([row("dev_7", text, summary, references)])
    return {finding.name: finding.found["dev_7"] for finding in fidelity.findings if finding.found}


@pytest.mark.parametrize(
    ("summary", "references", "expected"),
    [
        ("#Person1#이 #Person2#에게 번호를 묻는다.", ["#Person1#과 #Person2#가 통화한다."], {}),
        (
            "#Person3#이 #Person1#과 #Person3#에게 묻는다.",
            ["번호를 묻는다."],
            {"invented speakers": ("#Person3#",)},
        ),
        # Lost only if every reference has it.
        ("번호를 묻는다.", ["#Person1#이 묻는다.", "#Person2#가 답한다."], {}),
        (
            "번호를 묻는다.",
            ["#Person2#가 #Person1#에게 답한다.", "#Person1#이 묻는다."],
            {"lost speakers": ("#Person1#",)},
        ),
        # A reference may name someone who is not in the dialogue: then the summary need not.
        ("번호를 묻는다.", ["#Person4#가 묻는다."], {}),
        ("번호는 #Email#이다.", ["번호를 묻는다."], {"invented masks": ("#Email#",)}),
        ("번호를 묻는다.", ["번호는 #PhoneNumber#이다."] * 3, {"lost masks": ("#PhoneNumber#",)}),
        ("번호를 묻는다.", ["번호는 #PhoneNumber#이다.", "번호를 묻는다."], {}),
        ("번호는 #PhoneNumber#이다.", ["번호는 #PhoneNumber#이다."], {}),
        # Misspelt: it counts neither as present nor as invented.
        (
            "#person1#이 # Person2 #에게 묻는다.",
            ["#Person1#이 묻는다."],
            {"lost speakers": ("#Person1#",), "broken tags": ("#person1#", "# Person2 #")},
        ),
        ("Person1이 묻는다.", ["번호를 묻는다."], {"broken tags": ("Person1",)}),
        ("#Mrs# 김이 묻는다.", ["번호를 묻는다."], {"broken tags": ("#Mrs#",)}),
        ("", ["#Person1#이 묻는다."], {"lost speakers": ("#Person1#",)}),
    ],
)
def test_by_hand(summary: str, references: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    assert found(summary, references) == expected


def test_a_name_is_not_a_broken_tag_where_the_dialogue_has_no_tags() -> None:
    assert found("Person1이 묻는다.", ["번호를 묻는다."], "상담사: 네") == {}


def test_shares_and_ids() -> None:
    rows = [
        row("dev_0", DIALOGUE, "#Person9#가 묻는다.", ["묻는다."]),
        row("dev_1", DIALOGUE, "묻는다.", ["묻는다."]),
        row("dev_3", DIALOGUE, "#Person8#과 #Person9#가 묻는다.", ["묻는다."]),
        row("dev_4", DIALOGUE, "묻는다.", ["묻는다."]),
    ]
    fidelity = check_fidelity(rows)
    assert fidelity.table().rows[0] == [
        "invented speakers",
        "2",
        "50.0%",
        "dev_0 #Person9#, dev_3 #Person8# #Person9#",
    ]
    first = fidelity.to_json()["findings"][0]
    assert first["share"] == 0.5
    assert first["found"] == {"dev_0": ["#Person9#"], "dev_3": ["#Person8#", "#Person9#"]}


def test_an_empty_file_has_findings_of_nothing() -> None:
    fidelity = check_fidelity([])
    assert [finding.found for finding in fidelity.findings] == [{}] * len(FINDINGS)
    assert {finding["share"] for finding in fidelity.to_json()["findings"]} == {0.0}
    assert fidelity.table().rows == []


pieces = st.lists(st.sampled_from(["#Person1#", "#Person2#", "#Person3#", "#Email#", "은 ", "간다. "]))


@given(pieces, pieces, pieces)
def test_a_tag_is_invented_or_lost_but_never_both(dialogue: list[str], own: list[str], other: list[str]) -> None:
    amiss = found("".join(own), ["가" + "".join(other)], "#Person1#: " + "".join(dialogue))
    for kind in ("speakers", "masks"):
        invented, lost = set(amiss.get(f"invented {kind}", ())), set(amiss.get(f"lost {kind}", ()))
        assert invented <= set(own) - set(dialogue) - {"#Person1#"}
        assert lost <= set(other) - set(own)


@given(pieces)
def test_the_reference_itself_has_lost_nothing(text: list[str]) -> None:
    reference = "가" + "".join(text)
    assert {"lost speakers", "lost masks"}.isdisjoint(found(reference, [reference, reference]))
