"""The rules of `data check`: names, severities, and the harm that each kind of oddity does."""

from __future__ import annotations

from llm_summ.core.findings import Rule, Severity
from llm_summ.data.summary_faults import SUMMARY_FAULTS

__all__ = ["REPAIRED", "RULES"]

REPAIRED = "can be repaired"
"""The remedy of what `fix.py` repairs."""

_WHY: dict[Severity, dict[str, str]] = {
    "problem": {
        "empty-row": "an empty row, as spreadsheets leave them; such a file is refused: delete the row",
        "missing-id": "no prediction can be matched to the row; such a file is refused",
        "duplicate-id": "predictions are matched by id; files that share one are refused",
        "id-outer-space": "white space or invisible characters around an id: no other file has this id",
        "id-odd-character": "a line break or an invisible character within an id",
        "not-text": "a field that is not a text; such a file is refused",
        "empty-dialogue": "a row without a dialogue; such a file is refused",
        "empty-summary": "a row without a reference can be used for neither training nor scoring",
        "summary-longer": "a summary as long as its dialogue: are the columns mixed up?",
        "tag-not-in-dialogue": "a tag that is not in the dialogue: it teaches a model to invent speakers",
        "broken-tag": "a misspelt tag becomes other tokens and morphemes",
        "tag-without-colon": "a line begins with a tag without a colon: is it the speaker?",
        "joined-turns": "several turns on one line: they are truncated, counted and trained as one",
        "literal-line-feed": "a backslash and an n in place of a line break",
        "html": "an HTML entity or <br>, trained and scored as words",
        "html-tag": "an HTML tag, trained and scored as words",
        "line-end": "a line end other than a line feed becomes other tokens",
        "invisible-character": "an invisible character splits words",
        "lost-character": "U+FFFD: an earlier program could not read the character",
        "printed-list": "a list as Python prints it, not a text: its turns cannot be separated",
        **SUMMARY_FAULTS,
        "not-nfc": "decomposed Hangul becomes other tokens and other morphemes",
        "shared-dialogue": "in two files: if one is trained on, the score on the other is too high",
        "near-shared-dialogue": "almost the same in two files: a score may be too high",
    },
    "note": {
        "duplicate-dialogue": "a dialogue twice in a file counts twice",
        "near-duplicate-dialogue": "almost the same dialogue twice in a file",
        "missing-reference": "fewer references than the file has columns for",
        "equal-references": "a reference twice in a row counts twice in its mean",
        "empty-topic": "no topic, though the file has topics",
        "no-speaker": "a line without a speaker, where other lines have one",
        "empty-turn": "a label without words",
        "one-turn": "a dialogue of a single line",
        "turn-times": "a turn begins before the one before it, or ends before it begins",
        "one-speaker": "a dialogue with only one speaker",
        "unknown-mask": "looks like a mask, but is not a known one",
        "blank-line": "an empty line: a token without content",
        "line-space": "white space at the ends of a line: tokens without content",
    },
}
_REPAIRABLE = {
    *("id-outer-space", "broken-tag", "joined-turns", "literal-line-feed", "html", "line-end"),
    *("invisible-character", "not-nfc", "blank-line", "line-space"),
}

RULES = {
    code: Rule(code, severity, why, REPAIRED if code in _REPAIRABLE else "")
    for severity, rules in _WHY.items()
    for code, why in rules.items()
}
"""The rules by code: problems, then notes."""
