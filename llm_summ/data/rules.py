"""The rules of `data check`: names, severities, and the harm that each kind of oddity does."""

from __future__ import annotations

from llm_summ.core.findings import Rule
from llm_summ.data.summary_faults import SUMMARY_FAULTS

__all__ = ["REPAIRED", "RULES"]

REPAIRED = "can be repaired"
"""The remedy of what `fix.py` repairs."""

RULES = {
    rule.code: rule
    for rule in (
        Rule(
            "empty-row",
            "problem",
            "an empty row, as spreadsheets leave them; such a file is refused: delete the row",
        ),
        Rule("missing-id", "problem", "no prediction can be matched to the row; such a file is refused"),
        Rule("duplicate-id", "problem", "predictions are matched by id; files that share one are refused"),
        Rule(
            "id-outer-space",
            "problem",
            "white space or invisible characters around an id: no other file has this id",
            REPAIRED,
        ),
        Rule("id-odd-character", "problem", "a line break or an invisible character within an id"),
        Rule("not-text", "problem", "a field that is not a text; such a file is refused"),
        Rule("empty-dialogue", "problem", "a row without a dialogue; such a file is refused"),
        Rule("empty-summary", "problem", "a row without a reference can be used for neither training nor scoring"),
        Rule("summary-longer", "problem", "a summary as long as its dialogue: are the columns mixed up?"),
        Rule(
            "tag-not-in-dialogue",
            "problem",
            "a tag that is not in the dialogue: it teaches a model to invent speakers",
        ),
        Rule("broken-tag", "problem", "a misspelt tag becomes other tokens and morphemes", REPAIRED),
        Rule("tag-without-colon", "problem", "a line begins with a tag without a colon: is it the speaker?"),
        Rule(
            "joined-turns",
            "problem",
            "several turns on one line: they are truncated, counted and trained as one",
            REPAIRED,
        ),
        Rule("literal-line-feed", "problem", "a backslash and an n in place of a line break", REPAIRED),
        Rule("html", "problem", "an HTML entity or <br>, trained and scored as words", REPAIRED),
        Rule("html-tag", "problem", "an HTML tag, trained and scored as words"),
        Rule("line-end", "problem", "a line end other than a line feed becomes other tokens", REPAIRED),
        Rule("invisible-character", "problem", "an invisible character splits words", REPAIRED),
        Rule("lost-character", "problem", "U+FFFD: an earlier program could not read the character"),
        Rule("printed-list", "problem", "a list as Python prints it, not a text: its turns cannot be separated"),
        *(Rule(name, "problem", why) for name, why in SUMMARY_FAULTS.items()),
        Rule("not-nfc", "problem", "decomposed Hangul becomes other tokens and other morphemes", REPAIRED),
        Rule(
            "shared-dialogue", "problem", "in two files: if one is trained on, the score on the other is too high"
        ),
        Rule("near-shared-dialogue", "problem", "almost the same in two files: a score may be too high"),
        Rule("duplicate-dialogue", "note", "a dialogue twice in a file counts twice"),
        Rule("near-duplicate-dialogue", "note", "almost the same dialogue twice in a file"),
        Rule("missing-reference", "note", "fewer references than the file has columns for"),
        Rule("equal-references", "note", "a reference twice in a row counts twice in its mean"),
        Rule("empty-topic", "note", "no topic, though the file has topics"),
        Rule("no-speaker", "note", "a line without a speaker, where other lines have one"),
        Rule("empty-turn", "note", "a label without words"),
        Rule("one-turn", "note", "a dialogue of a single line"),
        Rule("one-speaker", "note", "a dialogue with only one speaker"),
        Rule("unknown-mask", "note", "looks like a mask, but is not a known one"),
        Rule("blank-line", "note", "an empty line: a token without content", REPAIRED),
        Rule("line-space", "note", "white space at the ends of a line: tokens without content", REPAIRED),
    )
}
"""The rules by code: problems, then notes."""
