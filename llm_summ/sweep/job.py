"""One sweep: every setting generated (what is stored is not made again), post-processed and scored."""

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
from llm_summ.generate.summarizer import with_engine
from llm_summ.generate.summary import finish
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore
from llm_summ.score.metric import COMPETITION
from llm_summ.score.significance import Interval, Paired, interval, paired
from llm_summ.sweep.grid import Setting

__all__ = ["SettingSweep", "Swept", "sweep"]

_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Swept:
    """A setting and what it scored.

    Attributes:
        setting: fields and values; empty: what the run's recipe says.
        path: the raw predictions.
        score: of the post-processed texts.
        interval: the 95 % bootstrap interval of the final score; None for a single row.
        versus: beside the recipe's own setting; None for that one, and for a single row.
        length_ratio: characters of all summaries by those of the references (of several, their mean).
        by_length: how many generations ended by length.
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
        """The setting, as it is written after ``--set``."""
        return " ".join(f"{field}={value}" for field, value in self.setting) or "the recipe's own"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
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
        rows: dialogues.
        tried: the settings.
    """

    data: str
    rows: int
    tried: tuple[Swept, ...]

    @property
    def ranked(self) -> list[Swept]:
        """The best first; of equal ones the one that was tried first."""
        return sorted(self.tried, key=lambda one: -one.score.final)

    def verdict(self) -> str:
        """What to make of it, in a line."""
        best = self.ranked[0]
        if not best.setting:
            return "Nothing beats the recipe's own setting."
        if best.versus is None:
            return f"Best: {best.name}; a single row says nothing of chance."
        others = len(self.tried) - 1
        p = min(1.0, best.versus.p_randomisation * others)  # Bonferroni: the best of several is chosen
        sure = "more than chance" if p < _CHANCE else "which chance explains as well"
        return f"Best: {best.name}: {best.versus.difference:+.2f} (p {p:.3f} for the best of {others}), {sure}."

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"data": self.data, "rows": self.rows, "tried": [one.to_json() for one in self.tried]}


def sweep(
    run: Run,
    source: str,
    settings: Sequence[Setting],
    *,
    engine: str | None = None,
    rows: int | None = None,
) -> SettingSweep:
    """Try settings, and keep the result in the run's ``sweeps/``.

    Args:
        run: whose adapter.
        source: data with references.
        settings: fields of ``generate`` and ``post``.
        engine: None takes the recipe's.
        rows: so many of the dialogues are scored, the first ones; None: all. All are generated.

    Raises:
        InputError: the data have no references, or a setting cannot be.
        GenerationError: an engine failed; what was finished is kept, and the same command goes on from there.
    """
    everything = read_dialogues(source, references=True)
    dialogues = everything[:rows]
    if not dialogues:
        raise DataError(f"{source}: no dialogue with a reference to score")
    wanted: list[Setting] = [(), *(setting for setting in settings if setting)]
    written = [[f"{field}={value}" for field, value in setting] for setting in wanted]
    recipes = [run.recipe(with_engine(engine, overrides)) for overrides in written]
    # What is missing is missing now; and what was learnt on all was learnt on the first of them.
    steps = [step for recipe in recipes for step in recipe.post]
    limits = limits_for(run, steps, [dialogue.text for dialogue in everything])
    for setting, recipe in zip(wanted, recipes, strict=True):
        if recipe.generate.n > 1:
            where = " ".join(f"{field}={value}" for field, value in setting) or str(run.recipe_path)
            raise RecipeError(
                f"{where}: n {recipe.generate.n} candidates have no one score; generate them, and choose with "
                "llm-summ select --tune"
            )
    tried: list[Swept] = []
    for number, (setting, recipe) in enumerate(zip(wanted, recipes, strict=True), 1):
        swept = _try(run, source, dialogues, setting, recipe.post, limits, engine, tried[0] if tried else None)
        tried.append(swept)
        say(f"{number} of {len(wanted)}: {swept.name}: final {swept.score.final:.2f}")
    found = SettingSweep(source, len(dialogues), tuple(tried))
    of = text_sha256(json.dumps([source, rows, [dict(one) for one in wanted]]))[:8]
    write_json(run.sweeps / f"{source_name(source)}.{of}.sweep.json", found.to_json())
    return found


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
    by_id = {one.fname: one for one in file.read()}
    predictions = [by_id[dialogue.id] for dialogue in dialogues]
    finished = finish(predictions, dialogues, steps, limits)
    texts = finished.texts
    references = [dialogue.references for dialogue in dialogues]
    score = COMPETITION.score(texts, references)
    finals = [row.final for row in score.per_row]
    several = len(finals) > 1
    lengths = sum(sum(map(len, given)) / len(given) for given in references)
    return Swept(
        setting,
        file.path,
        score,
        interval(finals) if several else None,
        paired([row.final for row in first.score.per_row], finals) if several and first is not None else None,
        sum(map(len, texts)) / max(lengths, 1),
        finished.by_length,
        f"{score.signature}|post:{'+'.join(finished.steps) or 'none'}",
    )
