"""One evaluation: find the predictions that belong to a data file, post-process them, score them.

Predictions belong to a data file by content: every dialogue's id and hash must be there. Names do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, read_hypotheses, source_name
from llm_summ.errors import PredictionError, listed
from llm_summ.files import write_json
from llm_summ.generate.store import Prediction, PredictionFile
from llm_summ.post import post_process
from llm_summ.progress import say
from llm_summ.recipe import PostStep
from llm_summ.run import Run
from llm_summ.score import CorpusScore, score_corpus

__all__ = ["Evaluation", "evaluate_file", "evaluate_run"]


@dataclass(frozen=True)
class Evaluation:
    """A score, and what it is a score of.

    Attributes:
        data: the data source.
        predictions: the prediction file.
        score: with the variant of the competition's baseline (package rouge 1.0.1).
        counted: with the variant that counts n-grams (package rouge-score 0.1.2), on the same morphemes.
        post: the steps that ran, with the number of texts each changed; empty if none ran.
        empty: ids of empty summaries; they count as 0.
        by_length: ids of outputs that ended by length; None where the file does not say.
        hypothesis_length: mean characters of a summary.
        reference_length: mean characters of a reference.
    """

    data: str
    predictions: Path
    score: CorpusScore
    counted: CorpusScore
    post: dict[str, int]
    empty: list[str]
    by_length: list[str] | None
    hypothesis_length: float
    reference_length: float

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "data": self.data,
            "predictions": str(self.predictions),
            "rows": self.score.rows,
            "references": list(self.score.references_per_row),
            **{name: getattr(self.score, name) for name in ("rouge1", "rouge2", "rougeL", "final")},
            "signature": self._sign(self.score),
            "rouge-score": {
                **{name: getattr(self.counted, name) for name in ("rouge1", "rouge2", "rougeL", "final")},
                "signature": self._sign(self.counted),
            },
            "post": self.post,
            "empty": self.empty,
            "by_length": self.by_length,
            "mean_characters": {"hypothesis": self.hypothesis_length, "reference": self.reference_length},
        }

    def _sign(self, score: CorpusScore) -> str:
        return f"{score.signature}|post:{'+'.join(self.post) or 'none'}"


def evaluate_run(run: Run, source: str) -> Evaluation:
    """Score a run's predictions for a data file, and keep the score in the run.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: the run has no predictions for them; says which command makes them.
    """
    dialogues = read_dialogues(source, references=True)
    file, predictions = _find(run, source, dialogues)
    engine = str(file.identity().get("engine", "unknown")) + (".untuned" if not _is_tuned(file) else "")
    evaluation = _evaluate_raw(run, source, dialogues, file.path, predictions)
    try:
        write_json(run.scores / f"{source_name(source)}.{engine}.json", evaluation.to_json())
    except OSError as error:
        say(f"{run.scores}: the score is not kept ({error.strerror})")
    return evaluation


def evaluate_file(path: Path, source: str) -> Evaluation:
    """Score a prediction file: a CSV or JSONL with fname and summary, as it stands.

    The raw predictions of a run are post-processed as that run's recipe says.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: the predictions cannot be used, or are not of the same ids.
    """
    dialogues = read_dialogues(source, references=True)
    file = PredictionFile(path)
    folder = path.parent.parent if path.parent.name == "earlier" else path.parent
    run = Run(folder.parent)
    if path.suffix == ".jsonl" and file.identity() and run.recipe_path.is_file():
        raw = {prediction.fname: prediction for prediction in file.read()}
        _check_ids(path, source, list(raw), dialogues)
        other = [
            dialogue.id for dialogue in dialogues if raw[dialogue.id].dialogue != dialogue_hash(dialogue.text)
        ]
        if other:
            raise PredictionError(
                f"{path}: made from other dialogues than those of {source} ({len(other)} differ: "
                f"{listed(other)}); "
                f"make them: llm-summ generate --run {run.argument} --data {source}"
            )
        ordered = [raw[dialogue.id] for dialogue in dialogues]
        return _evaluate_raw(run, source, dialogues, path, ordered)
    hypotheses = read_hypotheses(path)
    _check_ids(path, source, list(hypotheses), dialogues)
    return _evaluate(source, dialogues, path, [hypotheses[dialogue.id] for dialogue in dialogues], None, [])


def _find(run: Run, source: str, dialogues: list[Dialogue]) -> tuple[PredictionFile, list[Prediction]]:
    """The newest prediction file of the run that covers the data; tuned before untuned."""
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


def _check_ids(path: Path, source: str, found: Sequence[str], dialogues: list[Dialogue]) -> None:
    wanted = {dialogue.id for dialogue in dialogues}
    there = set(found)
    missing = [dialogue.id for dialogue in dialogues if dialogue.id not in there]
    extra = [identity for identity in found if identity not in wanted]
    problems = []
    if missing:
        problems.append(f"lacks {len(missing)} of the {len(wanted)} ids of {source} ({listed(missing)})")
    if extra:
        problems.append(f"has {len(extra)} ids that are not in {source} ({listed(extra)})")
    if problems:
        raise PredictionError(f"{path}: {' and '.join(problems)}; expected exactly the ids of {source}")


def _evaluate_raw(
    run: Run, source: str, dialogues: list[Dialogue], path: Path, predictions: Sequence[Prediction]
) -> Evaluation:
    texts = [prediction.summary for prediction in predictions]
    cut_off = [prediction.finish_reason == "length" for prediction in predictions]
    return _evaluate(source, dialogues, path, texts, cut_off, run.recipe().post)


def _evaluate(
    source: str,
    dialogues: list[Dialogue],
    path: Path,
    texts: Sequence[str],
    cut_off: Sequence[bool] | None,
    steps: Sequence[PostStep],
) -> Evaluation:
    """Score texts in the order of the dialogues; `cut_off` is None where it is not known how they ended."""
    report = post_process(texts, cut_off or [False] * len(texts), steps)
    references = [dialogue.references for dialogue in dialogues]
    ids = [dialogue.id for dialogue in dialogues]
    score = score_corpus(report.texts, references, variant="rouge")
    counted = score_corpus(report.texts, references, variant="rouge-score")
    flat = [reference for row in references for reference in row]
    return Evaluation(
        data=source,
        predictions=path,
        score=score,
        counted=counted,
        post=report.changed,
        empty=[ids[index] for index in score.empty],
        by_length=None
        if cut_off is None
        else [identity for identity, cut in zip(ids, cut_off, strict=True) if cut],
        hypothesis_length=sum(map(len, report.texts)) / len(ids),
        reference_length=sum(map(len, flat)) / len(flat),
    )
