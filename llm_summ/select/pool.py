"""A pool: files with one or more texts for every dialogue, checked against each other and the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import PredictionError
from llm_summ.core.formatting import letters
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, source_name
from llm_summ.data.source import short_names
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.post.steps import needing_dialogue
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.id_matching import check_dialogues, check_ids
from llm_summ.predictions.identity import differences, read_identity
from llm_summ.predictions.raw_file import run_of
from llm_summ.runs.run import Run
from llm_summ.select.candidate_file import Line, read_lines

__all__ = ["Member", "Pool", "dev_files", "read_pool", "run_files"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a pool.

    Attributes:
        name: of the file, with a letter before it.
        path: the path that it was read from.
        texts: of every dialogue, in the order of their samples, after post-processing; shape ``[rows][n]``.
        confidence: the mean log-probability of a token of each of them, shape ``[rows][n]``; None where the file
            does not have it.
        post: the steps of post-processing that ran.
    """

    name: str
    path: Path
    texts: tuple[tuple[str, ...], ...]
    confidence: tuple[tuple[float, ...], ...] | None = None
    post: tuple[str, ...] = ()

    @property
    def each(self) -> int:
        """The number of texts for each dialogue."""
        return len(self.texts[0])


@dataclass(frozen=True, slots=True)
class Pool:
    """The texts to choose from, for every dialogue.

    Attributes:
        ids: of the dialogues, in the order of the data, or else of the first file.
        members: the files, in the order given.
        dialogues: the data's; empty where no data were named.
    """

    ids: tuple[str, ...]
    members: tuple[Member, ...]
    dialogues: tuple[Dialogue, ...] = ()

    def candidates(self) -> list[list[str]]:
        """Return all texts of each dialogue, member after member; shape ``[rows][n]``."""
        return [[text for member in self.members for text in member.texts[row]] for row in range(len(self.ids))]


def read_pool(paths: Sequence[Path], source: str | None = None) -> Pool:
    """Read the files of a pool.

    A file is a CSV, JSONL or parquet with `fname` and `summary`, and the same number of rows for every id.
    Optional fields: `sample` (the order of the rows of an id; without it, that of the file), `dialogue` (its hash;
    only read together with `finish_reason`), and `logprob` (the sum over the generated tokens) with `tokens`. Raw
    predictions in a run's folder are post-processed by the steps of its recipe. Those that were moved out of it
    are used as they are, and a notice is printed.

    Args:
        paths: of the files; a file that is named twice is in the pool twice.
        source: the data file that they must belong to; None: the ids of the first file.

    Raises:
        DataError: the data cannot be used.
        PredictionError: a file cannot be used, or its ids or dialogues differ.
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
    run_limits: dict[Path, LengthLimits | None] = {}
    for label, path, lines in zip(letters(len(paths)), paths, files, strict=True):
        rows = [lines[identity] for identity in ids]
        members.append(_member(f"{label} {names[str(path)]}", path, rows, dialogues, run_limits))
    return Pool(tuple(ids), tuple(members), dialogues)


def run_files(run: Run, source: str) -> list[Path]:
    """Return the prediction and candidate files of a run that belong to the data; floors are left out.

    Raises:
        DataError: the data cannot be used.
        PredictionError: the run has none; the message names the command that makes them.
    """
    fitting = []
    for path in _files_of([run.predictions, run.candidates], source):
        identity = read_identity(path)
        if identity is not None and identity.is_baseline:
            say(f"{path}: a floor, written without an adapter; left out")
        else:
            fitting.append(path)
    if not fitting:
        raise PredictionError(
            f"{run.path}: no predictions for the dialogues of {source}; make them: llm-summ generate "
            f"--run {run.argument} --data {source}"
        )
    return fitting


def dev_files(files: Sequence[Path], source: str, dev: str) -> list[tuple[Path, Path]]:
    """Pair the files of a run with those for the dev data that were generated in the same way.

    Files are paired by their identities: equal engine, prompt and decoding, in the same folder; of several, the
    one that differs least, then the newest. A file without an identity is paired by its name: ``test.vllm.jsonl``
    with ``dev.vllm.jsonl``. A file without a partner is left out, which is printed.

    Raises:
        DataError: the dev data cannot be used.
        PredictionError: no file has a partner.
    """
    pairs = []
    folders = list(dict.fromkeys(path.parent for path in files))
    of_dev = _files_of(folders, dev)
    for path in files:
        other = _partner(path, [one for one in of_dev if one.parent == path.parent])
        if other is None:
            other = _named_for_dev(path, source, dev)
        if other is not None:
            pairs.append((path, other))
    if not pairs:
        raise PredictionError(
            f"no file of {source} has a matching file for {dev}; generate one for each with {dev}, or name FILEs "
            "and --dev-pool"
        )
    return pairs


def _files_of(folders: Sequence[Path], source: str) -> list[Path]:
    """Return the files of folders that belong to the data."""
    dialogues = read_dialogues(source)
    ids, hashes = [dialogue.id for dialogue in dialogues], _hashes(dialogues)
    fitting = []
    for path in [path for folder in folders for path in sorted(folder.glob("*.jsonl"))]:
        try:
            _check(path, source, read_lines(path), ids, hashes)
        except PredictionError as error:
            if _is_named_after(path, source):
                say(f"{error}; left out")
            continue
        fitting.append(path)
    return fitting


def _partner(path: Path, others: Sequence[Path]) -> Path | None:
    """Return the other file that was generated in the same way; None: no file was, or that is not known."""
    own = read_identity(path)
    if own is None:
        return None
    known = [(other, identity) for other in others if (identity := read_identity(other)) is not None]
    same = [(other, len(differences(own, identity))) for other, identity in known if own.same_setup(identity)]
    return min(same, key=lambda pair: (pair[1], -pair[0].stat().st_mtime), default=(None, 0))[0]


def _named_for_dev(path: Path, source: str, dev: str) -> Path | None:
    """Return the dev file with the matching name, if one of the two has no identity; a missing file is printed."""
    own = read_identity(path)
    if _is_named_after(path, source):
        other = path.with_name(source_name(dev) + path.name.removeprefix(source_name(source)))
        if other.is_file() and (own is None or read_identity(other) is None):
            return other
    if own is None and not _is_named_after(path, source):
        reason = f"has no identity next to it and is not named after {source}, so its file for {dev} is not known"
    elif own is None:
        reason = f"{other.name}: no such file"
    else:
        reason = f"no file next to it was generated for {dev} with the same engine, prompt and decoding"
    say(f"{path}: {reason}; left out: generate it for {dev} too, or name FILEs and --dev-pool")
    return None


def _is_named_after(path: Path, source: str) -> bool:
    """Return whether a file has the name that `generate` gives to files of the data."""
    return path.name.startswith(f"{source_name(source)}.")


def _hashes(dialogues: Sequence[Dialogue]) -> dict[str, str]:
    return {dialogue.id: dialogue_hash(dialogue.text) for dialogue in dialogues}


def _check(
    path: Path, others: str, lines: dict[str, list[Line]], ids: Sequence[str], hashes: dict[str, str]
) -> None:
    """Check that a file has the ids and dialogues of the others; add the hashes that were not known."""
    check_ids(path, list(lines), ids, others)
    check_dialogues(
        path,
        (
            (
                name,
                all(not line.dialogue or line.dialogue == hashes.setdefault(name, line.dialogue) for line in own),
            )
            for name, own in lines.items()
        ),
        others,
    )


def _member(
    name: str,
    path: Path,
    rows: Sequence[Sequence[Line]],
    dialogues: Sequence[Dialogue],
    run_limits: dict[Path, LengthLimits | None],
) -> Member:
    """Post-process a file's texts; `run_limits` caches each run's limits, since reading them prints a notice."""
    texts = tuple(line.text for row in rows for line in row)
    cut_off = tuple(line.cut_off for row in rows for line in row)
    each = len(rows[0])
    run = run_of(path, notify=True)
    steps = [] if run is None else run.recipe().post
    needing = needing_dialogue(steps)
    if needing and not dialogues:
        raise PredictionError(
            f"{path}: the post-processing of its run ({needing[0]}) needs the dialogues; name them: --data FILE"
        )
    if run is not None and run.path not in run_limits:
        run_limits[run.path] = limits_for(run, steps, [dialogue.text for dialogue in dialogues])
    limits = None if run is None else run_limits[run.path]
    spoken = tuple(dialogue.text for dialogue in dialogues for _ in range(each)) if dialogues else None
    texts = RawTexts(texts, spoken, cut_off).finish(steps, limits).texts
    confidence = tuple(tuple(one.confidence for one in row if one.confidence is not None) for row in rows)
    return Member(
        name,
        path,
        tuple(texts[start : start + each] for start in range(0, len(texts), each)),
        confidence if confidence[0] else None,
        tuple(steps),
    )
