"""One sweep: generate (unless stored already), post-process and score with every setting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, RecipeError
from llm_summ.core.files import text_sha256, write_json
from llm_summ.core.progress import say
from llm_summ.data import Dialogue, read_dialogues, source_name
from llm_summ.generate.job import prepare
from llm_summ.generate.settings import with_engine
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.predictions.finished import RawTexts
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore
from llm_summ.score.significance import Interval, Paired, interval, paired
from llm_summ.sweep.grid import Setting

__all__ = ["SettingSweep", "Swept", "sweep"]

_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Swept:
    """A setting and its score.

    Attributes:
        setting: fields and values; empty: the run's recipe without changes.
        path: the raw predictions.
        score: of the post-processed texts.
        interval: the 95 % bootstrap interval of the final score; None for a single row.
        versus: comparison with the recipe's own setting; None for that setting, and for a single row.
        length_ratio: characters of all summaries divided by those of the references (the mean if there are
            several).
        by_length: number of generations that were cut off at the token limit.
        signature: of the score.
    """

    setting: Setting
    path: Path
    score: CorpusScore
    interval: Interval | None
    versus: Paired | None
    length_ratio: float
    by_length: int
    signature: str

    @property
    def name(self) -> str:
        """The setting, as written after ``--set``."""
        return " ".join(f"{field}={value}" for field, value in self.setting) or "the recipe's own"

    def to_json(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {
            "setting": dict(self.setting),
            "predictions": str(self.path),
            **{name: getattr(self.score, name) for name in ("rouge1", "rouge2", "rougeL", "final")},
            "interval": None if self.interval is None else asdict(self.interval),
            "versus": None if self.versus is None else asdict(self.versus),
            "length_ratio": self.length_ratio,
            "by_length": self.by_length,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class SettingSweep:
    """All settings of a sweep, the recipe's own first.

    Attributes:
        data: the data source.
        rows: number of scored dialogues.
        tried: the settings with their scores.
    """

    data: str
    rows: int
    tried: tuple[Swept, ...]

    @property
    def ranked(self) -> list[Swept]:
        """The settings, the best first; ties keep the order in which they were tried."""
        return sorted(self.tried, key=lambda swept: -swept.score.final)

    def verdict(self) -> str:
        """Return the conclusion, in a line."""
        best = self.ranked[0]
        if not best.setting:
            return "No setting beats the recipe's own."
        if best.versus is None:
            return f"Best: {best.name}; a single row cannot show whether this is chance."
        others = len(self.tried) - 1
        p = min(1.0, best.versus.p_randomisation * others)  # Bonferroni: the best of several is chosen
        verdict = "more than chance explains" if p < _CHANCE else "within what chance explains"
        return f"Best: {best.name}: {best.versus.difference:+.2f} (p {p:.3f} for the best of {others}), {verdict}."

    def to_json(self) -> dict[str, Any]:
        """Return the sweep for programs."""
        return {"data": self.data, "rows": self.rows, "tried": [swept.to_json() for swept in self.tried]}


def sweep(
    run: Run,
    source: str,
    settings: Sequence[Setting],
    *,
    engine: str | None = None,
    rows: int | None = None,
) -> SettingSweep:
    """Try settings, and write the result to the run's ``sweeps/``.

    Args:
        run: the run whose model generates.
        source: data with references.
        settings: fields of ``generate`` and ``post``.
        engine: None takes the recipe's.
        rows: number of dialogues to score, from the first one; None: all. Summaries of all dialogues are
            generated.

    Raises:
        InputError: the data have no references, or a setting is invalid.
        GenerationError: an engine failed. Finished outputs are kept, and the same command resumes there.
    """
    everything = read_dialogues(source, references=True)
    dialogues = everything[:rows]
    if not dialogues:
        raise DataError(f"{source}: no dialogue with a reference to score")
    wanted: list[Setting] = [(), *(setting for setting in settings if setting)]
    written = [[f"{field}={value}" for field, value in setting] for setting in wanted]
    recipes = [run.recipe(with_engine(engine, overrides)) for overrides in written]
    # Raise for missing limits before anything is generated. All dialogues are passed, not only the scored ones, so
    # that limits fitted to the whole file are recognized.
    steps = [step for recipe in recipes for step in recipe.post]
    limits = limits_for(run, steps, [dialogue.text for dialogue in everything])
    for setting, recipe in zip(wanted, recipes, strict=True):
        if recipe.generate.n > 1:
            where = " ".join(f"{field}={value}" for field, value in setting) or str(run.recipe_path)
            raise RecipeError(
                f"{where}: a sweep scores one summary a dialogue, found n {recipe.generate.n}; generate the "
                "candidates, and choose with llm-summ select --tune"
            )
    tried: list[Swept] = []
    for number, (setting, recipe) in enumerate(zip(wanted, recipes, strict=True), 1):
        swept = _try(run, source, dialogues, setting, recipe.post, limits, engine, tried[0] if tried else None)
        tried.append(swept)
        say(f"{number} of {len(wanted)}: {swept.name}: final {swept.score.final:.2f}")
    result = SettingSweep(source, len(dialogues), tuple(tried))
    key = text_sha256(json.dumps([source, rows, [dict(setting) for setting in wanted]]))[:8]
    write_json(run.sweeps / f"{source_name(source)}.{key}.sweep.json", result.to_json())
    return result


def _try(
    run: Run,
    source: str,
    dialogues: Sequence[Dialogue],
    setting: Setting,
    steps: Sequence[PostStep],
    limits: LengthLimits | None,
    engine: str | None,
    first: Swept | None,
) -> Swept:
    decoding = [f"{field}={value}" for field, value in setting if field.startswith("generate.")]
    [file] = prepare(run, sources=[source], engine_name=engine, overrides=decoding, into=run.sweeps).run()
    by_id = {prediction.fname: prediction for prediction in file.read()}
    predictions = [by_id[dialogue.id] for dialogue in dialogues]
    finished = RawTexts.of(predictions, dialogues).finish(steps, limits)
    score = finished.score(dialogues)
    finals = [row.final for row in score.per_row]
    several = len(finals) > 1
    lengths = sum(sum(map(len, one.references)) / len(one.references) for one in dialogues)
    return Swept(
        setting,
        file.path,
        score,
        interval(finals) if several else None,
        paired([row.final for row in first.score.per_row], finals) if several and first is not None else None,
        sum(map(len, finished.texts)) / max(lengths, 1),
        finished.by_length,
        finished.sign(score),
    )
