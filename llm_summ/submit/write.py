"""Write a submission in the order and the format of a sample."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_summ.core.errors import DataError, InputError, PredictionError, RunError, file_problem, listed
from llm_summ.core.files import append_lines, whole_file
from llm_summ.core.formatting import utc_now
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, read_dialogues, read_hypotheses
from llm_summ.data.empty_texts import is_empty
from llm_summ.data.source import check_out, resolve_source
from llm_summ.predictions.id_matching import check_ids
from llm_summ.predictions.raw_file import is_raw, run_of
from llm_summ.predictions.summaries import Summaries, file_summaries, run_summaries
from llm_summ.runs.run import Run
from llm_summ.submit.reading import broken_texts
from llm_summ.submit.sample import SampleSubmission
from llm_summ.submit.texts import LINE_BREAK

__all__ = ["Texts", "data_of", "file_texts", "run_texts", "write_submission"]


@dataclass(frozen=True, slots=True)
class Texts:
    """The summaries of a submission.

    Attributes:
        path: the file that they are from.
        by_id: a summary for each id.
        run: the run whose raw predictions the file holds; None if it is any other file.
        engine: the engine that generated them; None if the file does not name it.
        data: the data file that was summarised; None if none was named.
        dialogues: the text of each id's dialogue; empty if no data were named.
    """

    path: Path
    by_id: Mapping[str, str]
    run: Run | None = None
    engine: str | None = None
    data: Path | None = None
    dialogues: Mapping[str, str] = field(default_factory=dict)


def data_of(run: Run, source: str | None) -> str:
    """Return the data of a run's submission: those that are named, or else its recipe's test data.

    Raises:
        RunError: no data are named, or the recipe's file does not exist.
    """
    data = source or run.recipe().data.test
    if data is None:
        raise RunError(f"{run.recipe_path}: no data.test; name the data of the submission: --data FILE")
    if source is None and not data.startswith("sample:") and not Path(data).is_file():
        raise RunError(
            f"{run.recipe_path}: data.test: {data}: no such file; name the data of the submission: --data FILE"
        )
    return data


def run_texts(run: Run, source: str) -> Texts:
    """Return a run's predictions for a data file, post-processed.

    Raises:
        DataError: the data cannot be used.
        PredictionError: the run has no predictions for them; the message has the command that generates them.
    """
    dialogues = read_dialogues(source)
    return _texts(run_summaries(run, source, dialogues), source, dialogues)


def file_texts(path: Path, source: str | None, sample: SampleSubmission) -> Texts:
    """Return the summaries of a prediction file; only raw predictions in a run's folder are post-processed.

    A file that is not a prediction file is read like a submission to check, if it has all ids of the sample.

    Args:
        path: a CSV, JSONL or parquet with `fname` and `summary`, or any file that the check can read.
        source: the data file that must have been summarised; by default any, for a run's raw predictions its test
            data.
        sample: the sample that the submission must match.

    Raises:
        DataError: the data cannot be used.
        PredictionError: the predictions cannot be used, or do not belong to the data.
        RunError: raw predictions of a run, but its recipe names no test data.
    """
    run = run_of(path, notify=source is None)
    if run is not None and source is None:
        source = data_of(run, None)
    dialogues = [] if source is None else read_dialogues(source)
    try:
        if source is not None:
            return _texts(file_summaries(path, source, dialogues), source, dialogues)
        texts = read_hypotheses(path)
        if not set(sample.ids) <= set(texts):
            texts = broken_texts(path, sample) or texts
        return Texts(path, texts)
    except InputError:
        # Wrong ids are not repaired if a data file defines which ids are valid.
        broken = None if is_raw(path) else broken_texts(path, sample)
        wanted = {dialogue.id for dialogue in dialogues}
        if broken is None or (source is not None and not set(broken) <= wanted):
            raise
        data = None if source is None else resolve_source(source)
        return Texts(path, broken, data=data, dialogues=_by_id(dialogues))


def _by_id(dialogues: Sequence[Dialogue]) -> dict[str, str]:
    return {dialogue.id: dialogue.text for dialogue in dialogues}


def _texts(summaries: Summaries, source: str, dialogues: Sequence[Dialogue]) -> Texts:
    if summaries.untuned:
        say(f"{summaries.path}: generated by the base model, without an adapter")
    by_id = {dialogue.id: text for dialogue, text in zip(dialogues, summaries.texts, strict=True)}
    return Texts(summaries.path, by_id, summaries.run, summaries.engine, resolve_source(source), _by_id(dialogues))


def write_submission(
    texts: Texts, sample: SampleSubmission, out: Path, *, allow_empty: bool = False, force: bool = False
) -> None:
    """Write a submission: the sample's rows with these summaries.

    Columns, order and line ends are the sample's, and a byte order mark if it has one; the encoding is always
    UTF-8. A field is quoted where CSV requires it. No text is changed, except that line breaks in a summary become
    spaces, which is logged. Ids that the sample does not have are left out, which is logged, too. The file appears
    whole or not at all. A submission of a run is recorded in its `submissions_path`.

    Args:
        texts: a summary for every id of the sample.
        sample: the sample that the submission must match.
        out: the file to write.
        allow_empty: write empty summaries as they are.
        force: replace another file at `out`; a run's own submission is always replaced.

    Raises:
        PredictionError: an id has no summary, or an empty one without `allow_empty`.
        DataError: another file is at `out`, or `out` is a source of the submission, or it cannot be written.
        RunError: another process holds the run's files.
    """
    inputs = [path for path in (texts.path, texts.data, sample.path) if path is not None]
    check_out(out, inputs=inputs, force=True)
    _check_texts(texts, sample, allow_empty)
    content = _csv_text(texts.by_id, sample).encode("utf-8-sig" if sample.byte_order_mark else "utf-8")
    with contextlib.nullcontext() if texts.run is None else texts.run.lock_files():
        is_run_file = texts.run is not None and out == texts.run.path / "submission.csv"
        same = _holds(out, content)
        if check_out(out, inputs=inputs, force=force or is_run_file or same) and not same:
            say(f"{out}: replaces another file")
        wanted = set(sample.ids)
        if extra := [identity for identity in texts.by_id if identity not in wanted]:
            say(f"{texts.path}: {len(extra)} ids are not in {sample.path} and are left out ({listed(extra)})")
        if broken := [identity for identity in sample.ids if LINE_BREAK.search(texts.by_id[identity])]:
            say(f"{texts.path}: line breaks became spaces in {_count(broken)}")
        try:
            with whole_file(out) as building:
                building.write_bytes(content)
        except OSError as error:
            raise DataError(file_problem(out, "written", error)) from error
        if texts.run is not None:
            _note(texts, texts.run, out, content)


def _note(texts: Texts, run: Run, out: Path, content: bytes) -> None:
    """Append a line to the run's `submissions_path`."""
    line = {
        "written": utc_now(),
        "out": str(out),
        "sha256": hashlib.sha256(content).hexdigest(),
        "predictions": os.path.relpath(texts.path, run.predictions),
        "engine": texts.engine,
    }
    try:
        with append_lines(run.submissions_path) as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        say(f"{run.submissions_path}: cannot be written ({error.strerror}); `runs` will not list {out}")


def _check_texts(texts: Texts, sample: SampleSubmission, allow_empty: bool) -> None:
    hint = "generate them, or name the predictions of the sample's rows"
    check_ids(texts.path, list(texts.by_id), sample.ids, sample.path, hint=hint, may_have_more=True)
    empty = [identity for identity in sample.ids if is_empty(texts.by_id[identity])]
    if empty and not allow_empty:
        raise PredictionError(
            f"{texts.path}: {_count(empty)} with no text, or only a word such as nan: refused, or it scores 0; "
            "generate again, or write them as they are: --allow-empty"
        )


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _csv_text(texts: Mapping[str, str], sample: SampleSubmission) -> str:
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
    """Return a text on one line: line breaks within it become a space, and those around it are removed."""
    if not LINE_BREAK.search(text):
        return text
    return " ".join(filter(None, (line.strip() for line in LINE_BREAK.split(text))))


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} {'summary' if len(ids) == 1 else 'summaries'} ({listed(ids)})"
