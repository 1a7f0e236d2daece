"""A request for a selection: its files and data are found and checked before anything is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import RunError
from llm_summ.data.source import check_out, resolve_source
from llm_summ.runs.run import Run
from llm_summ.select.mbr import Settings
from llm_summ.select.pool import dev_files, run_files
from llm_summ.select.report import Selection
from llm_summ.select.selection import select, write_selection

__all__ = ["SelectionRequest", "choose_and_write"]


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
