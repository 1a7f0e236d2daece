"""The summaries that are to be scored or handed in: found, checked against the data, post-processed.

Predictions belong to a data file by content: every dialogue's id and hash must be there. Names do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_summ.core.errors import PredictionError, listed
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, dialogue_hash, read_hypotheses
from llm_summ.data.id_matching import first_counted
from llm_summ.data.prediction_identity import is_raw, run_of
from llm_summ.generate.store import Prediction, PredictionFile
from llm_summ.post import post_process
from llm_summ.post.limits import limits_for
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore

__all__ = ["Summaries", "file_summaries", "find_predictions", "run_summaries"]


@dataclass(frozen=True, slots=True)
class Summaries:
    """One summary for every dialogue of a data file.

    Attributes:
        path: the prediction file.
        texts: the summaries after post-processing, in the order of the dialogues.
        cut_off: whether each generation ended by length; None where the file does not say.
        post: the steps that ran, with the number of texts each changed; empty if none ran.
        engine: what made them, ``.untuned`` added where no adapter was used; None where the file does not say.
        raw: the summaries as the file has them.
        run: whose raw predictions they are; None for any other file.
    """

    path: Path
    texts: tuple[str, ...]
    cut_off: tuple[bool, ...] | None = None
    post: Mapping[str, int] = field(default_factory=dict)
    engine: str | None = None
    raw: tuple[str, ...] = ()
    run: Run | None = None

    @property
    def untuned(self) -> bool:
        """Whether the base model wrote them without an adapter."""
        return self.engine is not None and self.engine.endswith(".untuned")

    def sign(self, score: CorpusScore) -> str:
        """The signature of their score, with the steps of post-processing."""
        return f"{score.signature}|post:{'+'.join(self.post) or 'none'}"


def run_summaries(
    run: Run, source: str, dialogues: Sequence[Dialogue], steps: Sequence[PostStep] | None = None
) -> Summaries:
    """A run's newest predictions for the dialogues, post-processed as its recipe says.

    Args:
        run: whose predictions.
        source: the data file, as the user named it.
        dialogues: its rows.
        steps: instead of the recipe's, on raw predictions.

    Raises:
        PredictionError: the run has no predictions for them; says which command makes them.
    """
    file, predictions = find_predictions(run, source, dialogues)
    return _post_process(run, file, predictions, dialogues, steps)


def file_summaries(
    path: Path, source: str, dialogues: Sequence[Dialogue], steps: Sequence[PostStep] | None = None
) -> Summaries:
    """The summaries of a prediction file: a CSV or JSONL with fname and summary, as it stands.

    The raw predictions of a run are post-processed as that run's recipe says. Those that were moved out of their
    run are taken as they stand, which is said.

    Args:
        path: the prediction file.
        source: the data file, as the user named it.
        dialogues: its rows.
        steps: instead of the recipe's, on raw predictions.

    Raises:
        PredictionError: the predictions cannot be used, or are not of the same ids or dialogues.
    """
    if is_raw(path):
        run = run_of(path, tell=True)
        file = PredictionFile(path)
        found = file.read()
        raw = {prediction.fname: prediction for prediction in found}
        if len(raw) < len(found):
            raise PredictionError(
                f"{path}: holds {len(found)} candidates of {len(raw)} dialogues; choose one of each first: "
                f"llm-summ select {path} --data {source} --out chosen.csv"
            )
        _check_ids(path, source, list(raw), dialogues)
        other = [
            dialogue.id for dialogue in dialogues if raw[dialogue.id].dialogue != dialogue_hash(dialogue.text)
        ]
        if other:
            of_run = "" if run is None else f" --run {run.argument}"
            raise PredictionError(
                f"{path}: made from other dialogues than those of {source} ({len(other)} differ: "
                f"{listed(other)}); make them: llm-summ generate{of_run} --data {source}"
            )
        return _post_process(run, file, [raw[dialogue.id] for dialogue in dialogues], dialogues, steps)
    hypotheses = read_hypotheses(path)
    _check_ids(path, source, list(hypotheses), dialogues)
    texts = tuple(hypotheses[dialogue.id] for dialogue in dialogues)
    return Summaries(path, texts, raw=texts)


def _post_process(
    run: Run | None,
    file: PredictionFile,
    predictions: Sequence[Prediction],
    dialogues: Sequence[Dialogue],
    steps: Sequence[PostStep] | None,
) -> Summaries:
    cut_off = [prediction.finish_reason == "length" for prediction in predictions]
    texts, spoken = [one.summary for one in predictions], [dialogue.text for dialogue in dialogues]
    if steps is None:
        steps = [] if run is None else run.recipe().post
    limits = limits_for(run, steps, spoken)
    report = post_process(texts, cut_off, steps, spoken, limits)
    identity = file.identity()
    untuned = "adapter" in identity and identity["adapter"] is None
    engine = str(identity.get("engine", "unknown")) + ".untuned" * untuned
    return Summaries(file.path, tuple(report.texts), tuple(cut_off), report.changed, engine, tuple(texts), run)


def find_predictions(
    run: Run, source: str, dialogues: Sequence[Dialogue]
) -> tuple[PredictionFile, list[Prediction]]:
    """The newest prediction file of the run that covers the data; tuned before untuned.

    Raises:
        PredictionError: there is none; says which command makes it.
    """
    wanted = [(dialogue.id, dialogue_hash(dialogue.text)) for dialogue in dialogues]
    nearest: tuple[int, Path | None] = (0, None)
    found: list[tuple[bool, float, PredictionFile, list[Prediction]]] = []
    for path in sorted(run.predictions.glob("*.jsonl")) if run.predictions.is_dir() else []:
        file = PredictionFile(path)
        try:
            by_key = {(item.fname, item.dialogue): item for item in file.read()}
        except PredictionError as error:
            say(f"{error}; left out")
            continue
        covered = sum(key in by_key for key in wanted)
        if covered < len(wanted):
            nearest = max(nearest, (covered, path), key=lambda pair: pair[0])
            continue
        found.append((_is_tuned(file), path.stat().st_mtime, file, [by_key[key] for key in wanted]))
    command = f"llm-summ generate --run {run.argument} --data {source}"
    if not found:
        if nearest[1] is not None:
            raise PredictionError(
                f"{nearest[1]}: has {nearest[0]} of the {len(wanted)} dialogues of {source}; "
                f"make the others: {command}"
            )
        raise PredictionError(f"{run.path}: no predictions for the dialogues of {source}; make them: {command}")
    found.sort(key=lambda item: (item[0], item[1]))
    _, _, file, predictions = found[-1]
    others = f" (newest of {len(found)} that fit)" if len(found) > 1 else ""
    say(f"Predictions: {file.path}{others}")
    return file, predictions


def _is_tuned(file: PredictionFile) -> bool:
    return file.identity().get("adapter") is not None


def _check_ids(path: Path, source: str, found: Sequence[str], dialogues: Sequence[Dialogue]) -> None:
    wanted = {dialogue.id for dialogue in dialogues}
    there = set(found)
    missing = [dialogue.id for dialogue in dialogues if dialogue.id not in there]
    extra = [identity for identity in found if identity not in wanted]
    problems = []
    if missing:
        problems.append(f"lacks {len(missing)} of the {len(wanted)} ids of {source} ({listed(missing)})")
    if extra:
        problems.append(f"has {len(extra)} ids that are not in {source} ({listed(extra)})")
    counted = first_counted(found, [dialogue.id for dialogue in dialogues])
    if counted is not None:
        raise PredictionError(
            f"{path}: its ids were made by counting, and from {found[counted]} on they belong to other rows "
            f"({source} has {dialogues[counted].id} there); take each id from the data"
        )
    if problems:
        raise PredictionError(f"{path}: {' and '.join(problems)}; expected exactly the ids of {source}")
