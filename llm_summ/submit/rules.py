"""The rules for a submission: how much each matters, and what to do.

A report may lower a problem to a note if the file shows that it is not a problem.
"""

from __future__ import annotations

from llm_summ.core.findings import Rule
from llm_summ.data.summary_faults import SUMMARY_FAULTS

__all__ = ["FAULT_RULES"]

_REWRITE = "`llm-summ submit --predictions FILE` writes it as CSV"
_AS_UTF_8 = (
    "save it as UTF-8; UTF-16 and CP949 are read by `llm-summ submit --predictions FILE`, which writes UTF-8"
)
_AS_SAMPLE = "`llm-summ submit --predictions FILE` writes it with the sample's columns"
_BY_ID = "`llm-summ submit --predictions FILE` takes the ids and their order from the sample"
_ROW_BY_ID = "write one row for each id of the sample, with the summary of that dialogue"
_GENERATE = "generate it again"
_CUT = "remove it"
_JOIN = "`llm-summ submit --predictions FILE` joins the lines"
_DROP_PROMPT = (
    "`llm-summ post FILE --data DATA --steps drop_prompt --out OUT` removes it where a summary begins or ends, or "
    "generate it again"
)


def _of_summary(code: str, remedy: str) -> Rule:
    return Rule(code, "problem", SUMMARY_FAULTS[code], remedy)


FAULT_RULES = {
    rule.code: rule
    for rule in (
        Rule("empty-file", "problem", "the file is empty", "write it again"),
        Rule(
            "not-csv",
            "problem",
            "the file is of another kind than its name says; nothing else was checked",
            "save it as CSV, or rename it by its kind",
        ),
        Rule("encoding", "problem", "not in UTF-8: refused, or every summary is read as nonsense", _AS_UTF_8),
        Rule(
            "byte-order-mark",
            "problem",
            "the sample has none: some readers make it part of the first column's name",
            "save it as UTF-8 without a byte order mark (utf-8, not utf-8-sig)",
        ),
        Rule("nul", "problem", "a NUL: readers refuse it, or end the field there", _CUT),
        Rule("separator", "problem", "the fields are not separated by commas", "save it with commas"),
        Rule("sep-line", "problem", "a spreadsheet program's hint is in place of the header", _CUT),
        Rule("quoted-line", "problem", "whole lines are quoted: each is read as a single field", _REWRITE),
        Rule("repeated-header", "problem", "the header is repeated among the rows and is read as a row", _CUT),
        Rule("missing-header", "problem", "the first row is data: it is taken for the header", _AS_SAMPLE),
        Rule("missing-column", "problem", "the sample has a column that the file lacks", _AS_SAMPLE),
        Rule("extra-column", "problem", "a column that the sample does not have", _AS_SAMPLE),
        Rule("column-order", "problem", "the columns are not in the sample's order", _AS_SAMPLE),
        Rule("column-name", "problem", "a column's name is not spelt as in the sample", _AS_SAMPLE),
        Rule(
            "extra-index",
            "problem",
            "an index column that the sample does not have",
            "pandas: to_csv with index=False; or " + _AS_SAMPLE,
        ),
        Rule(
            "other-column",
            "problem",
            "neither id nor summary, and not what the sample has there (an index that was not reset?)",
            _AS_SAMPLE,
        ),
        Rule("broken-quotes", "problem", "a quote that is not closed, or text after a closing one", _REWRITE),
        Rule("unquoted-comma", "problem", "more fields than columns: is a comma not quoted?", _REWRITE),
        Rule(
            "missing-field",
            "problem",
            "fewer fields than columns: is a line break not quoted?",
            _REWRITE + "; or fill in what is missing",
        ),
        Rule(
            "counted-ids",
            "problem",
            "ids made by counting, where the sample's have gaps or begin elsewhere: these rows are "
            "scored against other dialogues",
            "take each id from the data file, not from a count",
        ),
        Rule("missing-id", "problem", "an id of the sample that the file lacks", _ROW_BY_ID),
        Rule("extra-id", "problem", "an id that the sample does not have", _BY_ID),
        Rule("repeated-id", "problem", "an id that an earlier row has already", _ROW_BY_ID),
        Rule("empty-id", "problem", "a row without an id", _ROW_BY_ID),
        Rule("id-order", "problem", "rows are not in the sample's order", _BY_ID),
        Rule("misspelt-id", "problem", "an id that is not spelt as in the sample", _BY_ID),
        Rule(
            "empty-summary",
            "problem",
            "neither a letter nor a figure: refused, or it scores 0",
            _GENERATE,
        ),
        _of_summary("null-text", _GENERATE),
        _of_summary("no-summary", _GENERATE),
        Rule("placeholder", "problem", "the sample's own text, not a summary", _GENERATE),
        Rule(
            "repeated-summary",
            "problem",
            "equal to that of another dialogue; a problem only where many are",
            _GENERATE,
        ),
        _of_summary("prompt-remains", _DROP_PROMPT),
        _of_summary("lost-hangul", "save it as UTF-8 where Hangul was lost: it cannot be restored"),
        _of_summary("lost-tag", "decode without skipping #Person1#, then generate it again"),
        Rule("broken-tag", "problem", "a misspelt or cut tag falls into other morphemes", "write it as #Person1#"),
        Rule(
            "unknown-mask", "problem", "in the form of a tag, but none of the known ones", "write it as #Person1#"
        ),
        _of_summary("extra-quotes", _CUT),
        Rule(
            "line-break",
            "problem",
            "a line break in a summary: programs that count lines find too many rows",
            _JOIN,
        ),
        Rule("literal-line-feed", "problem", "a backslash and an n where a line break was meant", _CUT),
        Rule("html", "problem", "an HTML entity or <br>, scored as words", _CUT),
        Rule("invisible-character", "problem", "an invisible control or zero-width character splits a word", _CUT),
        Rule("lost-character", "problem", "U+FFFD: a program could not decode the original character", _GENERATE),
        Rule("not-nfc", "problem", "letters in pieces (decomposed Hangul): other morphemes", "normalise to NFC"),
        _of_summary("repetition", _GENERATE),
        _of_summary("not-korean", _GENERATE),
        Rule(
            "missing-index",
            "note",
            "the sample has an index column without a name, and the file has none; such files have been scored",
            _AS_SAMPLE,
        ),
        Rule("line-end", "note", "lines do not end like the sample's", _REWRITE),
        Rule(
            "final-line-end", "note", "the last line has no line end, and the sample's has one", "add a line end"
        ),
        Rule("blank-line", "note", "an empty line", _CUT),
        Rule("loose-quote", "note", "quotes in a field that is not quoted: readers differ about them", _REWRITE),
        Rule("outer-space", "note", "white space at the ends of a summary", _CUT),
        Rule("double-space", "note", "several spaces, or a tab, between words", "leave one space"),
        Rule("stray-sign", "note", "a # that belongs to no tag", "write tags as #Person1#"),
        Rule("long-summary", "note", "longer than 400 characters: did the model not stop?", _GENERATE),
        Rule("short-summary", "note", "shorter than 10 characters", _GENERATE),
        Rule(
            "no-full-stop", "note", "no full stop at its end; it may be cut off", "generate with more new tokens"
        ),
    )
}
"""The rules by code: problems, then notes."""
