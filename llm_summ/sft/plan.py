"""Everything about a training that can be known before the base model's weights are loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llm_summ.data import Dialogue, read_dialogues
from llm_summ.errors import PromptError, RecipeError, listed
from llm_summ.model.base import base_location, load_tokenizer
from llm_summ.prompt import Renderer, Row, load_template, make_renderer
from llm_summ.recipe import Recipe

__all__ = ["TrainingPlan", "make_plan"]

_SHOWN_IDS = 5


@dataclass(frozen=True)
class TrainingPlan:
    """A training that can start.

    Attributes:
        recipe: what was asked for.
        location: the base model's folder or hub id.
        tokenizer: the base model's tokenizer; its end-of-sequence token is the stop token.
        renderer: turned the rows into ids.
        rows: the training rows, one for each dialogue and reference.
        data: the dialogues of each part that the recipe names.
    """

    recipe: Recipe
    location: str
    tokenizer: Any
    renderer: Renderer
    rows: list[Row]
    data: dict[str, list[Dialogue]]

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        train = self.recipe.train
        if train.max_steps is not None:
            return train.max_steps
        micro_batches = math.ceil(len(self.rows) / train.micro_batch_size)
        accumulation = train.batch_size // train.micro_batch_size
        return math.ceil(train.epochs * math.ceil(micro_batches / accumulation))

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, prompts and answers."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def answer_tokens(self) -> int:
        """Tokens of one epoch that are learnt."""
        return sum(len(row.answer_ids) + 1 for row in self.rows)

    @property
    def shortened(self) -> list[str]:
        """Ids of the rows whose prompt lost turns."""
        return [row.id for row in self.rows if row.dropped_turns]

    def lines(self) -> list[str]:
        """A summary for people."""
        recipe, train = self.recipe, self.recipe.train
        lengths = sorted(len(row.input_ids) for row in self.rows)
        token = self.tokenizer.convert_ids_to_tokens(self.renderer.stop_id)
        prompt = f"{recipe.prompt.template} ({'chat' if self.renderer.uses_chat else 'plain text'})"
        lines = [
            f"base      {recipe.model.base}, {recipe.model.quantization}; LoRA r {recipe.lora.r}, "
            f"alpha {recipe.lora.alpha}",
            f"train     {', '.join(recipe.data.train_sources)}: {len(self.rows)} rows, {self.tokens} tokens "
            f"({self.answer_tokens} learnt), longest {lengths[-1]}, median {lengths[len(lengths) // 2]}",
            f"prompt    {prompt}; stop token {token!r} ({self.renderer.stop_id})",
            f"steps     {self.steps} of {train.batch_size} rows ({train.micro_batch_size} at a time), "
            f"learning rate {train.learning_rate:g}",
        ]
        if self.shortened:
            lines.append(
                f"shortened {len(self.shortened)} prompts lost turns ({recipe.prompt.truncation}): "
                + listed(self.shortened)
            )
        return lines


def make_plan(recipe: Recipe) -> TrainingPlan:
    """Read the data, load the tokenizer and render every row.

    Raises:
        DataError, ModelError, PromptError, RecipeError: the training could not work.
    """
    template = load_template(recipe.prompt.template)
    data = {"train": _training_dialogues(recipe)}
    for part, source in (("dev", recipe.data.dev), ("test", recipe.data.test)):
        if source is not None:
            data[part] = read_dialogues(source)
    template.messages(data["train"][0])
    location = base_location(recipe.model)
    tokenizer = load_tokenizer(recipe.model, location)
    renderer = make_renderer(recipe.prompt, tokenizer)
    if recipe.lora.targets == []:
        raise RecipeError("lora.targets: an empty list; expected all-linear or module names such as q_proj")
    rows, refused = [], []
    for dialogue in data["train"]:
        for reference in dialogue.references:
            try:
                rows.append(renderer.example(dialogue, reference))
            except PromptError as error:
                refused.append(str(error))
    if refused:
        more = f"\n… and {len(refused) - _SHOWN_IDS} more" if len(refused) > _SHOWN_IDS else ""
        raise PromptError(
            f"{', '.join(recipe.data.train_sources)}: {len(refused)} rows do not fit:\n"
            + "\n".join(refused[:_SHOWN_IDS])
            + more
        )
    # The trained adapter carries its tokenizer: whoever loads it stops at the token that was trained.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(renderer.stop_id)
    return TrainingPlan(recipe, location, tokenizer, renderer, rows, data)


def _training_dialogues(recipe: Recipe) -> list[Dialogue]:
    fields = recipe.data
    shuffle = recipe.seed if fields.shuffle else None
    return read_dialogues(fields.train_sources, references=True, shuffle=shuffle, limit=fields.limit)
