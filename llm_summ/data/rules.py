"""What a check of data files looks for: the rules, how much each matters, and why."""

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
            "nothing is in it, as spreadsheets leave rows; such a file is refused: delete it",
        ),
        Rule("missing-id", "problem", "no prediction can be matched to the row; such a file is refused"),
        Rule("duplicate-id", "problem", "predictions are matched by id; files that share one are refused"),
        Rule(
            "id-outer-space",
            "problem",
            "white space or what is not seen around an id: who compares ids finds no such row",
            REPAIRED,
        ),
        Rule("id-odd-character", "problem", "a line break or an invisible character within an id"),
        Rule("not-text", "problem", "a field that holds no text; such a file is refused"),
        Rule("empty-dialogue", "problem", "there is nothing to summarise; such a file is refused"),
        Rule("empty-summary", "problem", "a row without a reference can be neither trained nor scored"),
        Rule("summary-longer", "problem", "a summary as long as its dialogue: are the columns mixed up?"),
        Rule("tag-not-in-dialogue", "problem", "a tag that the dialogue lacks: it teaches a model to invent"),
        Rule("broken-tag", "problem", "a misspelt tag falls into other tokens and morphemes", REPAIRED),
        Rule("tag-without-colon", "problem", "a line begins with a tag without a colon: who speaks there?"),
        Rule(
            "joined-turns", "problem", "several turns on one line: it is cut, counted and learned as one", REPAIRED
        ),
        Rule("literal-line-feed", "problem", "a backslash and an n where a line break was meant", REPAIRED),
        Rule("html", "problem", "an HTML entity or <br>, learned and scored as words", REPAIRED),
        Rule("html-tag", "problem", "an HTML tag, learned and scored as words"),
        Rule(
            "line-end", "problem", "a line end other than a line feed: other tokens than in other files", REPAIRED
        ),
        Rule("invisible-character", "problem", "a control or zero-width character splits words unseen", REPAIRED),
        Rule("lost-character", "problem", "U+FFFD: an earlier program could not read what stood there"),
        Rule("printed-list", "problem", "a list as Python prints it, not a text: its turns cannot be told apart"),
        *(Rule(name, "problem", why) for name, why in SUMMARY_FAULTS.items()),
        Rule(
            "not-nfc", "problem", "letters in pieces (decomposed Hangul): other tokens, other morphemes", REPAIRED
        ),
        Rule("shared-dialogue", "problem", "in two files: train on one, and the score on the other is too high"),
        Rule("near-shared-dialogue", "problem", "almost the same in two files: a score may be too high"),
        Rule("duplicate-dialogue", "note", "the same dialogue twice in a file weighs twice"),
        Rule("near-duplicate-dialogue", "note", "almost the same dialogue twice in a file"),
        Rule("missing-reference", "note", "fewer references than the file has columns for"),
        Rule("equal-references", "note", "the same reference twice in a row weighs twice in its mean"),
        Rule("empty-topic", "note", "no topic, though the file has topics"),
        Rule("no-speaker", "note", "a line without a speaker, where other lines have one"),
        Rule("empty-turn", "note", "a speaker who says nothing"),
        Rule("one-turn", "note", "a dialogue of a single line"),
        Rule("one-speaker", "note", "a dialogue in which only one speaks"),
        Rule("unknown-mask", "note", "in the form of a mask, but none of the known ones"),
        Rule("blank-line", "note", "an empty line: a token that says nothing", REPAIRED),
        Rule("line-space", "note", "white space at the ends of a line: tokens that say nothing", REPAIRED),
    )
}
"""The rules by code: problems, then notes."""
