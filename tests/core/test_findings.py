"""Findings: their order, their count, what is shown of them, and the exit status they lead to."""

from __future__ import annotations

import pytest

from llm_summ.core.findings import (
    Finding,
    Rule,
    Severity,
    count_kinds,
    exit_status,
    gather,
    has_problems,
    listed_findings,
)

RULES = {
    rule.code: rule
    for rule in (
        Rule("lost", "problem", "it is gone", "write it again"),
        Rule("broken", "problem", "it is in pieces"),
        Rule("long", "note", "it is long"),
    )
}
FOUND = {"long": ["x"], "broken": list("abcdefg"), "lost": ["y"]}


def count(finding: Finding[str]) -> str:
    return f"{len(finding.places)} places"


def test_problems_come_first_in_the_order_of_the_rules() -> None:
    assert [finding.rule.code for finding in gather(RULES, FOUND)] == ["lost", "broken", "long"]
    lowered = gather(RULES, FOUND, notes={"lost"})
    assert [(one.rule.code, one.severity) for one in lowered] == [
        ("broken", "problem"),
        ("lost", "note"),
        ("long", "note"),
    ]
    assert gather(RULES, {"lost": []}) == ()


def test_the_first_five_places_are_shown() -> None:
    assert listed_findings(gather(RULES, FOUND), count, str.upper) == [
        "",
        "problem lost: 1 places: it is gone; write it again",
        "  Y",
        "",
        "problem broken: 7 places: it is in pieces",
        *("  A", "  B", "  C", "  D", "  E"),
        "  … and 2 more",
        "",
        "note long: 1 places: it is long",
        "  X",
    ]


@pytest.mark.parametrize(
    ("codes", "fails", "status", "counts"),
    [
        ((), "note", 0, ""),
        (("long",), "problem", 0, "1 kind of note"),
        (("long",), "note", 1, "1 kind of note"),
        (("lost", "broken"), "problem", 1, "2 kinds of problem"),
        (("lost", "broken", "long"), None, 0, "2 kinds of problem, 1 kind of note"),
    ],
)
def test_what_fails_a_check(codes: tuple[str, ...], fails: Severity | None, status: int, counts: str) -> None:
    findings = gather(RULES, {code: FOUND[code] for code in codes})
    assert exit_status(findings, fails) == status
    assert count_kinds(findings) == counts
    assert has_problems(findings) == bool({"lost", "broken"} & set(codes))


def test_json_has_every_place() -> None:
    [finding] = gather(RULES, {"broken": FOUND["broken"]})
    assert finding.json_fields(mend="glue it") == {
        "kind": "broken",
        "severity": "problem",
        "why": "it is in pieces",
        "mend": "glue it",
        "places": list("abcdefg"),
    }
