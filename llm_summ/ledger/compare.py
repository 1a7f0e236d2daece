"""All runs side by side: which scores may be compared, what differs, what is the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from llm_summ.ledger.entry import Entry, Score, pick, read_entry
from llm_summ.ledger.leaderboard import FEWEST, Agreement, agree
from llm_summ.run import Run

__all__ = ["Ledger", "Sort", "parts_that_differ", "read_ledger"]

Sort = Literal["time", "score", "lb"]


@dataclass(frozen=True)
class Ledger:
    """The runs of a folder.

    Attributes:
        entries: in the order that was asked for.
    """

    entries: tuple[Entry, ...]

    @property
    def latest(self) -> Entry | None:
        """The run that ``runs/latest`` points to."""
        return next((entry for entry in self.entries if entry.latest), None)

    @cached_property
    def data(self) -> str | None:
        """The data by which the runs are compared (`Score.key`): most runs have a score of it; else the newest."""
        runs: Counter[str] = Counter()
        newest: defaultdict[str, float] = defaultdict(float)
        for entry in self.entries:
            tuned = [score for score in entry.scores if not score.untuned]
            runs.update({score.key for score in tuned})
            for score in tuned:
                newest[score.key] = max(newest[score.key], score.time)
        return max(runs, key=lambda key: (runs[key], newest[key]), default=None)

    def score(self, entry: Entry) -> Score | None:
        """The score that stands for a run: of `data` if it has one; tuned before untuned, new before old."""
        return max(
            entry.scores,
            key=lambda score: (not score.untuned and score.key == self.data, not score.untuned, score.time),
            default=None,
        )

    @cached_property
    def signatures(self) -> tuple[str, ...]:
        """The signatures of the runs' scores, the commonest first; empty for one that is not known."""
        found = Counter(score.signature for entry in self.entries if (score := self.score(entry)))
        return tuple(signature for signature, _ in found.most_common())

    @cached_property
    def data_names(self) -> dict[str, str]:
        """A name for each data (`Score.key`), with a part of its hash where another has the same name."""
        scores = sorted((score for entry in self.entries for score in entry.scores), key=lambda score: score.time)
        names = {score.key: score.data for score in scores}
        often = Counter(names.values())
        # Without a hash the key is the name itself.
        return {
            key: name if often[name] == 1 else f"{name} {'(hash unknown)' if key == name else key[:8]}"
            for key, name in names.items()
        }

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The recipe fields that are not the same in all runs."""
        recipes = [entry.fields for entry in self.entries if entry.fields]
        names = dict.fromkeys(name for recipe in recipes for name in recipe)
        return tuple(
            name for name in names if any(recipe.get(name) != recipes[0].get(name) for recipe in recipes[1:])
        )

    @cached_property
    def both(self) -> tuple[tuple[str, str], list[tuple[Entry, float, float]]] | None:
        """Runs with a local and a leaderboard score, the last of each: the largest group that may be compared.

        With what they have in common, data (`Score.key`) and signature; None without a leaderboard score.
        """
        groups: defaultdict[tuple[str, str], list[tuple[Entry, float, float]]] = defaultdict(list)
        for entry in self.entries:
            if entry.leaderboard:
                last = {
                    (score.key, score.signature): score
                    for score in entry.scores
                    if score.signature and not score.untuned
                }
                for common, score in last.items():
                    groups[common].append((entry, score.final, entry.leaderboard[-1].score))
        if not any(entry.leaderboard for entry in self.entries):
            return None
        best = max(groups, key=lambda common: (len(groups[common]), common[0] == self.data), default=("", ""))
        return best, groups[best]

    @property
    def agreement(self) -> Agreement | None:
        """How local and leaderboard scores go together; None while too few runs have both."""
        if self.both is None or len(self.both[1]) < FEWEST:
            return None
        (data, signature), runs = self.both
        return agree(
            self.data_names[data], signature, [(entry.run.name, local, posted) for entry, local, posted in runs]
        )

    @property
    def same_adapters(self) -> dict[str, list[str]]:
        """Names of runs by the SHA-256 of the adapter that they share."""
        return _shared((pick(entry.manifest, str, "training", "adapter_sha256"), entry) for entry in self.entries)

    @property
    def same_submissions(self) -> dict[str, list[str]]:
        """Names of runs by the SHA-256 of the submission that they share."""
        return _shared((sha256, entry) for entry in self.entries for sha256 in sorted(entry.submissions))

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        agreement = self.agreement
        return {
            "runs": [self.entry_json(entry) for entry in self.entries],
            "varying": list(self.varying),
            "signatures": list(self.signatures),
            "same_adapters": self.same_adapters,
            "same_submissions": self.same_submissions,
            "leaderboard": None if agreement is None else agreement.to_json(),
        }

    def entry_json(self, entry: Entry) -> dict[str, Any]:
        """A run, with the file of the score that stands for it."""
        score = self.score(entry)
        return entry.to_json() | {"compared": None if score is None else str(score.path)}


def read_ledger(runs: Path, sort: Sort = "time") -> Ledger:
    """Read all runs below a folder; one that is unfinished or damaged is among them.

    Args:
        runs: the folder of all runs; it need not be there.
        sort: "time": the newest first; "score": the best first, those of other data than most runs' last; "lb":
            the best on the leaderboard first.
    """
    latest = (runs / "latest").resolve()
    paths = sorted(
        path
        for path in (runs.iterdir() if runs.is_dir() else ())
        if path.is_dir() and path.name != "latest" and not path.name.startswith(".")
    )
    entries = [read_entry(Run(path), latest=path.resolve() == latest) for path in paths]
    newest = Ledger(tuple(sorted(entries, key=lambda entry: -entry.time)))
    if sort == "time":
        return newest
    if sort == "lb":
        last = {id(entry): entry.leaderboard[-1].score for entry in entries if entry.leaderboard}
        return Ledger(tuple(sorted(newest.entries, key=lambda entry: -last.get(id(entry), -1.0))))

    def rank(entry: Entry) -> tuple[int, float]:
        score = newest.score(entry)
        if score is None:
            return (3, 0.0)
        return (2 if score.untuned else int(score.key != newest.data), -score.final)

    return Ledger(tuple(sorted(newest.entries, key=rank)))


def parts_that_differ(signature: str, other: str) -> Iterator[tuple[str, str, str]]:
    """(part, what it is in one signature, what in the other), for each that differs; "nothing" where it lacks."""
    one, two = (
        {part.partition(":")[0]: part for part in text.split("|")} if text else {} for text in (signature, other)
    )
    for name in dict.fromkeys((*one, *two)):
        if one.get(name) != two.get(name):
            yield name, one.get(name, "nothing"), two.get(name, "nothing")


def _shared(hashes: Iterable[tuple[str | None, Entry]]) -> dict[str, list[str]]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for sha256, entry in hashes:
        if sha256 is not None:
            names[sha256].append(entry.run.name)
    return {sha256: found for sha256, found in names.items() if len(found) > 1}
