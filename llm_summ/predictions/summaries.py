"""Summaries of a prediction file: matched to the data, and post-processed.

Predictions belong to a data file by content: every dialogue's id and hash must be there. Names do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from llm_summ.core.errors import PredictionError
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, dialogue_hash, read_hypotheses
from llm_summ.post.limits import limits_for
from llm_summ.predictions.finished import Finished, RawTexts
from llm_summ.predictions.id_matching import check_dialogues, check_ids
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.raw_file import is_raw, run_of
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run

__all__ = [
    "RawSummaries",
    "Summaries",
    "file_summaries",
    "raw_file_summaries",
    "raw_run_summaries",
    "run_summaries",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries(Finished):
    """One summary for every dialogue of a data file, in the order of the dialogues.

    Attributes:
        path: the prediction file.
        engine: the engine, ``.untuned`` added where no adapter was used; None where the file does not have it.
        run: the run of these raw predictions; None for any other file.
    """

    path: Path
    engine: str | None = None
    run: Run | None = None

    @property
    def untuned(self) -> bool:
        """Whether the base model wrote them without an adapter."""
        return self.engine is not None and self.engine.endswith(".untuned")


@dataclass(frozen=True, slots=True)
class RawSummaries:
    """Texts of a prediction file.

    Attributes:
        path: the prediction file.
        raw: its texts.
        engine: as in `Summaries`.
        run: as in `Summaries`.
    """

    path: Path
    raw: RawTexts
    engine: str | None = None
    run: Run | None = None

    @classmethod
    def of(
        cls,
        file: PredictionFile,
        predictions: Sequence[Prediction],
        dialogues: Sequence[Dialogue],
        run: Run | None,
    ) -> Self:
        """Return the texts of predictions.

        Args:
            file: the file of the predictions.
            predictions: one of each dialogue, in the order of the dialogues.
            dialogues: rows of the data.
            run: the run of the predictions.
        """
        identity = file.identity()
        engine = "unknown" if identity is None else identity.label
        return cls(file.path, RawTexts.of(predictions, dialogues), engine, run)

    def finish(self, steps: Sequence[PostStep] | None = None) -> Summaries:
        """Post-process the texts, with the limits of their run.

        Args:
            steps: None: those of the run's recipe, and no steps where there is not a run.

        Raises:
            RunError: a step needs the run's limits, and they are missing.
        """
        if steps is None:
            steps = [] if self.run is None else self.run.recipe().post
        done = self.raw.finish(steps, limits_for(self.run, steps, self.raw.dialogues or ()))
        return Summaries(
            done.raw, done.texts, done.post, done.changes, path=self.path, engine=self.engine, run=self.run
        )


def run_summaries(run: Run, source: str, dialogues: Sequence[Dialogue]) -> Summaries:
    """Return a run's newest summaries of the dialogues, post-processed by the steps of its recipe.

    Arguments and errors are those of `raw_run_summaries`.
    """
    return raw_run_summaries(run, source, dialogues).finish()


def file_summaries(path: Path, source: str, dialogues: Sequence[Dialogue]) -> Summaries:
    """Return the summaries of a prediction file; a run's raw predictions are post-processed by its recipe's steps.

    Arguments and errors are those of `raw_file_summaries`.
    """
    return raw_file_summaries(path, source, dialogues).finish()


def raw_run_summaries(run: Run, source: str, dialogues: Sequence[Dialogue]) -> RawSummaries:
    """Return a run's newest predictions for the dialogues; those of an adapter take precedence.

    Args:
        run: the run.
        source: the data file, as the user named it.
        dialogues: its rows.

    Raises:
        PredictionError: the run has no predictions for them; the message names the command that makes them.
    """
    expected = [(dialogue.id, dialogue_hash(dialogue.text)) for dialogue in dialogues]
    nearest: tuple[int, Path | None] = (0, None)
    fitting: list[tuple[bool, float, PredictionFile, list[Prediction]]] = []
    for path in sorted(run.predictions.glob("*.jsonl")) if run.predictions.is_dir() else []:
        file = PredictionFile(path)
        try:
            by_key = {(prediction.fname, prediction.dialogue): prediction for prediction in file.read()}
        except PredictionError as error:
            say(f"{error}; left out")
            continue
        covered = sum(key in by_key for key in expected)
        if covered < len(expected):
            nearest = max(nearest, (covered, path), key=lambda pair: pair[0])
            continue
        identity = file.identity()
        is_tuned = identity is not None and not identity.is_baseline
        fitting.append((is_tuned, path.stat().st_mtime, file, [by_key[key] for key in expected]))
    command = f"llm-summ generate --run {run.argument} --data {source}"
    if not fitting:
        if nearest[1] is not None:
            raise PredictionError(
                f"{nearest[1]}: has {nearest[0]} of the {len(expected)} dialogues of {source}; "
                f"make the others: {command}"
            )
        raise PredictionError(f"{run.path}: no predictions for the dialogues of {source}; make them: {command}")
    fitting.sort(key=lambda item: (item[0], item[1]))
    _, _, file, predictions = fitting[-1]
    others = f" (newest of {len(fitting)} that fit)" if len(fitting) > 1 else ""
    say(f"Predictions: {file.path}{others}")
    return RawSummaries.of(file, predictions, dialogues, run)


def raw_file_summaries(path: Path, source: str, dialogues: Sequence[Dialogue]) -> RawSummaries:
    """Return the texts of a prediction file: raw predictions, or a CSV or JSONL with fname and summary.

    Raw predictions that were moved out of their run get no run, which is printed.

    Args:
        path: the prediction file.
        source: the data file, as the user named it.
        dialogues: its rows.

    Raises:
        PredictionError: the predictions cannot be used, or are not of the same ids or dialogues.
    """
    ids = [dialogue.id for dialogue in dialogues]
    if not is_raw(path):
        hypotheses = read_hypotheses(path)
        check_ids(path, list(hypotheses), ids, source)
        texts = tuple(hypotheses[name] for name in ids)
        return RawSummaries(path, RawTexts(texts, tuple(dialogue.text for dialogue in dialogues)))
    run = run_of(path, notify=True)
    file = PredictionFile(path)
    predictions = file.read()
    by_id = {prediction.fname: prediction for prediction in predictions}
    if len(by_id) < len(predictions):
        raise PredictionError(
            f"{path}: has {len(predictions)} candidates of {len(by_id)} dialogues; choose one of each first: "
            f"llm-summ select {path} --data {source} --out chosen.csv"
        )
    check_ids(path, list(by_id), ids, source)
    of_run = "" if run is None else f" --run {run.argument}"
    check_dialogues(
        path,
        ((dialogue.id, by_id[dialogue.id].dialogue == dialogue_hash(dialogue.text)) for dialogue in dialogues),
        source,
        f"make them: llm-summ generate{of_run} --data {source}",
    )
    return RawSummaries.of(file, [by_id[name] for name in ids], dialogues, run)
