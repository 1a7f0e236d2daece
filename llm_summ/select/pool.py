"""A pool: files with one or more texts for every dialogue, read and checked against each other and the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, source_name
from llm_summ.data.handed_in import first_counted
from llm_summ.data.raw import is_hash, run_of
from llm_summ.data.read import text_of
from llm_summ.data.source import short_names
from llm_summ.data.table import Record, Table, place, read_table
from llm_summ.errors import DataError, PredictionError, listed
from llm_summ.post import post_process
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.post.steps import NEED_DIALOGUE
from llm_summ.progress import say
from llm_summ.run import Run

__all__ = ["Member", "Pool", "dev_files", "read_pool", "run_files"]

_LETTERS = 26


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a pool.

    Attributes:
        name: of the file, with a letter before it.
        path: where it was read.
        texts: of every dialogue, in the order of their samples, after post-processing; shape ``[rows][n]``.
        confidence: the mean log-probability of a token of each of them, shape ``[rows][n]``; None where the file
            does not say.
        post: the steps of post-processing that ran.
    """

    name: str
    path: Path
    texts: tuple[tuple[str, ...], ...]
    confidence: tuple[tuple[float, ...], ...] | None = None
    post: tuple[str, ...] = ()

    @property
    def each(self) -> int:
        """How many texts there are of a dialogue."""
        return len(self.texts[0])


@dataclass(frozen=True, slots=True)
class Pool:
    """The texts that one is chosen from, for every dialogue.

    Attributes:
        ids: of the dialogues, in the order of the data, or else of the first file.
        members: the files, in the order given.
        dialogues: the data's; empty where none were named.
    """

    ids: tuple[str, ...]
    members: tuple[Member, ...]
    dialogues: tuple[Dialogue, ...] = ()

    def candidates(self) -> list[list[str]]:
        """All texts of each dialogue, member after member; shape ``[rows][n]``."""
        return [[text for member in self.members for text in member.texts[row]] for row in range(len(self.ids))]


@dataclass(frozen=True, slots=True)
class _Line:
    """A text as the file has it; what the file does not say is None."""

    line: int
    text: str
    dialogue: str | None
    cut_off: bool | None
    sample: int | None
    confidence: float | None


def read_pool(paths: Sequence[Path], source: str | None = None) -> Pool:
    """Read the files of a pool.

    A file is a CSV, JSONL or parquet with `fname` and `summary`, and any number of rows for an id, but as many for
    every id. Optional: `sample` (their order, or else the file's), `dialogue` (its hash, beside `finish_reason`),
    and `logprob` (the sum over the generated tokens) with `tokens`. Raw predictions in a run's folder are
    post-processed as its recipe says; those that were moved out of it are taken as they stand, which is said.

    Args:
        paths: of the files; a file that is named twice is in the pool twice.
        source: the data file that they must be of; None takes the ids of the first file.

    Raises:
        DataError: the data cannot be used.
        PredictionError: a file cannot be used, or is not of the same ids or dialogues.
    """
    if not paths:
        raise PredictionError("found no prediction file; expected at least one")
    dialogues = () if source is None else tuple(read_dialogues(source))
    files = [_read(path) for path in paths]
    ids = [dialogue.id for dialogue in dialogues] or list(files[0])
    others = str(paths[0]) if source is None else source
    hashes = _hashes(dialogues)
    for path, lines in zip(paths, files, strict=True):
        _check(path, others, lines, ids, hashes)
    shown = short_names(list(dict.fromkeys(map(str, paths))))
    names = dict(zip(dict.fromkeys(map(str, paths)), shown, strict=True))
    members: list[Member] = []
    learnt: dict[Path, LengthLimits | None] = {}
    for number, (path, lines) in enumerate(zip(paths, files, strict=True)):
        label = chr(ord("A") + number) if len(paths) <= _LETTERS else str(number + 1)
        rows = [lines[identity] for identity in ids]
        members.append(_member(f"{label} {names[str(path)]}", path, rows, dialogues, learnt))
    return Pool(tuple(ids), tuple(members), dialogues)


def run_files(run: Run, source: str) -> list[Path]:
    """The prediction and candidate files of a run that are of the data; floors are left out.

    Raises:
        DataError: the data cannot be used.
        PredictionError: there are none; says which command makes them.
    """
    dialogues = read_dialogues(source)
    ids, hashes = [dialogue.id for dialogue in dialogues], _hashes(dialogues)
    found = []
    for path in [*sorted(run.predictions.glob("*.jsonl")), *sorted(run.candidates.glob("*.jsonl"))]:
        try:
            _check(path, source, _read(path), ids, hashes)
        except PredictionError as error:
            if path.name.startswith(f"{source_name(source)}."):
                say(f"{error}; left out")
            continue
        if any(f".{word}." in path.name for word in ("untuned", "echo")):
            say(f"{path}: a floor, written without an adapter; left out")
        else:
            found.append(path)
    if not found:
        raise PredictionError(
            f"{run.path}: no predictions for the dialogues of {source}; make them: llm-summ generate "
            f"--run {run.argument} --data {source}"
        )
    return found


def dev_files(files: Sequence[Path], source: str, dev: str) -> list[tuple[Path, Path]]:
    """The files of a run with those for the dev data beside them: ``test.vllm.jsonl``, ``dev.vllm.jsonl``.

    A file that has none for the dev data is left out, which is said.

    Raises:
        PredictionError: none has one for the dev data.
    """
    found = []
    for path in files:
        other = path.with_name(source_name(dev) + path.name.removeprefix(source_name(source)))
        if not path.name.startswith(f"{source_name(source)}."):
            say(
                f"{path}: is not named after {source}, so which file of {dev} belongs to it is not known; left out"
            )
        elif other.is_file():
            found.append((path, other))
        else:
            say(f"{other}: no such file; {path.name} is left out: generate it for {dev}, too")
    if not found:
        raise PredictionError(
            f"no file of {source} has one for {dev} beside it; generate as many for {dev}, or name FILEs and "
            "--dev-pool"
        )
    return found


def _read(path: Path) -> dict[str, list[_Line]]:
    """The lines of each id."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise PredictionError(f"{path}: {what}; expected predictions as CSV or JSONL with fname and summary")
    found: dict[str, list[_Line]] = {}
    try:
        table = read_table(path, ("fname", "summary"))
        for record in table.records:
            found.setdefault(text_of(table, record, "fname").strip(), []).append(_line(table, record))
    except DataError as error:
        raise PredictionError(str(error)) from error
    if not found:
        raise PredictionError(f"{path}: no rows; expected a summary for every dialogue")
    for identity, lines in found.items():
        samples = [line.sample for line in lines]
        if len(set(samples)) < len(samples) and any(sample is not None for sample in samples):
            raise PredictionError(
                f"{place(path, lines[-1].line)}: {identity}: found the samples {listed(list(map(str, samples)))}; "
                "expected another number for each text of a dialogue"
            )
        lines.sort(key=lambda line: -1 if line.sample is None else line.sample)
    # Most ids are right, if any are.
    sizes = sorted(map(len, found.values()))
    usual = sizes[len(sizes) // 2]
    for identity, lines in found.items():
        if len(lines) != usual:
            raise PredictionError(
                f"{place(path, lines[-1].line)}: found {len(lines)} texts for {identity}, and {usual} for others; "
                "expected as many for every id"
            )
    lines_of_all = [line for lines in found.values() for line in lines]
    bare = [line for line in lines_of_all if line.confidence is None]
    if 0 < len(bare) < len(lines_of_all):
        say(f"{place(path, bare[0].line)}: no logprob, as in {len(bare)} lines; none of the file's is used")
        found = {identity: [replace(line, confidence=None) for line in lines] for identity, lines in found.items()}
    return found


def _line(table: Table, record: Record) -> _Line:
    where, values = table.place(record), record.values
    logprob, tokens = _number(where, values, "logprob"), _number(where, values, "tokens")
    if logprob is not None and tokens is None:
        raise PredictionError(f"{where}: logprob without tokens; expected how many tokens it is the sum of")
    sample = _number(where, values, "sample")
    if sample is not None and (sample < 0 or sample != int(sample)):
        raise PredictionError(f"{where}: sample: found {sample:g}; expected a whole number from 0 on")
    finish = text_of(table, record, "finish_reason")
    dialogue = text_of(table, record, "dialogue") if finish else ""
    return _Line(
        record.line,
        text_of(table, record, "summary"),
        dialogue if is_hash(dialogue) else None,
        finish == "length" if finish else None,
        None if sample is None else int(sample),
        None if logprob is None or not tokens or tokens < 0 else logprob / tokens,
    )


def _number(where: str, values: dict[str, Any], key: str) -> float | None:
    found = values.get(key)
    if found is None or found == "":
        return None
    try:
        number = math.nan if isinstance(found, bool) else float(found)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise PredictionError(f"{where}: {key}: found {str(found)[:40]!r}; expected a number")
    return number


def _hashes(dialogues: Sequence[Dialogue]) -> dict[str, str]:
    return {dialogue.id: dialogue_hash(dialogue.text) for dialogue in dialogues}


def _check(
    path: Path, others: str, lines: dict[str, list[_Line]], ids: Sequence[str], hashes: dict[str, str]
) -> None:
    """Whether a file is of the ids and dialogues of the others; hashes that were not known are added."""
    _check_ids(path, others, list(lines), ids)
    _check_dialogues(path, others, lines, hashes)


def _check_ids(path: Path, others: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    there, known = set(found), set(wanted)
    missing = [identity for identity in wanted if identity not in there]
    extra = [identity for identity in found if identity not in known]
    counted = first_counted(found, wanted)
    if counted is not None and missing:
        raise PredictionError(
            f"{path}: its ids were made by counting, and from {found[counted]} on they belong to other rows "
            f"({others} has {wanted[counted]} there); take each id from the data"
        )
    problems = (
        [f"lacks {len(missing)} of the {len(wanted)} ids of {others} ({listed(missing)})"] if missing else []
    )
    if extra:
        problems.append(f"has {len(extra)} ids that are not in {others} ({listed(extra)})")
    if problems:
        raise PredictionError(f"{path}: {' and '.join(problems)}; expected exactly the ids of {others}")


def _check_dialogues(path: Path, others: str, lines: dict[str, list[_Line]], hashes: dict[str, str]) -> None:
    """Compare hashes of dialogues with those that are known; where none is, the first file's counts."""
    other = [
        identity
        for identity, found in lines.items()
        if any(line.dialogue and line.dialogue != hashes.setdefault(identity, line.dialogue) for line in found)
    ]
    if other:
        raise PredictionError(
            f"{path}: made from other dialogues than those of {others} ({len(other)} differ: {listed(other)}); "
            "generate from the same data"
        )


def _member(
    name: str,
    path: Path,
    rows: Sequence[Sequence[_Line]],
    dialogues: Sequence[Dialogue],
    learnt: dict[Path, LengthLimits | None],
) -> Member:
    """A file's texts after post-processing; `learnt` keeps each run's limits, which speak when they are read."""
    texts = [line.text for row in rows for line in row]
    cut_off = [line.cut_off for row in rows for line in row]
    each = len(rows[0])
    run = run_of(path, tell=True)
    steps = [] if run is None else run.recipe().post
    needing = [step for step in steps if step in NEED_DIALOGUE]
    if needing and not dialogues:
        raise PredictionError(
            f"{path}: the post-processing of its run ({needing[0]}) needs the dialogues; name them: --data FILE"
        )
    spoken = [dialogue.text for dialogue in dialogues for _ in range(each)]
    if run is not None and run.path not in learnt:
        learnt[run.path] = limits_for(run, steps, [dialogue.text for dialogue in dialogues])
    limits = None if run is None else learnt[run.path]
    texts = post_process(texts, cut_off, steps, spoken if dialogues else None, limits).texts
    confidence = tuple(tuple(one.confidence for one in row if one.confidence is not None) for row in rows)
    return Member(
        name,
        path,
        tuple(tuple(texts[start : start + each]) for start in range(0, len(texts), each)),
        confidence if confidence[0] else None,
        tuple(steps),
    )
