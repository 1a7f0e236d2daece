"""What `select` is asked for: the files and data it needs, found and checked before anything is chosen."""

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
    """A selection that is wanted.

    Attributes:
        files: of the pool; none: all predictions and candidates of a run that are of the data.
        source: the data; of a run by default the recipe's test data, of files none.
        settings: how to choose.
        run: whose predictions, if there are no files.
        tune: data with references, on which settings are to be found.
        dev_pool: the files for those, in the order of `files`; of a run they are found by their names.
        only_best: whether the file that is the best there is taken alone.
        out: where the selection is written; None writes nothing.
        force: whether another file there is replaced.
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
    """Choose one text for every dialogue, and write the result if that is wanted.

    Raises:
        InputError: a file or the data cannot be used, or they do not fit each other.
    """
    files, source, dev_pool = request.files, request.source, request.dev_pool
    tune = request.tune
    if request.run is not None and not files:
        source = source or request.run.recipe().data.test
        if source is None:
            raise RunError(
                f"{request.run.recipe_path}: names no data.test; say what the summaries are of: --data FILE"
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
