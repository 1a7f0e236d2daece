"""All runs compared: comparable scores, differing fields, and the correlation with the leaderboard."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm_summ.ledger.entry import RunEntry, Score, read_entry
from llm_summ.runs.run import Run

if TYPE_CHECKING:
    from llm_summ.score.correlation import Correlation

__all__ = ["FEWEST", "Agreement", "Ledger", "Sort", "read_ledger"]

FEWEST = 3
"""The smallest number of runs with both scores for which the agreement is computed."""

Sort = Literal["time", "score", "lb"]


@dataclass(frozen=True)
class Agreement:
    """The agreement of local and leaderboard scores.

    A run's last leaderboard score is paired with its local score of the engine that generated the submission, or
    with its newest local score if that engine is not known.

    Attributes:
        data: the data of the local scores.
        signature: of the local scores.
        runs: (name, local score, leaderboard score) of each run that has both.
        left_out: runs with a leaderboard score, but no local score of these data and this signature.
    """

    data: str
    signature: str
    runs: tuple[tuple[str, float, float], ...]
    left_out: tuple[str, ...]

    @cached_property
    def rank(self) -> Correlation | None:
        """Spearman's rank correlation; None with too few runs, or if all scores of one side are equal."""
        from llm_summ.score.correlation import spearman

        if len(self.runs) < FEWEST:
            return None
        return spearman([local for _, local, _ in self.runs], [posted for _, _, posted in self.runs])

    @property
    def difference(self) -> float | None:
        """Mean of leaderboard minus local score; None with too few runs."""
        if len(self.runs) < FEWEST:
            return None
        return fsum(posted - local for _, local, posted in self.runs) / len(self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {
            "data": self.data,
            "signature": self.signature,
            "runs": [{"name": name, "local": local, "leaderboard": posted} for name, local, posted in self.runs],
            "left_out": list(self.left_out),
            "spearman": None if self.rank is None else self.rank.to_json(),
            "mean_difference": self.difference,
        }


@dataclass(frozen=True)
class Ledger:
    """The runs of a folder.

    Attributes:
        entries: in the requested order.
    """

    entries: tuple[RunEntry, ...]

    @property
    def latest(self) -> RunEntry | None:
        """The run that ``runs/latest`` points to."""
        return next((entry for entry in self.entries if entry.latest), None)

    @cached_property
    def data(self) -> str | None:
        """SHA-256 of the data by which the runs are compared.

        Dev data of a recipe come before others; then the data on which most runs have a score; then the newest.
        """
        parts = [entry.manifest.data["dev"] for entry in self.entries if "dev" in entry.manifest.data]
        dev = {sha256 for part in parts for sha256 in part.sha256.values()}
        times: defaultdict[str, list[str]] = defaultdict(list)
        for entry in self.entries:
            newest = {score.data_sha256: score.scored for score in entry.scores if not score.untuned}
            for data, scored in newest.items():
                times[data].append(scored)
        return max(times, key=lambda data: (data in dev, len(times[data]), max(times[data])), default=None)

    def score(self, entry: RunEntry) -> Score | None:
        """Return the score that represents a run: on `data` if possible; tuned before untuned, new before old."""
        return max(
            entry.scores, key=lambda score: (self._fits(score), not score.untuned, score.scored), default=None
        )

    def _fits(self, score: Score) -> bool:
        return not score.untuned and score.data_sha256 == self.data

    @cached_property
    def signatures(self) -> tuple[str, ...]:
        """The signatures of the runs' scores: those on `data` before others, the most frequent first."""
        scores = [score for entry in self.entries if (score := self.score(entry))]
        counts = Counter(score.signature for score in scores)
        fitting = Counter(score.signature for score in scores if self._fits(score))
        return tuple(sorted(counts, key=lambda signature: (-fitting[signature], -counts[signature])))

    @cached_property
    def data_names(self) -> dict[str, str]:
        """A name for each SHA-256 of data; with its first digits if other data have the same name."""
        scores = sorted(
            (score for entry in self.entries for score in entry.scores), key=lambda score: score.scored
        )
        names = {score.data_sha256: score.data for score in scores}
        counts = Counter(names.values())
        return {sha256: name if counts[name] == 1 else f"{name} {sha256[:8]}" for sha256, name in names.items()}

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The fields that are not the same in all runs that have them."""
        values: defaultdict[str, list[Any]] = defaultdict(list)
        for entry in self.entries:
            for name, value in entry.fields.items():
                values[name].append(value)
        return tuple(name for name, listed in values.items() if any(value != listed[0] for value in listed))

    @cached_property
    def agreement(self) -> Agreement | None:
        """The agreement in the largest group of comparable runs; None without leaderboard scores."""
        posted = [entry for entry in self.entries if entry.leaderboard]
        groups: defaultdict[tuple[str, str], list[tuple[str, float, float]]] = defaultdict(list)
        for entry in posted:
            last = entry.leaderboard[-1]
            engine = entry.engine_of(last)
            newest = {
                (score.data_sha256, score.signature): score.final
                for score in entry.scores
                if (not score.untuned if engine is None else score.engine == engine)
            }
            for common, final in newest.items():
                groups[common].append((entry.run.name, final, last.score))
        if not posted:
            return None
        data, signature = max(
            groups, key=lambda common: (len(groups[common]), common[0] == self.data), default=("", "")
        )
        runs = tuple(groups[data, signature])
        inside = {name for name, _, _ in runs}
        left_out = tuple(entry.run.name for entry in posted if entry.run.name not in inside)
        return Agreement(self.data_names.get(data, ""), signature, runs, left_out)

    @property
    def same_submissions(self) -> dict[str, list[str]]:
        """Names of runs by the SHA-256 of the submission that they share."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for entry in self.entries:
            for sha256 in sorted(entry.handed_in):
                names[sha256].append(entry.run.name)
        return {sha256: sharing for sha256, sharing in names.items() if len(sharing) > 1}

    def to_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {
            "runs": [self.entry_json(entry) for entry in self.entries],
            "varying": list(self.varying),
            "signatures": list(self.signatures),
            "same_submissions": self.same_submissions,
            "agreement": None if self.agreement is None else self.agreement.to_json(),
        }

    def entry_json(self, entry: RunEntry) -> dict[str, Any]:
        """Return a run for programs, with the file of the score that represents it."""
        score = self.score(entry)
        return entry.to_json() | {"compared": None if score is None else str(score.path)}


def read_ledger(runs: Path, sort: Sort = "time") -> Ledger:
    """Read all runs in a folder, including unfinished and damaged ones.

    Args:
        runs: the folder of all runs; it need not exist.
        sort: "time": the newest first; "score": the best first, after them those with other data or another
            signature than most runs, then untuned ones; "lb": the best on the leaderboard first.
    """
    latest = (runs / "latest").resolve()
    paths = sorted(
        path
        for path in (runs.iterdir() if runs.is_dir() else ())
        if path.is_dir() and path.name != "latest" and not path.name.startswith(".")
    )
    entries = [read_entry(Run(path), latest=path.resolve() == latest) for path in paths]
    newest = Ledger(tuple(sorted(entries, key=lambda entry: entry.time, reverse=True)))
    if sort == "time":
        return newest
    if sort == "lb":
        posted = {entry.run: -1.0 if entry.best_posted is None else entry.best_posted for entry in entries}
        return Ledger(tuple(sorted(newest.entries, key=lambda entry: -posted[entry.run])))

    def rank(entry: RunEntry) -> tuple[int, float]:
        score = newest.score(entry)
        if score is None:
            return (3, 0.0)
        like_most = score.data_sha256 == newest.data and score.signature == newest.signatures[0]
        return (2 if score.untuned else 0 if like_most else 1, -score.final)

    return Ledger(tuple(sorted(newest.entries, key=rank)))
