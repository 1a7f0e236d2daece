"""The result of a selection: the chosen texts, and a report on the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import listed
from llm_summ.core.formatting import labelled
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.score.system_similarity import SystemSimilarity, similarity_lines
from llm_summ.select.mbr import Settings
from llm_summ.select.pool import Pool
from llm_summ.select.tune import Tuned

__all__ = ["MemberReport", "Selection", "Unlike"]

_MOST_ALIKE = 5  # pairs that are shown


@dataclass(frozen=True, slots=True)
class MemberReport:
    """A file of the pool, and its part in the selection.

    Attributes:
        name: of the file.
        texts: the number of its texts for a dialogue.
        weight: of the file.
        chosen: dialogues whose text was taken from it; an equal text counts for the first file that has it.
        equal: dialogues for which one of its texts is equal to the chosen one, white space aside.
        agreement: mean final score of its texts with those of the other files, both ways, from 0 to 100; None
            for the only file.
        empty: texts without a letter or a digit, or of a null word (nan).
    """

    name: str
    texts: int
    weight: float
    chosen: int
    equal: int
    agreement: float | None
    empty: int


@dataclass(frozen=True, slots=True)
class Unlike:
    """A file of the pool whose file for the dev data was generated with other settings.

    Attributes:
        member: its name.
        dev: the file for the dev data.
        fields: the fields of their identities that differ, except the data.
    """

    member: str
    dev: Path
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.member} and {self.dev} were generated with different settings ({', '.join(self.fields)}): the "
            "result of --tune may not hold for both; generate both with the same settings"
        )


@dataclass(frozen=True, slots=True)
class Selection(JsonRecord):
    """One text for every dialogue.

    Attributes:
        pool: the pool that they were chosen from.
        settings: how they were chosen.
        texts: the chosen texts, in the order of the pool's ids.
        members: the part of each file.
        picks: the file, the sample's index in it and the score of every choice.
        ties: ids for which another text was equally good, and the first was taken.
        undecided: ids for which a vote was undecided, since all texts differ.
        identical: how many dialogues have two or more equal texts, and how many have only equal texts.
        empty: ids that have only empty texts.
        similarities: every pair of files by their first samples, the most similar first.
        tuned: the result of tuning on a dev set.
        unlike: the files that were generated with other settings than their files for the dev data.
        inputs: every file that was read.
    """

    pool: Pool
    settings: Settings
    texts: tuple[str, ...]
    members: tuple[MemberReport, ...]
    picks: tuple[tuple[int, int, float], ...]
    ties: tuple[str, ...]
    undecided: tuple[str, ...]
    identical: tuple[int, int]
    empty: tuple[str, ...]
    similarities: tuple[SystemSimilarity, ...]
    tuned: Tuned | None = None
    unlike: tuple[Unlike, ...] = ()
    inputs: tuple[Path, ...] = ()

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "rows": len(self.texts),
            "candidates": sum(member.texts for member in self.members),
            "settings": self.settings,
            "members": [
                {**field_values(one), "path": member.path, "post": member.post}
                for one, member in zip(self.members, self.pool.members, strict=True)
            ],
            "ties": self.ties,
            "undecided": self.undecided,
            "some_equal": self.identical[0],
            "all_equal": self.identical[1],
            "empty": self.empty,
            "alike": self.similarities,
            "tuned": self.tuned,
            "unlike": self.unlike,
            "choices": [
                {"fname": identity, "member": self.members[member].name, "sample": sample, "score": score}
                for identity, (member, sample, score) in zip(self.pool.ids, self.picks, strict=True)
            ],
        }

    def table(self) -> TextTable:
        """Return, for people, a line a file."""
        headers = ["", "texts", "weight", "chosen", "equal", "agreement"]
        rows = []
        for place, one in enumerate(self.members):
            agreement = "" if one.agreement is None else f"{one.agreement:.1f}"
            row = [one.name, f"{one.texts}", f"{one.weight:g}", f"{one.chosen:,}", f"{one.equal:,}", agreement]
            if self.tuned is not None:
                tuned = self.tuned.members[place]
                row += [f"{tuned.alone:.2f}", "" if tuned.without is None else f"{tuned.without:.2f}"]
            rows.append(row)
        return TextTable(headers + ["dev alone", "dev without"] * (self.tuned is not None), rows)

    def lines(self) -> list[str]:
        """Return, for people, the results that the table does not have."""
        rows = len(self.texts)
        lines = similarity_lines(self.similarities, _MOST_ALIKE)
        some, every = self.identical
        lines += [
            labelled("equal", f"texts in {some:,} of {rows:,} dialogues, only equal ones in {every:,}"),
            labelled("ties", f"{_count(self.ties, rows)}; the first file's text was taken"),
        ]
        settings = self.settings
        if settings.method == "vote":
            undecided = f"undecided in {_count(self.undecided, rows)}"
            lines.append(labelled("vote", f"{undecided}: all texts differ; the medoid was taken"))
        if self.tuned is not None:
            lines += self.tuned.lines()
        how = [f"weights {','.join(f'{weight:g}' for weight in settings.weights)}"]
        if len(set(settings.rouge)) > 1:
            how.append(f"rouge {','.join(f'{weight:g}' for weight in settings.rouge)}")
        if settings.length:
            how.append(f"length {settings.length:g} around {settings.target or 'the median'}")
        if settings.temperature is not None:
            how.append(f"temperature {settings.temperature:g}")
        return [*lines, labelled("method", f"{settings.method}, {', '.join(how)}")]

    def warnings(self) -> list[str]:
        """Return the reasons why the selection is less reliable than it seems."""
        found = []
        members = self.pool.members
        for place, member in enumerate(members):
            twin = next((earlier for earlier in members[:place] if earlier.texts == member.texts), None)
            if twin is not None:
                found.append(f"{twin.name} and {member.name} have the same texts: one file is in the pool twice")
        used = sum(member.texts for member in self.members if member.weight)
        if used == 1 and self.tuned is None:
            found.append("there is only one text for each dialogue: nothing to choose from")
        if used == 2 and self.settings.method in ("mbr", "medoid"):
            found.append("two texts agree equally with each other: use three files or more")
        if self.empty:
            found.append(f"only empty texts in {_count(self.empty, len(self.texts))}")
        return [*found, *map(str, self.unlike)]


def _count(ids: Sequence[str], rows: int) -> str:
    return f"{len(ids):,} of {rows:,}" + (f" ({listed(ids)})" if ids else "")
