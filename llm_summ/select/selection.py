"""Choose one text for every dialogue from files: read them, tune, choose, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_summ.core.errors import InputError, RunError, listed
from llm_summ.core.formatting import counted
from llm_summ.data.source import check_out, resolve_source
from llm_summ.data.summary_file import write_summaries
from llm_summ.predictions.identity import differences, read_identity
from llm_summ.runs.run import Run
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.system_similarity import find_similarities
from llm_summ.score.workers import cores
from llm_summ.select.mbr import Candidates, Choices, Settings, choose, compare_candidates
from llm_summ.select.pool import Pool, dev_files, read_pool, run_files
from llm_summ.select.report import MemberReport, Selection, Unlike
from llm_summ.select.tune import Tuned, tune

__all__ = ["SelectionRequest", "choose_and_write", "select", "write_selection"]

_MANY_PAIRS = 500_000  # of texts: with more, a second process gains more than its start costs


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    """A request for a selection.

    Attributes:
        files: of the pool; empty: all predictions and candidates of a run that belong to the data.
        source: the data; None: for a run the recipe's test data, for files no data.
        settings: how to choose.
        run: the run whose predictions are used if `files` is empty.
        tune: data with references, on which settings are found.
        dev_pool: the files for `tune`, in the order of `files`; empty: a run's are found by identity or name.
        only_best: whether to take only the file that is the best on `tune`.
        out: the file to write; None: nothing is written.
        force: whether to replace an existing file.
    """

    files: tuple[Path, ...]
    source: str | None
    settings: Settings
    run: Run | None = None
    tune: str | None = None
    dev_pool: tuple[Path, ...] = ()
    only_best: bool = False
    out: Path | None = None
    force: bool = False


def choose_and_write(request: SelectionRequest) -> Selection:
    """Choose one text for every dialogue, and write the result if `out` is set.

    Raises:
        InputError: a file or the data cannot be used, or they do not fit each other.
    """
    files, source, dev_pool = request.files, request.source, request.dev_pool
    tune = request.tune
    if request.run is not None and not files:
        source = source or request.run.recipe().data.test
        if source is None:
            raise RunError(
                f"{request.run.recipe_path}: names no data.test; name the data of the summaries: --data FILE"
            )
        files = tuple(run_files(request.run, source))
        if tune is not None and not dev_pool and tune != source:
            pairs = dev_files(files, source, tune)
            files, dev_pool = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)
    if tune is not None and not dev_pool and tune == source:
        dev_pool = files
    if request.out is not None:
        data = [resolve_source(one) for one in (source, tune) if one is not None]
        check_out(request.out, inputs=[*files, *dev_pool, *data], force=request.force)
    selection = select(files, source, request.settings, dev=tune, dev_paths=dev_pool, only_best=request.only_best)
    if request.out is not None:
        write_selection(selection, request.out, force=request.force)
    return selection


def select(
    paths: Sequence[Path],
    source: str | None,
    settings: Settings,
    *,
    dev: str | None = None,
    dev_paths: Sequence[Path] = (),
    only_best: bool = False,
    metric: Metric = COMPETITION,
    workers: int | None = None,
) -> Selection:
    """Choose one text for every dialogue.

    Args:
        paths: the pool's files.
        source: the data that they belong to; None: the ids of the first file.
        settings: how to choose; with `dev`, where the search begins.
        dev: data with references, on which settings are found.
        dev_paths: the files for the dev data, in the order of `paths`.
        only_best: take only the file that is the best on the dev data.
        metric: the utility, and the score on the dev data.
        workers: processes; None: more than one for a large pool.

    Raises:
        InputError: a file or the data cannot be used, or they do not fit each other.
    """
    if not settings.weights:
        settings = replace(settings, weights=(1.0,) * len(paths))
    pool = read_pool(paths, source)
    if len(settings.weights) != len(pool.members):
        raise InputError(
            f"--weights: found {len(settings.weights)} for {counted(len(pool.members), 'file')}; expected one "
            "for each, in their order"
        )
    if settings.temperature is not None and all(member.confidence is None for member in pool.members):
        raise InputError(
            f"--temperature: no file has log-probabilities ({listed([member.name for member in pool.members])}); "
            "leave it out, or generate them again"
        )
    tuned = None
    if dev is not None:
        tuned = _tune(pool, dev, dev_paths, settings, only_best, metric, workers)
        settings = tuned.settings
    candidates = compare_candidates(pool, metric, _workers(pool, workers))
    selection = _selection(pool, candidates, settings, choose(candidates, settings), metric, tuned)
    pairs = zip(pool.members, dev_paths, strict=True) if tuned is not None else ()
    unlike = [
        Unlike(one.name, path, tuple(differences(read_identity(one.path), read_identity(path))))
        for one, path in pairs
    ]
    inputs = [*paths, *dev_paths, *(resolve_source(name) for name in (source, dev) if name is not None)]
    return replace(selection, unlike=tuple(one for one in unlike if one.fields), inputs=tuple(inputs))


def write_selection(selection: Selection, out: Path, *, force: bool = False) -> None:
    """Write the chosen texts as CSV with `fname` and `summary`; the file appears complete or not at all.

    Raises:
        DataError: as `check_out`; or the file cannot be written.
    """
    check_out(out, inputs=selection.inputs, force=force)
    write_summaries(out, selection.pool.ids, selection.texts)


def _tune(
    pool: Pool,
    dev: str,
    dev_paths: Sequence[Path],
    settings: Settings,
    only_best: bool,
    metric: Metric,
    workers: int | None,
) -> Tuned:
    if len(dev_paths) != len(pool.members):
        raise InputError(
            f"--dev-pool: found {counted(len(dev_paths), 'file')} for {dev}, and {len(pool.members)} in the pool; "
            "expected one for each, in their order"
        )
    dev_pool = read_pool(dev_paths, dev)
    for one, other in zip(pool.members, dev_pool.members, strict=True):
        if one.each != other.each:
            raise InputError(
                f"{other.path}: has {other.each} texts a dialogue, and {one.path} {one.each}; weights of one "
                "are not valid for the other: generate the same number for both"
            )
    # The temperature is tuned only if it can be used: both files need log-probabilities.
    logprobs = all(
        (one.confidence is None) == (other.confidence is None)
        for one, other in zip(pool.members, dev_pool.members, strict=True)
    )
    members = tuple(
        replace(other, name=one.name) for one, other in zip(pool.members, dev_pool.members, strict=True)
    )
    return tune(
        replace(dev_pool, members=members),
        dev,
        settings,
        logprobs=logprobs,
        only_best=only_best,
        metric=metric,
        workers=_workers(dev_pool, workers),
    )


def _selection(
    pool: Pool, candidates: Candidates, settings: Settings, choices: Choices, metric: Metric, tuned: Tuned | None
) -> Selection:
    import numpy as np

    rows = np.arange(len(pool.ids))
    member, index = candidates.member, choices.index
    first = np.searchsorted(member, np.arange(len(pool.members)))
    texts = pool.candidates()
    # An equal text counts for the first file that has it and is not left out.
    same = candidates.text == candidates.text[rows, index][:, None]
    table = candidates.f1.mean(axis=(0, 3))
    reports = []
    for place, one in enumerate(pool.members):
        own = member == place
        others = ~own
        agreement = None
        if others.any():
            both = (table[np.ix_(own, others)].mean() + table[np.ix_(others, own)].mean()) / 2
            agreement = 100 * float(both)
        reports.append(
            MemberReport(
                one.name,
                one.each,
                settings.weights[place],
                int((member[index] == place).sum()),
                int(same[:, own].any(axis=1).sum()),
                agreement,
                int(candidates.empty[:, own].sum()),
            )
        )
    distinct = np.array([len(set(row)) for row in candidates.text.tolist()])
    ids = np.array(pool.ids, dtype=object)
    n = len(member)
    return Selection(
        pool=pool,
        settings=settings,
        texts=tuple(texts[row][place] for row, place in enumerate(index.tolist())),
        members=tuple(reports),
        picks=tuple(
            (int(member[place]), int(place - first[member[place]]), float(score))
            for place, score in zip(index.tolist(), choices.score.tolist(), strict=True)
        ),
        ties=tuple(ids[choices.tied]),
        undecided=tuple(ids[choices.undecided]),
        identical=(int((distinct < n).sum()), int(((distinct == 1) & (n > 1)).sum())),
        empty=tuple(ids[candidates.empty[rows, index]]),
        similarities=find_similarities(
            [one.name for one in pool.members], [[row[0] for row in one.texts] for one in pool.members], metric
        ),
        tuned=tuned,
    )


def _workers(pool: Pool, workers: int | None) -> int:
    if workers is not None:
        return workers
    pairs = len(pool.ids) * sum(member.each for member in pool.members) ** 2
    return cores() if pairs >= _MANY_PAIRS else 1
