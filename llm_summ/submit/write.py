"""Writing a submission in the order and the format of a sample."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from llm_summ.data import read_dialogues, read_hypotheses
from llm_summ.errors import DataError, PredictionError, RunError, listed
from llm_summ.evaluate.summaries import Summaries, file_summaries, run_summaries
from llm_summ.files import whole_file
from llm_summ.generate.store import PredictionFile
from llm_summ.progress import say
from llm_summ.run import Run
from llm_summ.submit.check import first_counted
from llm_summ.submit.sample import Sample
from llm_summ.submit.texts import LINE_BREAK, is_empty

__all__ = ["data_of", "file_texts", "run_texts", "write_submission"]


def data_of(run: Run, source: str | None) -> str:
    """The data that a run's submission is of: those that are named, or else its recipe's test data.

    Raises:
        RunError: neither is there.
    """
    found = source or run.recipe().data.test
    if found is None:
        raise RunError(f"{run.recipe_path}: names no data.test; say what the submission is of: --data FILE")
    return found


def run_texts(run: Run, source: str) -> tuple[Path, dict[str, str]]:
    """A run's predictions for a data file, post-processed, by id, and the file that they stand in.

    Raises:
        DataError: the data cannot be used.
        PredictionError: the run has no predictions for them; says which command makes them.
    """
    dialogues = read_dialogues(source)
    summaries = run_summaries(run, source, dialogues)
    return _by_id(summaries, [dialogue.id for dialogue in dialogues])


def file_texts(path: Path, source: str | None) -> tuple[Path, dict[str, str]]:
    """The summaries of a prediction file by id, as they stand; raw predictions of a run are post-processed.

    Args:
        path: a CSV or JSONL with `fname` and `summary`.
        source: the data file that they must be of; by default any, for a run's raw predictions its test data.

    Raises:
        DataError: the data cannot be used.
        PredictionError: the predictions cannot be used, or are not of the data.
        RunError: raw predictions of a run, but its recipe names no test data.
    """
    run = Run((path.parent.parent if path.parent.name == "earlier" else path.parent).parent)
    if (
        source is None
        and path.suffix == ".jsonl"
        and run.recipe_path.is_file()
        and PredictionFile(path).identity()
    ):
        source = data_of(run, None)
    if source is None:
        return path, read_hypotheses(path)
    dialogues = read_dialogues(source)
    return _by_id(file_summaries(path, source, dialogues), [dialogue.id for dialogue in dialogues])


def _by_id(summaries: Summaries, ids: list[str]) -> tuple[Path, dict[str, str]]:
    if summaries.untuned:
        say(f"{summaries.path}: written by the base model, without an adapter")
    return summaries.path, dict(zip(ids, summaries.texts, strict=True))


def write_submission(
    texts: Mapping[str, str], origin: Path, sample: Sample, out: Path, *, force: bool = False
) -> None:
    """Write a submission: the sample's rows with these summaries.

    Columns, order, line ends and encoding are the sample's; a field is quoted where CSV demands it. No text is
    changed, but line breaks in a summary become spaces, which is said. Ids that the sample does not have are left
    out, which is said, too. The file appears whole or not at all.

    Args:
        texts: a summary for every id of the sample.
        origin: the file that they are from.
        sample: what the submission must be like.
        out: where to write it.
        force: write empty summaries as they are, and replace another file at `out`.

    Raises:
        PredictionError: an id has no summary, or an empty one without `force`.
        DataError: another file is at `out`, or it cannot be written.
    """
    _check_texts(texts, origin, sample, force)
    extra = (
        [identity for identity in texts if identity not in set(sample.ids)] if len(texts) > len(sample.ids) else []
    )
    if extra:
        say(f"{origin}: {len(extra)} ids are not in {sample.path} and are left out ({listed(extra)})")
    broken = [identity for identity in sample.ids if LINE_BREAK.search(texts[identity])]
    if broken:
        say(f"{origin}: line breaks became spaces in {_count(len(broken), 'summary')} ({listed(broken)})")
    content = _encoded(_csv_text(texts, sample), sample)
    _check_target(out, content, origin, sample, force)
    try:
        with whole_file(out) as building:
            building.write_bytes(content)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error


def _check_texts(texts: Mapping[str, str], origin: Path, sample: Sample, force: bool) -> None:
    missing = [identity for identity in sample.ids if identity not in texts]
    if missing:
        counted = first_counted(list(texts), sample.ids)
        why = (
            f"its ids were made by counting, and from {sample.ids[counted]} on belong to other rows"
            if counted is not None
            else "generate them, or name the predictions of the sample's rows"
        )
        raise PredictionError(
            f"{origin}: lacks {len(missing)} of the {len(sample.ids)} ids of {sample.path} "
            f"({listed(missing)}); {why}"
        )
    empty = [identity for identity in sample.ids if is_empty(texts[identity])]
    if empty and not force:
        raise PredictionError(
            f"{origin}: {_count(len(empty), 'summary')} with neither a letter nor a figure ({listed(empty)}), "
            "which are refused or score 0; generate them again, or write them as they are with --force"
        )


def _check_target(out: Path, content: bytes, origin: Path, sample: Sample, force: bool) -> None:
    if out.suffix.lower() != ".csv":
        raise DataError(f"--out {out}: expected a name that ends in .csv")
    try:
        if not out.exists():
            return
        if not out.is_file():
            raise DataError(f"--out {out}: is not a regular file; choose another name")
        for source in (origin, sample.path):
            if source.exists() and out.samefile(source):
                raise DataError(f"--out {out}: is what the submission is made from; choose another name")
        if out.read_bytes() != content and not force:
            raise DataError(
                f"--out {out}: another file is there already; choose another name, or replace it: --force"
            )
    except OSError as error:
        raise DataError(
            f"--out {str(out)[:80]}: cannot be used ({error.strerror}); choose another name"
        ) from error


def _csv_text(texts: Mapping[str, str], sample: Sample) -> str:
    at_id, at_summary = sample.columns.index("fname"), sample.columns.index("summary")
    lines = [_csv_line(sample.columns)]
    for identity, row in zip(sample.ids, sample.rows, strict=True):
        fields = list(row)
        fields[at_id], fields[at_summary] = identity, _on_one_line(texts[identity])
        lines.append(_csv_line(fields))
    return sample.line_end.join(lines) + (sample.line_end if sample.final_line_end else "")


def _csv_line(fields: list[str] | tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(fields)
    return out.getvalue().removesuffix("\r\n")


def _on_one_line(text: str) -> str:
    """The text without line breaks: a space stands for those within it, and nothing for those around it."""
    if not LINE_BREAK.search(text):
        return text
    return " ".join(filter(None, (line.strip() for line in LINE_BREAK.split(text))))


def _encoded(text: str, sample: Sample) -> bytes:
    try:
        return text.encode(sample.encoding)
    except UnicodeEncodeError as error:
        letter = text[error.start].encode("unicode_escape").decode()
        line = text.count("\n", 0, error.start) + 1
        raise DataError(
            f"{sample.path}: is in {sample.encoding}, which cannot hold {letter} (of line {line} of the "
            "submission); save the sample as UTF-8, or mend that summary"
        ) from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun.removesuffix('y')}ies"
