"""A pool: files with one or more texts for every dialogue, checked against each other and the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import PredictionError, listed
from llm_summ.core.formatting import letters
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, source_name
from llm_summ.data.id_matching import first_counted
from llm_summ.data.prediction_identity import read_identity, run_of
from llm_summ.data.source import short_names
from llm_summ.post import post_process
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.post.steps import NEED_DIALOGUE
from llm_summ.runs.run import Run
from llm_summ.select.candidate_file import Line, read_lines

__all__ = ["Member", "Pool", "dev_files", "read_pool", "run_files"]


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
    files = [read_lines(path) for path in paths]
    ids = [dialogue.id for dialogue in dialogues] or list(files[0])
    others = str(paths[0]) if source is None else source
    hashes = _hashes(dialogues)
    for path, lines in zip(paths, files, strict=True):
        _check(path, others, lines, ids, hashes)
    shown = short_names(list(dict.fromkeys(map(str, paths))))
    names = dict(zip(dict.fromkeys(map(str, paths)), shown, strict=True))
    members: list[Member] = []
    learnt: dict[Path, LengthLimits | None] = {}
    for label, path, lines in zip(letters(len(paths)), paths, files, strict=True):
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
            _check(path, source, read_lines(path), ids, hashes)
        except PredictionError as error:
            if path.name.startswith(f"{source_name(source)}."):
                say(f"{error}; left out")
            continue
        identity = read_identity(path)
        if "adapter" in identity and identity["adapter"] is None:
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


def _hashes(dialogues: Sequence[Dialogue]) -> dict[str, str]:
    return {dialogue.id: dialogue_hash(dialogue.text) for dialogue in dialogues}


def _check(
    path: Path, others: str, lines: dict[str, list[Line]], ids: Sequence[str], hashes: dict[str, str]
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


def _check_dialogues(path: Path, others: str, lines: dict[str, list[Line]], hashes: dict[str, str]) -> None:
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
    rows: Sequence[Sequence[Line]],
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
