"""Evaluations during a training: the dev loss, and the competition's score of newly generated summaries."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.errors import GenerationError
from llm_summ.core.files import write_text
from llm_summ.core.progress import Progress, say
from llm_summ.data import Dialogue
from llm_summ.generate.engine import GREEDY, Decoding
from llm_summ.generate.engines.hf import HfEngine
from llm_summ.generate.settings import GenerationSettings, decoding_of
from llm_summ.generate.summarizer import Summarizer
from llm_summ.models.dequantized import with_adapter_merged
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample
from llm_summ.prompt.token_limit import token_limit
from llm_summ.recipe import Recipe
from llm_summ.train.dev_loss import DevLoss

__all__ = ["DevSet", "GeneratedSummary", "evaluation_decoding", "make_dev_set"]


@dataclass(frozen=True, slots=True)
class GeneratedSummary:
    """A generated summary, for people to look at.

    Attributes:
        id: the dialogue's.
        dialogue: its text.
        reference: its first reference.
        hypothesis: what the model wrote, after post-processing.
        score: the competition's, 0 to 100.
    """

    id: str
    dialogue: str
    reference: str
    hypothesis: str
    score: float


@dataclass(frozen=True)
class DevSet:
    """The dialogues that are evaluated during a training.

    Attributes:
        recipe: sets the length limits of summaries, and their post-processing.
        renderer: made the prompts' ids.
        dialogues: those with references, or some of them.
        prompts: a tokenized prompt for each dialogue.
        completions: for each dialogue its prompt with every reference, a row for each reference.
        limits: the maximum number of new tokens of each summary, as `generate` would set it.
    """

    recipe: Recipe
    renderer: Renderer
    dialogues: list[Dialogue]
    prompts: list[TokenizedExample]
    completions: list[list[TokenizedExample]]
    limits: list[int]

    def first(self, rows: int) -> DevSet:
        """Return the first dialogues of this set."""
        return replace(
            self,
            dialogues=self.dialogues[:rows],
            prompts=self.prompts[:rows],
            completions=self.completions[:rows],
            limits=self.limits[:rows],
        )

    def evaluate(
        self, trainer: Any, path: Path, stopped: Callable[[], bool]
    ) -> tuple[dict[str, float | int], list[GeneratedSummary]] | None:
        """Evaluate the current model.

        Every process has to call it; each generates its share.

        Args:
            trainer: holds the model.
            path: where the generated texts are written, as raw predictions.
            stopped: returns whether to stop; called between batches; must be the same in all processes.

        Returns:
            the fields of a log line, and every summary; None if it was stopped.
        """
        losses = DevLoss(trainer, self.prompts, self.completions)
        predictions = self._generate_within_memory(trainer, stopped, losses)
        if predictions is None:
            return None
        # The run has no length limits yet, so the step cut_to_limit changes nothing.
        finished = RawTexts.of(predictions, self.dialogues).finish(self.recipe.post)
        texts = finished.texts
        score = finished.score(self.dialogues)
        samples = [
            GeneratedSummary(dialogue.id, dialogue.text, dialogue.references[0], text, row.final)
            for dialogue, text, row in zip(self.dialogues, texts, score.per_row, strict=True)
        ]
        if trainer.processes.is_first:
            lines = (json.dumps(asdict(prediction), ensure_ascii=False) + "\n" for prediction in predictions)
            write_text(path, "".join(lines))
        return {
            "dev_loss": losses.mean(),
            "dev_score": score.final,
            "dev_rouge1": score.rouge1,
            "dev_rouge2": score.rouge2,
            "dev_rougeL": score.rougeL,
            "dev_by_length": finished.by_length,
            "dev_rows": len(texts),
        }, samples

    def _generate_within_memory(
        self, trainer: Any, stopped: Callable[[], bool], losses: DevLoss
    ) -> list[Prediction] | None:
        """Generate greedy summaries; on out-of-memory the batch size is halved."""
        batch_size = self.recipe.evaluation.batch_size
        while True:
            try:
                return self._generate(trainer, stopped, losses, batch_size)
            except GenerationError:
                # Several processes would have to agree on it while they wait for each other.
                if batch_size == 1 or trainer.processes.world > 1:
                    raise
            batch_size = -(-batch_size // 2)
            say(f"out of memory while evaluating; continuing with {batch_size} prompts at a time")

    def _generate(
        self, trainer: Any, stopped: Callable[[], bool], losses: DevLoss, batch_size: int
    ) -> list[Prediction] | None:
        """Generate greedy summaries of all dialogues, in order; the model is left as it was."""
        model = trainer.accelerator.unwrap_model(trainer.model)
        was_training = model.training
        share = trainer.processes.share(len(self.prompts))
        engine = HfEngine(
            model,
            pad_id=self.renderer.pad_id,
            batch_size=batch_size,
            logprobs=False,
            may_shrink=not trainer.is_sharded,
            frame=self.renderer.frame,
            with_states=losses.add if losses.shares_prompts else None,
        )
        limits = {dialogue.id: limit for dialogue, limit in zip(self.dialogues, self.limits, strict=True)}
        settings = GenerationSettings(lambda dialogue: limits[dialogue.id], evaluation_decoding(self.recipe))
        summarizer = Summarizer(engine, self.renderer, settings)
        losses.of_share(share)
        predictions: dict[int, Prediction] = {}
        try:
            with (
                trainer.accelerator.autocast(),
                with_adapter_merged(model),
                Progress(f"Evaluating step {trainer.state.global_step}", len(share)) as progress,
            ):
                dialogues = [self.dialogues[index] for index in share]
                prompts = [self.prompts[index] for index in share]
                for position, prediction in summarizer.predict(dialogues, prompts):
                    predictions[share[position]] = prediction
                    progress.advance(1)
                    if stopped():
                        return None
        finally:
            model.train(was_training)
        for others in trainer.processes.gather(predictions):
            predictions |= others
        return [predictions[index] for index in range(len(self.prompts))]


def evaluation_decoding(recipe: Recipe) -> Decoding:
    """Return how an evaluation generates: greedily, or as in the recipe's section generate, one text each."""
    fields = recipe.generate
    if recipe.evaluation.decoding == "greedy" or fields.temperature:
        return GREEDY
    return replace(decoding_of(fields), n=1)


def make_dev_set(plan: TrainingPlan) -> DevSet | None:
    """Choose the dialogues to evaluate, by the recipe's seed; None if there are none to score."""
    recipe, renderer = plan.recipe, plan.renderer
    if recipe.evaluation.every == "never" or "dev" not in plan.prompts:
        return None
    pairs = [pair for pair in zip(plan.data["dev"], plan.prompts["dev"], strict=True) if pair[0].references]
    rows = recipe.evaluation.rows
    if rows is not None and rows < len(pairs):
        chosen = sorted(random.Random(recipe.seed).sample(range(len(pairs)), rows))
        pairs = [pairs[index] for index in chosen]
    if not pairs:
        return None
    completions = [
        [renderer.example(dialogue, reference) for reference in dialogue.references] for dialogue, _ in pairs
    ]
    dialogues, prompts = [dialogue for dialogue, _ in pairs], [row for _, row in pairs]
    limits = list(map(token_limit(recipe.generate, plan.limit_predictor), dialogues))
    return DevSet(recipe, renderer, dialogues, prompts, completions, limits)
