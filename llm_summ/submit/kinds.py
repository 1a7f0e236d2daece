"""What can be wrong with a submission: the kinds, how much they matter, and how to mend them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
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

KINDS = {
    kind.name: kind
    for kind in (
        Kind("empty-file", "problem", "there is nothing in it", "write it again"),
        Kind(
            "not-csv",
            "problem",
            "another kind of file under this name; nothing else was checked",
            "save it as CSV",
        ),
        Kind("encoding", "problem", "not in UTF-8: refused, or every summary is read as nonsense", _AS_UTF_8),
        Kind(
            "byte-order-mark",
            "problem",
            "the sample has none: to some readers it belongs to the first column's name",
            "save it as UTF-8 without a byte order mark (utf-8, not utf-8-sig)",
        ),
        Kind("nul", "problem", "a NUL: readers refuse it, or end the field there", _CUT),
        Kind("separator", "problem", "the fields are not separated by commas", "save it with commas"),
        Kind("missing-header", "problem", "the first row is data: it is taken for the header", _AS_SAMPLE),
        Kind("missing-column", "problem", "the sample has a column that the file lacks", _AS_SAMPLE),
        Kind("extra-column", "problem", "a column that the sample does not have", _AS_SAMPLE),
        Kind("column-order", "problem", "the columns stand in another order than the sample's", _AS_SAMPLE),
        Kind("column-name", "problem", "a column's name is not spelt as in the sample", _AS_SAMPLE),
        Kind(
            "missing-index",
            "problem",
            "the sample has an index column without a name, and the file has none",
            "pandas: reset_index(drop=True), then to_csv with index=True; or " + _AS_SAMPLE,
        ),
        Kind(
            "extra-index",
            "problem",
            "an index column that the sample does not have",
            "pandas: to_csv with index=False; read it with index_col=0 if it was there before",
        ),
        Kind(
            "index-values",
            "problem",
            "the index is not the sample's",
            "pandas: reset_index(drop=True) before to_csv",
        ),
        Kind("broken-quotes", "problem", "a quote that is not closed, or text after a closing one", _REWRITE),
        Kind("unquoted-comma", "problem", "more fields than columns: is a comma not quoted?", _REWRITE),
        Kind("missing-field", "problem", "fewer fields than columns: is a line break not quoted?", _REWRITE),
        Kind(
            "counted-ids",
            "problem",
            "ids made by counting, where the sample's have gaps or begin elsewhere: these rows are "
            "scored against other dialogues",
            _BY_ID,
        ),
        Kind("missing-id", "problem", "an id of the sample that the file lacks", _BY_ID),
        Kind("extra-id", "problem", "an id that the sample does not have", _BY_ID),
        Kind("repeated-id", "problem", "an id that stands in an earlier row", _BY_ID),
        Kind("empty-id", "problem", "a row without an id", _BY_ID),
        Kind("id-order", "problem", "rows stand in another order than the sample's", _BY_ID),
        Kind("id-space", "problem", "white space or what is not seen around an id", _BY_ID),
        Kind(
            "empty-summary",
            "problem",
            "nothing but white space or punctuation: the score's package raises on it",
            _GENERATE,
        ),
        Kind("null-text", "problem", "a missing value that was written as a word", _GENERATE),
        Kind("placeholder", "problem", "the sample's own text, not a summary", _GENERATE),
        Kind("repeated-summary", "problem", "equal to that of another dialogue", _GENERATE),
        Kind("prompt-remains", "problem", "part of a prompt or a special token, scored as words", _CUT),
        Kind("broken-tag", "problem", "a misspelt or cut tag falls into other morphemes", "write it as #Person1#"),
        Kind(
            "unknown-mask", "problem", "in the form of a tag, but none of the known ones", "write it as #Person1#"
        ),
        Kind("extra-quotes", "problem", "quotes around the whole summary, scored as morphemes", _CUT),
        Kind(
            "line-break", "problem", "a line break in a summary: who counts lines finds too many rows", "join them"
        ),
        Kind("literal-line-feed", "problem", "a backslash and an n where a line break was meant", _CUT),
        Kind("html", "problem", "an HTML entity or <br>, scored as words", _CUT),
        Kind("invisible-character", "problem", "a control or zero-width character splits words unseen", _CUT),
        Kind("lost-character", "problem", "U+FFFD: a program could not decode what stood there", _GENERATE),
        Kind("not-nfc", "problem", "letters in pieces (decomposed Hangul): other morphemes", "normalise to NFC"),
        Kind("repetition", "problem", "the same eight times or more on end: the model did not stop", _GENERATE),
        Kind("line-end", "note", "lines end otherwise than the sample's", _REWRITE),
        Kind("final-line-end", "note", "the last line does not end, and the sample's does", "add a line end"),
        Kind("blank-line", "note", "an empty line between or after the rows", _CUT),
        Kind("loose-quote", "note", "quotes in a field that is not quoted: readers differ about them", _REWRITE),
        Kind("outer-space", "note", "white space at the ends of a summary", _CUT),
        Kind("double-space", "note", "several spaces, or a tab, between words", "leave one space"),
        Kind("stray-sign", "note", "a # that belongs to no tag", "write tags as #Person1#"),
        Kind("not-korean", "note", "hardly any Hangul among its letters", _GENERATE),
        Kind("long-summary", "note", "longer than 400 characters: did the model not stop?", _GENERATE),
        Kind("short-summary", "note", "shorter than 10 characters", _GENERATE),
        Kind("no-full-stop", "note", "no full stop at its end: was it cut off?", "generate with more new tokens"),
    )
}
"""The kinds by name: problems, then notes."""
