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


def _problem(code: str, why: str, remedy: str) -> Rule:
    return Rule(code, "problem", why, remedy)


def _of_summary(code: str, remedy: str) -> Rule:
    return _problem(code, SUMMARY_FAULTS[code], remedy)


FAULT_RULES = {
    rule.code: rule
    for rule in (
        _problem("empty-file", "the file is empty", "write it again"),
        _problem(
            "not-csv",
            "the file is of another kind than its name says; nothing else was checked",
            "save it as CSV, or rename it by its kind",
        ),
        _problem("encoding", "not in UTF-8: refused, or every summary is read as nonsense", _AS_UTF_8),
        _problem(
            "byte-order-mark",
            "the sample has none: some readers make it part of the first column's name",
            "save it as UTF-8 without a byte order mark (utf-8, not utf-8-sig)",
        ),
        _problem("nul", "a NUL: readers refuse it, or end the field there", _CUT),
        _problem("separator", "the fields are not separated by commas", "save it with commas"),
        _problem("sep-line", "a spreadsheet program's hint is in place of the header", _CUT),
        _problem("quoted-line", "whole lines are quoted: each is read as a single field", _REWRITE),
        _problem("repeated-header", "the header is repeated among the rows and is read as a row", _CUT),
        _problem("missing-header", "the first row is data: it is taken for the header", _AS_SAMPLE),
        _problem("missing-column", "the sample has a column that the file lacks", _AS_SAMPLE),
        _problem("extra-column", "a column that the sample does not have", _AS_SAMPLE),
        _problem("column-order", "the columns are not in the sample's order", _AS_SAMPLE),
        _problem("column-name", "a column's name is not spelt as in the sample", _AS_SAMPLE),
        _problem(
            "extra-index",
            "an index column that the sample does not have",
            "pandas: to_csv with index=False; or " + _AS_SAMPLE,
        ),
        _problem(
            "other-column",
            "neither id nor summary, and not what the sample has there (an index that was not reset?)",
            _AS_SAMPLE,
        ),
        _problem("broken-quotes", "a quote that is not closed, or text after a closing one", _REWRITE),
        _problem("unquoted-comma", "more fields than columns: is a comma not quoted?", _REWRITE),
        _problem(
            "missing-field",
            "fewer fields than columns: is a line break not quoted?",
            _REWRITE + "; or fill in what is missing",
        ),
        _problem(
            "counted-ids",
            "ids made by counting, where the sample's have gaps or begin elsewhere: these rows are "
            "scored against other dialogues",
            "take each id from the data file, not from a count",
        ),
        _problem("missing-id", "an id of the sample that the file lacks", _ROW_BY_ID),
        _problem("extra-id", "an id that the sample does not have", _BY_ID),
        _problem("repeated-id", "an id that an earlier row has already", _ROW_BY_ID),
        _problem("empty-id", "a row without an id", _ROW_BY_ID),
        _problem("id-order", "rows are not in the sample's order", _BY_ID),
        _problem("misspelt-id", "an id that is not spelt as in the sample", _BY_ID),
        _problem("empty-summary", "neither a letter nor a figure: refused, or it scores 0", _GENERATE),
        _of_summary("null-text", _GENERATE),
        _of_summary("no-summary", _GENERATE),
        _problem("placeholder", "the sample's own text, not a summary", _GENERATE),
        _problem(
            "repeated-summary", "equal to that of another dialogue; a problem only where many are", _GENERATE
        ),
        _of_summary("prompt-remains", _DROP_PROMPT),
        _of_summary("lost-hangul", "save it as UTF-8 where Hangul was lost: it cannot be restored"),
        _of_summary("lost-tag", "decode without skipping #Person1#, then generate it again"),
        _problem("broken-tag", "a misspelt or cut tag falls into other morphemes", "write it as #Person1#"),
        _problem("unknown-mask", "in the form of a tag, but none of the known ones", "write it as #Person1#"),
        _of_summary("extra-quotes", _CUT),
        _problem("line-break", "a line break in a summary: programs that count lines find too many rows", _JOIN),
        _problem("literal-line-feed", "a backslash and an n where a line break was meant", _CUT),
        _problem("html", "an HTML entity or <br>, scored as words", _CUT),
        _problem("invisible-character", "an invisible control or zero-width character splits a word", _CUT),
        _problem("lost-character", "U+FFFD: a program could not decode the original character", _GENERATE),
        _problem("not-nfc", "letters in pieces (decomposed Hangul): other morphemes", "normalise to NFC"),
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
