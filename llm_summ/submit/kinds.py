"""What can be wrong with a submission: the kinds, how much they matter, and how to mend them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FAULT_KINDS", "FaultKind"]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: short and stable; programs may rely on it.
        severity: a problem would be refused or costs score; a note is worth a look.
        why: what it does there.
        mend: what to do.
    """

    name: str
    severity: Literal["problem", "note"]
    why: str
    mend: str


_REWRITE = "write the file with a CSV writer, such as `llm-summ submit` is"
_AS_UTF_8 = "save it as UTF-8"
_AS_SAMPLE = "`llm-summ submit --predictions FILE` writes it with the sample's columns"
_BY_ID = "take the ids and their order from the sample, and each summary by its id"
_GENERATE = "generate it again"
_CUT = "take it out"

FAULT_KINDS = {
    kind.name: kind
    for kind in (
        FaultKind("empty-file", "problem", "there is nothing in it", "write it again"),
        FaultKind(
            "not-csv",
            "problem",
            "another kind of file under this name; nothing else was checked",
            "save it as CSV",
        ),
        FaultKind("encoding", "problem", "not in UTF-8: refused, or every summary is read as nonsense", _AS_UTF_8),
        FaultKind(
            "byte-order-mark",
            "problem",
            "the sample has none: to some readers it belongs to the first column's name",
            "save it as UTF-8 without a byte order mark (utf-8, not utf-8-sig)",
        ),
        FaultKind("nul", "problem", "a NUL: readers refuse it, or end the field there", _CUT),
        FaultKind("separator", "problem", "the fields are not separated by commas", "save it with commas"),
        FaultKind("sep-line", "problem", "a spreadsheet program's hint stands where the header belongs", _CUT),
        FaultKind("quoted-line", "problem", "whole lines are quoted: each is read as a single field", _REWRITE),
        FaultKind("repeated-header", "problem", "the header stands among the rows and is read as one", _CUT),
        FaultKind("missing-header", "problem", "the first row is data: it is taken for the header", _AS_SAMPLE),
        FaultKind("missing-column", "problem", "the sample has a column that the file lacks", _AS_SAMPLE),
        FaultKind("extra-column", "problem", "a column that the sample does not have", _AS_SAMPLE),
        FaultKind("column-order", "problem", "the columns stand in another order than the sample's", _AS_SAMPLE),
        FaultKind("column-name", "problem", "a column's name is not spelt as in the sample", _AS_SAMPLE),
        FaultKind(
            "missing-index",
            "problem",
            "the sample has an index column without a name, and the file has none",
            "pandas: reset_index(drop=True), then to_csv with index=True; or " + _AS_SAMPLE,
        ),
        FaultKind(
            "extra-index",
            "problem",
            "an index column that the sample does not have",
            "pandas: to_csv with index=False; read it with index_col=0 if it was there before",
        ),
        FaultKind(
            "other-column",
            "problem",
            "neither id nor summary, and not what the sample has there (an index that was not reset?)",
            _AS_SAMPLE,
        ),
        FaultKind("broken-quotes", "problem", "a quote that is not closed, or text after a closing one", _REWRITE),
        FaultKind("unquoted-comma", "problem", "more fields than columns: is a comma not quoted?", _REWRITE),
        FaultKind("missing-field", "problem", "fewer fields than columns: is a line break not quoted?", _REWRITE),
        FaultKind(
            "counted-ids",
            "problem",
            "ids made by counting, where the sample's have gaps or begin elsewhere: these rows are "
            "scored against other dialogues",
            _BY_ID,
        ),
        FaultKind("missing-id", "problem", "an id of the sample that the file lacks", _BY_ID),
        FaultKind("extra-id", "problem", "an id that the sample does not have", _BY_ID),
        FaultKind("repeated-id", "problem", "an id that stands in an earlier row", _BY_ID),
        FaultKind("empty-id", "problem", "a row without an id", _BY_ID),
        FaultKind("id-order", "problem", "rows stand in another order than the sample's", _BY_ID),
        FaultKind("misspelt-id", "problem", "an id that is not spelt as in the sample", _BY_ID),
        FaultKind(
            "empty-summary",
            "problem",
            "neither a letter nor a figure: refused, or it scores 0",
            _GENERATE,
        ),
        FaultKind(
            "null-text", "problem", "a missing value, or a spreadsheet's error, written as a word", _GENERATE
        ),
        FaultKind("placeholder", "problem", "the sample's own text, not a summary", _GENERATE),
        FaultKind("repeated-summary", "problem", "equal to that of another dialogue", _GENERATE),
        FaultKind("prompt-remains", "problem", "part of a prompt or a special token, scored as words", _CUT),
        FaultKind(
            "broken-tag", "problem", "a misspelt or cut tag falls into other morphemes", "write it as #Person1#"
        ),
        FaultKind(
            "unknown-mask", "problem", "in the form of a tag, but none of the known ones", "write it as #Person1#"
        ),
        FaultKind("extra-quotes", "problem", "quotes around the whole summary, scored as morphemes", _CUT),
        FaultKind(
            "line-break", "problem", "a line break in a summary: who counts lines finds too many rows", "join them"
        ),
        FaultKind("literal-line-feed", "problem", "a backslash and an n where a line break was meant", _CUT),
        FaultKind("html", "problem", "an HTML entity or <br>, scored as words", _CUT),
        FaultKind("invisible-character", "problem", "a control or zero-width character splits words unseen", _CUT),
        FaultKind("lost-character", "problem", "U+FFFD: a program could not decode what stood there", _GENERATE),
        FaultKind(
            "not-nfc", "problem", "letters in pieces (decomposed Hangul): other morphemes", "normalise to NFC"
        ),
        FaultKind("repetition", "problem", "the same again and again: the model did not stop", _GENERATE),
        FaultKind("line-end", "note", "lines end otherwise than the sample's", _REWRITE),
        FaultKind("final-line-end", "note", "the last line does not end, and the sample's does", "add a line end"),
        FaultKind("blank-line", "note", "an empty line", _CUT),
        FaultKind(
            "loose-quote", "note", "quotes in a field that is not quoted: readers differ about them", _REWRITE
        ),
        FaultKind("outer-space", "note", "white space at the ends of a summary", _CUT),
        FaultKind("double-space", "note", "several spaces, or a tab, between words", "leave one space"),
        FaultKind("stray-sign", "note", "a # that belongs to no tag", "write tags as #Person1#"),
        FaultKind("not-korean", "note", "hardly any Hangul among its letters", _GENERATE),
        FaultKind("long-summary", "note", "longer than 400 characters: did the model not stop?", _GENERATE),
        FaultKind("short-summary", "note", "shorter than 10 characters", _GENERATE),
        FaultKind(
            "no-full-stop", "note", "no full stop at its end; it may be cut off", "generate with more new tokens"
        ),
    )
}
"""The kinds by name: problems, then notes."""
