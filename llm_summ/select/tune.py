"""Find settings on a dev set, and score them on dialogues that they were not found on.

The search is greedy: it starts with equal weights for all files and changes one value at a time, the one that
gains most, as long as it gains 0.05 points. Its own score is too high, since it is the best of many. So the
dialogues are split into five folds, the settings are found on four of them and scored on the fifth, and these
out-of-fold scores are reported and compared. If they are not better than those of equal weights, the equal weights
are kept.
For the greedy choice of members see Caruana et al. 2004, "Ensemble Selection from Libraries of Models"; it
begins with all of them here, since of two texts neither agrees more with the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import DataError, listed
from llm_summ.core.formatting import labelled
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.data.cross_validation import FOLDS, fold_of_each
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.significance import Paired, paired
from llm_summ.select.mbr import Candidates, Settings, choose, compare_candidates
from llm_summ.select.pool import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["MemberScore", "Tuned", "tune"]

_LEAST_ROWS = 10
_GAIN = 0.05  # points: less is noise, and plain settings are preferable
_WEIGHTS = (0.0, 0.5, 1.0, 2.0)
_ROUGE = ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_LENGTH = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
_TEMPERATURES = (None, 0.05, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class MemberScore:
    """A file of the pool on the dev set; scores are final scores from 0 to 100.

    Attributes:
        name: of the file.
        alone: its score; for a file with several texts a dialogue, the score of the texts chosen from them.
        without: the ensemble's out-of-fold score without it; None where no file would be left.
    """

    name: str
    alone: float
    without: float | None


@dataclass(frozen=True, slots=True)
class Tuned(JsonRecord):
    """The result of tuning on a dev set.

    Attributes:
        dev: the data.
        rows: the number of dialogues.
        settings: to choose with: the ensemble's, or the best file alone if the ensemble is not better.
        ensemble: the settings that the search finds on all dialogues; or those that it began with, if its results
            gain nothing on other dialogues.
        plain: the score of the settings that the search began with: equal weights.
        fell_back: whether `settings` is the best file alone.
        out_of_fold: the ensemble's score, by settings found on the other folds.
        in_sample: the score of the found settings on the dialogues that they were found on: too high.
        best: the index of the best file in the pool.
        best_out_of_fold: the score of the file that is the best on the other folds.
        oracle: the score of the best text for each dialogue: the upper limit of any choice.
        versus_best: the ensemble's out-of-fold scores minus the best file's, dialogue by dialogue.
        members: each file.
    """

    dev: str
    rows: int
    settings: Settings
    ensemble: Settings
    plain: float
    fell_back: bool
    out_of_fold: float
    in_sample: float
    best: int
    best_out_of_fold: float
    oracle: float
    versus_best: Paired
    members: tuple[MemberScore, ...]

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return field_values(self) | {"folds": FOLDS, "best": self.members[self.best].name}

    def lines(self) -> list[str]:
        """Return, for people, the results that the tables do not have."""
        best, versus = self.members[self.best], self.versus_best
        lines = [
            labelled(
                "ensemble",
                f"{self.out_of_fold:.2f} out of fold ({self.in_sample:.2f} on the dialogues that its "
                f"settings were found on); the best text of each dialogue would score {self.oracle:.2f}",
            ),
            labelled("all alike", f"{self.plain:.2f}, with equal weights and no search"),
            labelled(
                "best file",
                f"{best.alone:.2f}: {best.name}; {self.best_out_of_fold:.2f} if picked out of fold",
            ),
            labelled("difference", f"{versus}, wins/ties/losses {versus.tally}"),
        ]
        if self.fell_back:
            why = ": the ensemble is not better than its best file" if versus.difference <= 0 else ""
            return [*lines, labelled("chosen", f"{best.name} alone{why}")]
        return [*lines, labelled("chosen", f"the ensemble{versus.doubt}")]


def tune(
    pool: Pool,
    dev: str,
    start: Settings,
    *,
    logprobs: bool = True,
    only_best: bool = False,
    metric: Metric = COMPETITION,
    workers: int = 1,
) -> Tuned:
    """Find settings on a dev set.

    Args:
        pool: its files' texts for the dev data, whose dialogues have references.
        dev: the data, as the user named it.
        start: where the search begins; its method stays.
        logprobs: whether the texts to choose from have log-probabilities too.
        only_best: take the best file alone, even if the ensemble is better.
        metric: the score.
        workers: processes that share the dialogues.

    Raises:
        DataError: there are too few dialogues, or a dialogue has no reference.
    """
    import numpy as np

    _check(pool, dev)
    candidates = compare_candidates(pool, metric, workers)
    truth = _truth(pool, metric)
    known: dict[Settings, Floats] = {}

    def score(settings: Settings) -> Floats:
        """Return the final score of every dialogue, shape [rows]."""
        if settings not in known:
            index = choose(candidates, settings).index
            known[settings] = truth[np.arange(len(index)), index]
        return known[settings]

    rows, members = len(truth), range(len(pool.members))
    confident = logprobs and not np.isnan(candidates.confidence).all()
    folds = fold_of_each(pool.ids)
    alone = np.stack([score(_alone(start, member)) for member in members])
    best = int(alone.mean(axis=1).argmax())
    ensemble = np.empty(rows)
    best_elsewhere = np.empty(rows)
    without = np.full((len(members), rows), np.nan)
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        found = _search(score, start, outside, candidates, confident)
        ensemble[inside] = score(found)[inside]
        best_elsewhere[inside] = alone[alone[:, outside].mean(axis=1).argmax()][inside]
        for member in members:
            weights = tuple(weight * (place != member) for place, weight in enumerate(found.weights))
            if any(weights):
                without[member, inside] = score(replace(found, weights=weights))[inside]
    everywhere = _search(score, start, np.arange(rows), candidates, confident)
    plain, in_sample = score(start), float(score(everywhere).mean())
    if plain.mean() >= ensemble.mean():  # the found settings gain nothing on other dialogues
        ensemble, everywhere = plain, start
    versus = paired(alone[best].tolist(), ensemble.tolist())
    fell_back = only_best or versus.difference <= 0
    return Tuned(
        dev=dev,
        rows=rows,
        settings=_alone(start, best) if fell_back else everywhere,
        ensemble=everywhere,
        plain=float(plain.mean()),
        fell_back=fell_back,
        out_of_fold=float(ensemble.mean()),
        in_sample=in_sample,
        best=best,
        best_out_of_fold=float(best_elsewhere.mean()),
        oracle=float(truth.max(axis=1).mean()),
        versus_best=versus,
        members=tuple(
            MemberScore(
                member.name,
                float(alone[place].mean()),
                None if np.isnan(without[place]).any() else float(without[place].mean()),
            )
            for place, member in enumerate(pool.members)
        ),
    )


def _check(pool: Pool, dev: str) -> None:
    bare = [dialogue.id for dialogue in pool.dialogues if not dialogue.references]
    if bare:
        raise DataError(
            f"{dev}: no reference for {len(bare)} of {len(pool.ids)} dialogues ({listed(bare)}); "
            "--tune needs one for each"
        )
    if len(pool.ids) < _LEAST_ROWS:
        raise DataError(
            f"{dev}: found {len(pool.ids)} dialogues; --tune needs {_LEAST_ROWS} at least, and hundreds for a "
            "reliable result"
        )


def _truth(pool: Pool, metric: Metric) -> Floats:
    """Return the final score of every candidate against the references, from 0 to 100; shape ``[R, N]``."""
    import numpy as np

    rows = pool.candidates()
    pairs = [
        (text, dialogue.references) for texts, dialogue in zip(rows, pool.dialogues, strict=True) for text in texts
    ]
    found = metric.score([text for text, _ in pairs], [references for _, references in pairs])
    return np.array([row.final for row in found.per_row]).reshape(len(rows), -1)


def _alone(settings: Settings, member: int) -> Settings:
    return Settings(tuple(float(place == member) for place in range(len(settings.weights))), settings.method)


def _search(
    score: Callable[[Settings], Floats],
    start: Settings,
    rows: NDArray[np.int64],
    candidates: Candidates,
    confident: bool,
) -> Settings:
    """Climb from `start` by the mean score of some dialogues."""
    several = len(set(candidates.member.tolist())) > 1
    current, value = start, float(score(start)[rows].mean())
    while True:
        tried = [(float(score(one)[rows].mean()), one) for one in _neighbours(current, several, confident)]
        gained, found = max(tried, key=lambda pair: pair[0], default=(value, current))
        if gained < value + _GAIN:
            return current
        current, value = found, gained


def _neighbours(settings: Settings, several: bool, confident: bool) -> Iterator[Settings]:
    for place in range(len(settings.weights) if several else 0):
        for weight in _WEIGHTS:
            weights = (*settings.weights[:place], weight, *settings.weights[place + 1 :])
            if any(weights) and weights != settings.weights:
                yield replace(settings, weights=weights)
    yield from (replace(settings, rouge=rouge) for rouge in _ROUGE if rouge != settings.rouge)
    yield from (replace(settings, length=length) for length in _LENGTH if length != settings.length)
    if confident:
        yield from (replace(settings, temperature=one) for one in _TEMPERATURES if one != settings.temperature)
