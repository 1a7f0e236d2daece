"""Write and check a submission, or check any file, against a sample submission."""

from __future__ import annotations

from pathlib import Path

from llm_summ.data import read_dialogues
from llm_summ.data.source import resolve_source
from llm_summ.runs.run import Run
from llm_summ.submit.check import check_submission
from llm_summ.submit.report import SubmissionReport
from llm_summ.submit.sample import find_sample, read_sample
from llm_summ.submit.write import data_of, file_texts, run_texts, write_submission

__all__ = ["check_file", "write_and_check"]


def write_and_check(
    run: Run | None,
    predictions: Path | None,
    source: str | None,
    sample_name: str | None,
    out: Path | None,
    *,
    allow_empty: bool = False,
    force: bool = False,
) -> SubmissionReport:
    """Write a submission, and check the written file.

    Args:
        run: the run whose summaries are written; None: those of `predictions`.
        predictions: a file of summaries.
        source: the data that was summarised; None: the test data of the run's recipe.
        sample_name: the sample submission; None searches for one.
        out: the file to write; None: submission.csv in the run's folder, or here.
        allow_empty: whether empty summaries are written as they are.
        force: whether another file at `out` is replaced.

    Raises:
        InputError: the summaries, the data or the sample cannot be used, or the file cannot be written.
    """
    if run is not None:
        source = data_of(run, source)
    folders = [] if source is None else [resolve_source(source).parent]
    sample = read_sample(find_sample(sample_name, folders))
    if predictions is not None:
        texts = file_texts(predictions, source, sample)
        out = out or Path("submission.csv")
    else:
        assert run is not None
        assert source is not None
        texts = run_texts(run, source)
        out = out or run.path / "submission.csv"
    write_submission(texts, sample, out, allow_empty=allow_empty, force=force)
    return check_submission(out, sample, dialogues=texts.dialogues, written=texts.by_id)


def check_file(path: Path, source: str | None, sample: str | None) -> SubmissionReport:
    """Check any file against a sample submission.

    Args:
        path: the file.
        source: the data that was summarised; None: not known.
        sample: the name of the sample submission; None searches for one in the folders of the file and the data.

    Raises:
        InputError: the file, the data or the sample cannot be used.
    """
    dialogues = None
    folders = [path.parent]
    if source is not None:
        dialogues = {dialogue.id: dialogue.text for dialogue in read_dialogues(source)}
        folders.append(resolve_source(source).parent)
    return check_submission(path, read_sample(find_sample(sample, folders)), dialogues=dialogues)
