"""Recognise files of raw predictions, and find their run.

A run's raw predictions are post-processed by the steps of its recipe. Those that were moved out of their run's
folder have no recipe any more, and are not post-processed.
"""

from __future__ import annotations

from pathlib import Path

from llm_summ.core.errors import InputError
from llm_summ.core.files import read_jsonl
from llm_summ.core.progress import say
from llm_summ.predictions.identity import read_identity
from llm_summ.predictions.prediction import is_hash, is_prediction
from llm_summ.runs.run import Run

__all__ = ["is_raw", "run_of"]


def is_raw(path: Path) -> bool:
    """Return whether a file has raw predictions: a JSONL whose first line is one, or that has an identity."""
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    try:
        _, first = next(read_jsonl(path), (0, {}))
    except (OSError, InputError):
        first = {}
    return (is_prediction(first) and is_hash(first["dialogue"])) or read_identity(path) is not None


def run_of(path: Path, *, notify: bool = False) -> Run | None:
    """Return the run of a file of raw predictions; None if the file is another one, or was moved out of its run.

    Args:
        path: the file.
        notify: print a notice where raw predictions were moved, and are not post-processed.
    """
    if not is_raw(path):
        return None
    folder = path.absolute().parent
    run = Run((folder.parent if folder.name == "earlier" else folder).parent)
    if not run.recipe_path.is_file():
        if notify:
            say(f"{path}: raw predictions outside their run: used as they are, without its post-processing")
        return None
    here = Path.cwd()
    return Run(run.path.relative_to(here)) if run.path.is_relative_to(here) else run
