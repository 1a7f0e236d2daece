"""The ids of a sample, as a broken or hand-made file may have them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_summ.data.row_rules import stripped_id
from llm_summ.submit.sample import SampleSubmission

__all__ = ["Ids"]

_NEAR = 3  # rows: so far ahead a bare figure is taken for the next id


class Ids:
    """The ids of a sample, what looks like one, and which of them a misspelt one means.

    Two ids look alike if they differ in their figures only.

    Attributes:
        column: where the sample has them.
    """

    def __init__(self, sample: SampleSubmission) -> None:
        ids = sample.ids
        self.column = sample.columns.index("fname")
        self._place = {identity: at for at, identity in enumerate(ids)}
        self._shapes = {re.sub(r"\d+", "0", identity) for identity in ids}
        self._bare = all(identity.isdigit() for identity in ids)
        figures = {_last_figure(identity): identity for identity in ids}
        self._by_spelling = {_spelling(identity): identity for identity in ids}
        if len(figures) == len(ids):
            self._by_spelling = figures | self._by_spelling

    def meant(self, text: str) -> str:
        """The id that a text stands for; empty if there is none.

        White space around it, capitals, zeros before its figure, ``.0`` behind it and a prefix that is left out
        do not count.
        """
        identity = stripped_id(text)
        return identity if identity in self._place else self._by_spelling.get(_spelling(identity) or "-", "")

    def has(self, text: str) -> bool:
        """Whether it is an id of the sample."""
        return text in self._place

    def alike(self, text: str) -> bool:
        """Whether it is an id or looks like one; ids that are bare figures look like other figures."""
        return text in self._place or re.sub(r"\d+", "0", text) in self._shapes

    def place(self, fields: Sequence[str], own: int) -> int | None:
        """Where an id stands: in its own column, or else in the first field that looks like one."""
        order = sorted(range(len(fields)), key=lambda at: at != own)
        return next((at for at in order if self.alike(fields[at].strip())), None)

    def first(self, line: str, separator: str, own: int) -> str:
        """The id that a line begins with, or has behind an index; empty if there is none.

        Ids that are bare figures are looked for in their own column only, and only if the sample has them.
        """
        parts = [part.strip(' "') for part in line[:1000].split(separator, 2)[:-1]]
        if self._bare:
            return next((part for part in parts[own : own + 1] if part in self._place), "")
        return next((part for part in parts if not part.isdigit() and self.alike(part)), "")

    def follows(self, identity: str, before: str) -> bool:
        """Whether what begins with an id is a new row, the last id before it being known."""
        if not self._bare or not identity:
            return bool(identity)
        return 0 < self._place[identity] - self._place.get(before, -1) <= _NEAR


def _spelling(identity: str) -> str:
    text = re.sub(r"[\W_]", "", identity.casefold().removesuffix(".0"))
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def _last_figure(identity: str) -> str:
    return (re.findall(r"\d+", _spelling(identity)) or [""])[-1]
