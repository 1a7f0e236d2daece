"""The ids of a sample, and how to recognise them in a broken or hand-made file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_summ.data.row_rules import stripped_id
from llm_summ.submit.sample import SampleSubmission

__all__ = ["Ids"]

_NEAR = 3  # rows: a bare number up to this far ahead may be the next id


class Ids:
    """The ids of a sample; recognises texts that look like an id, and the id that a misspelt one means.

    Two ids look alike if they differ only in their digits.

    Attributes:
        column: the index of their column in the sample.
    """

    def __init__(self, sample: SampleSubmission) -> None:
        ids = sample.ids
        self.column = sample.columns.index("fname")
        self._place = {identity: at for at, identity in enumerate(ids)}
        self._shapes = {re.sub(r"\d+", "0", identity) for identity in ids}
        self._bare = all(identity.isdigit() for identity in ids)
        figures = {(re.findall(r"\d+", _spelling(identity)) or [""])[-1]: identity for identity in ids}
        self._by_spelling = {_spelling(identity): identity for identity in ids}
        if len(figures) == len(ids):
            self._by_spelling = figures | self._by_spelling

    def meant(self, text: str) -> str:
        """Return the id that a text means; empty if there is none.

        White space around it, capitals, leading zeros of its number, a trailing ``.0`` and a missing prefix are
        ignored.
        """
        identity = stripped_id(text)
        return identity if identity in self._place else self._by_spelling.get(_spelling(identity) or "-", "")

    def has(self, text: str) -> bool:
        """Return whether a text is an id of the sample."""
        return text in self._place

    def alike(self, text: str) -> bool:
        """Return whether a text is an id or looks like one; any number looks like an id that is a bare number."""
        return text in self._place or re.sub(r"\d+", "0", text) in self._shapes

    def place(self, fields: Sequence[str], column: int) -> int | None:
        """Return the index of the id: the expected column, or else the first field that looks like an id."""
        order = sorted(range(len(fields)), key=lambda index: index != column)
        return next((index for index in order if self.alike(fields[index].strip())), None)

    def first(self, line: str, separator: str, column: int) -> str:
        """Return the id at the beginning of a line, or after an index; empty if there is none.

        Ids that are bare numbers are looked for only in `column`, and only if the sample has them.
        """
        parts = [part.strip(' "') for part in line[:1000].split(separator, 2)[:-1]]
        if self._bare:
            return next((part for part in parts[column : column + 1] if part in self._place), "")
        return next((part for part in parts if not part.isdigit() and self.alike(part)), "")

    def follows(self, identity: str, before: str) -> bool:
        """Return whether a line that begins with an id is a new row, given the last id before it."""
        if not self._bare or not identity:
            return bool(identity)
        return 0 < self._place[identity] - self._place.get(before, -1) <= _NEAR


def _spelling(identity: str) -> str:
    text = re.sub(r"[\W_]", "", identity.casefold().removesuffix(".0"))
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
