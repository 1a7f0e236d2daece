"""Post-process stored predictions: the changes of each step in a file, and its gain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llm_summ.core.errors import InputError, RunError
from llm_summ.core.formatting import p_text
from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.source import check_out, resolve_source
from llm_summ.data.summary_file import write_summaries
from llm_summ.evaluate.limits import final_scores
from llm_summ.evaluate.worst import printable
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.post.sweep import Gain, StepSweep, sweep
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.raw_file import run_of
from llm_summ.predictions.summaries import RawSummaries, Summaries, raw_file_summaries, raw_run_summaries
from llm_summ.recipe import PostStep, Recipe
from llm_summ.runs.run import Run
from llm_summ.score.significance import paired

__all__ = ["PostedFile", "SweptFile", "data_of_predictions", "post_files", "sweep_files"]


@dataclass(frozen=True, slots=True)
class PostedFile(JsonRecord):
    """A file after post-processing.

    Attributes:
        path: the predictions.
        data: the data source.
        ids: of the dialogues, in the order of the texts.
        summaries: the texts, and the changes of each step.
        shown: how many texts of each step `lines` shows.
    """

    path: Path
    data: str
    ids: tuple[str, ...]
    summaries: Summaries
    shown: int = 0

    @property
    def heading(self) -> str:
        """The number of summaries."""
        return f"{self.path}: {len(self.summaries.texts):,} summaries"

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs, except texts that no step changed."""
        return {
            "predictions": self.path,
            "data": self.data,
            "rows": len(self.summaries.texts),
            "changed": self.summaries.post,
            "changes": [
                {"step": one.step, "fname": self.ids[one.row], "before": one.before, "after": one.after}
                for one in self.summaries.changes
            ],
        }

    def table(self) -> TextTable:
        """Return how many texts each step changed."""
        rows = [[step, f"{rows:,}"] for step, rows in self.summaries.post.items()]
        return TextTable(["step", "rows changed"], rows)

    def lines(self) -> list[str]:
        """Return the first texts that each step changed, before and after."""
        lines = []
        for step in self.summaries.post if self.shown else ():
            for change in [one for one in self.summaries.changes if one.step == step][: self.shown]:
                lines += [
                    f"{step}  {printable(self.ids[change.row])}",
                    f"  before  {_visible(change.before)}",
                    f"  after   {_visible(change.after)}",
                ]
        return lines


@dataclass(frozen=True, slots=True)
class SweptFile(JsonRecord):
    """The gain of each step for a file.

    Attributes:
        path: the predictions.
        data: the data source.
        swept: the results of all steps.
    """

    path: Path
    data: str
    swept: StepSweep

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {"predictions": self.path, "data": self.data, **self.swept.json_fields()}

    @property
    def heading(self) -> str:
        """The file, the data, and the score of the list that the sweep began with."""
        return f"{self.path} on {self.data}: {self.swept.final:.2f} with [{', '.join(self.swept.steps)}]"

    def table(self) -> TextTable:
        """Return a line a step, the one that gains most first."""
        rows = [
            [
                one.step,
                "listed" if one.listed else "",
                f"{one.rows:,}",
                f"{one.final_without:.2f}",
                f"{one.final_with:.2f}",
                *(_gain(one.gain) if one.rows else ("", "", "")),
            ]
            for one in self.swept.worths
        ]
        return TextTable(["step", "", "rows", "without", "with", "more", "95 % interval", "p"], rows)

    def lines(self) -> list[str]:
        """Return which steps gain or cost more than chance, and the list for the recipe."""
        swept = self.swept
        if not swept.added and not swept.removed:
            tried = sum(one.rows > 0 for one in swept.worths)
            why = f" (p below 0.05 / {tried}, the steps that change anything)" if tried else ""
            return [f"no step gains or costs more than chance here{why}: leave the list as it is"]
        lines = [
            f"{what} more than chance: {', '.join(steps)}"
            for what, steps in (("gain", swept.added), ("cost", swept.removed))
            if steps
        ]
        lines.append(f"for the recipe, and for runs/NAME/recipe.yaml: post: [{', '.join(swept.recommended)}]")
        if len(swept.added) + len(swept.removed) > 1:
            lines.append("each was tried alone; score the whole list: llm-summ post --sweep --steps …")
        return lines


def data_of_predictions(predictions: Sequence[Path] | Run) -> str:
    """Return the default data of predictions: the dev data of their run's recipe.

    Raises:
        InputError: the predictions are not a run's.
        RunError: the recipe names no dev data.
    """
    owner = predictions if isinstance(predictions, Run) else run_of(predictions[0])
    if owner is None:
        assert not isinstance(predictions, Run)
        raise InputError(f"--data is missing: name the data that {predictions[0]} is of")
    dev = owner.recipe().data.dev
    if dev is None:
        raise RunError(f"{owner.recipe_path}: names no data.dev; name the data of the predictions: --data FILE")
    return dev


def post_files(
    predictions: Sequence[Path] | Run,
    source: str,
    steps: Sequence[PostStep] | None = None,
    *,
    out: Path | None = None,
    force: bool = False,
    shown: int = 0,
) -> Iterator[PostedFile]:
    """Post-process the predictions of a run, or of each file, and write the result if `out` is given.

    Args:
        predictions: the files, or the run.
        source: the data that they are of.
        steps: None: those of the recipe, or the default ones.
        out: the file to write; None: nothing is written.
        force: whether to replace an existing file.
        shown: how many texts of each step are shown before and after.

    Raises:
        InputError: the data or a file cannot be used, or the result cannot be written.
    """
    inputs = [] if isinstance(predictions, Run) else list(predictions)
    if out is not None:
        check_out(out, inputs=[*inputs, resolve_source(source)], force=force)
    dialogues = read_dialogues(source)
    ids = tuple(dialogue.id for dialogue in dialogues)
    for raw, its_steps in _with_steps(predictions, source, dialogues, steps):
        summaries = raw.finish(its_steps)
        if out is not None:
            check_out(out, inputs=[*inputs, resolve_source(source)], force=force)
            write_summaries(out, ids, summaries.texts)
        yield PostedFile(raw.path, source, ids, summaries, shown)


def sweep_files(
    predictions: Sequence[Path] | Run, source: str, steps: Sequence[PostStep] | None = None
) -> Iterator[SweptFile]:
    """Score the predictions of a run, or of each file, with and without every step; arguments: see `post_files`.

    Raises:
        InputError: the data or a file cannot be used, or a dialogue has no reference.
    """
    dialogues = read_dialogues(source, references=True)
    spoken = [dialogue.text for dialogue in dialogues]
    score = final_scores(dialogues)
    for raw, its_steps in _with_steps(predictions, source, dialogues, steps):
        has_limits = raw.run is not None and raw.run.limits_path.is_file()
        limits = limits_for(raw.run, ["cut_to_limit"] if has_limits else its_steps, spoken)
        finish = partial(_texts_after, raw.raw, limits)
        yield SweptFile(raw.path, source, sweep(finish, its_steps, score, _compare))


def _with_steps(
    predictions: Sequence[Path] | Run,
    source: str,
    dialogues: Sequence[Dialogue],
    steps: Sequence[PostStep] | None,
) -> Iterator[tuple[RawSummaries, Sequence[PostStep]]]:
    """Yield the stored predictions with their steps; all are read first."""
    if isinstance(predictions, Run):
        files = [raw_run_summaries(predictions, source, dialogues)]
    else:
        files = [raw_file_summaries(path, source, dialogues) for path in predictions]
    default: list[PostStep] = Recipe.model_fields["post"].default
    for raw in files:
        own = default if raw.run is None else raw.run.recipe().post
        yield raw, own if steps is None else steps


def _texts_after(raw: RawTexts, limits: LengthLimits | None, steps: Sequence[PostStep]) -> Sequence[str]:
    return raw.finish(steps, limits).texts


def _compare(before: Sequence[float], after: Sequence[float]) -> Gain:
    found = paired(before, after)
    return Gain(found.difference, found.low, found.high, found.p_randomisation)


def _gain(gain: Gain) -> tuple[str, str, str]:
    return f"{gain.difference:+.2f}", f"{gain.low:+.2f} to {gain.high:+.2f}", p_text(gain.p)


def _visible(text: str) -> str:
    """Return a text on one line, with its ends, and with invisible characters escaped."""
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return f"«{''.join(shown)}»"
