"""Plan a training before the base model's weights are loaded: its data, its tokenized examples, its steps."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from llm_summ.core.errors import InputError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.models.base import base_location, configuration, load_tokenizer, pick_dtype
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.device import Device, find_device
from llm_summ.models.families import ModelFamily, family_of
from llm_summ.models.gate import pass_gate
from llm_summ.models.trained_weights import trained_weights
from llm_summ.prompt import (
    ExamplePool,
    LengthTarget,
    Refused,
    Renderer,
    TokenizedExample,
    load_template,
    make_renderer,
    render_rows,
)
from llm_summ.prompt.token_limit import TokenLimitPredictor
from llm_summ.recipe import Recipe

__all__ = ["TrainingPlan", "make_plan"]


@dataclass(frozen=True)
class TrainingPlan:
    """A training that can start, unless there are `failures`.

    Attributes:
        recipe: of the training.
        location: the base model's folder or hub id.
        facts: from the base's configuration.
        device: to train on.
        dtype: name of the dtype to compute in.
        tokenizer: the base model's tokenizer; its end-of-sequence token is the stop token.
        renderer: made the rows' ids.
        rows: the training rows, one for each dialogue and reference.
        prompts: the prompts of `generate` for the dialogues of dev and test.
        data: the dialogues of each part that the recipe names.
        refused: by part, the rows that cannot be rendered, and why.
        base_notes: notes about the base.
        length: returns the target length for the prompt, if the template uses one.
        pool: the dialogues that few-shot examples are taken from, if the recipe uses some.
        fixed_steps: the number of steps that fit into `train.max_minutes`, once that is known.
    """

    recipe: Recipe
    location: str
    facts: BaseFacts
    device: Device
    dtype: str
    tokenizer: Any
    renderer: Renderer
    rows: list[TokenizedExample]
    prompts: dict[str, list[TokenizedExample]]
    data: dict[str, list[Dialogue]]
    refused: dict[str, list[Refused]]
    base_notes: tuple[BaseFinding, ...] = ()
    length: LengthTarget | None = None
    pool: ExamplePool | None = None
    fixed_steps: int | None = None

    @property
    def family(self) -> ModelFamily:
        """The model family of the base."""
        return family_of(self.facts)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last one has the rest of the rows."""
        return math.ceil(len(self.rows) / self.recipe.train.batch_size) or 1

    @property
    def steps(self) -> int:
        """Optimizer steps of the training."""
        return self.fixed_steps or self.all_steps

    @property
    def all_steps(self) -> int:
        """Optimizer steps without a limit of time."""
        train = self.recipe.train
        return train.max_steps or math.ceil(train.epochs * self.steps_per_epoch)

    @property
    def micro_batch_size(self) -> int:
        """Rows at a time that the recipe asks for; as long as no memory is estimated, `auto` is 1."""
        train = self.recipe.train
        return 1 if train.micro_batch_size == "auto" else min(train.micro_batch_size, train.batch_size)

    def ending_at(self, steps: int) -> TrainingPlan:
        """Return the plan of a training that ends after `steps` steps."""
        return replace(self, fixed_steps=steps)

    @property
    def scorable(self) -> int:
        """Dialogues of dev that have a summary to be scored with."""
        return sum(bool(dialogue.references) for dialogue in self.data.get("dev", ()))

    @property
    def evaluations(self) -> int:
        """The number of evaluations on dev; the last step is always evaluated."""
        interval = self.evaluation_interval
        return math.ceil(self.steps / interval) if interval and self.scorable else 0

    @property
    def evaluation_interval(self) -> int:
        """Optimizer steps between evaluations; 0: there are none."""
        every = self.recipe.evaluation.every
        if every == "never":
            return 0
        return self.steps_per_epoch if every == "epoch" else every

    @property
    def texts(self) -> Iterator[str]:
        """All dialogues and summaries."""
        for dialogues in self.data.values():
            for dialogue in dialogues:
                yield dialogue.text
                yield from dialogue.references

    @property
    def all_rows(self) -> Iterator[TokenizedExample]:
        """The training rows, and the prompts of dev and test."""
        return itertools.chain(self.rows, *self.prompts.values())

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, prompts and completions."""
        return sum(map(len, self.rows))

    @property
    def completion_tokens(self) -> int:
        """Tokens of one epoch that are targets."""
        return sum(row.target_tokens for row in self.rows)

    @property
    def failures(self) -> list[str]:
        """Why the training cannot start: a line for each reason why rows cannot be rendered, or none is left."""
        fields = self.recipe.data
        sources = {"train": ", ".join(fields.train_sources), "dev": fields.dev, "test": fields.test}
        lines = [f"{sources[part]}: {refused.line()}" for part, rows in self.refused.items() for refused in rows]
        return lines if self.rows else [*lines, "no training row is left"]

    def limit_predictor(self) -> TokenLimitPredictor:
        """Fit and return the predictor of summary lengths on the training completions."""
        dialogues = {dialogue.id: dialogue for dialogue in self.data["train"]}
        return TokenLimitPredictor.fit(
            [dialogues[row.id] for row in self.rows], [row.target_tokens for row in self.rows]
        )

    @property
    def shortened(self) -> list[str]:
        """Ids of the training rows whose prompt lost turns."""
        return [row.id for row in self.rows if row.dropped_turns]


def make_plan(
    recipe: Recipe, begin: Callable[[dict[str, list[Dialogue]], str, str], None] | None = None
) -> TrainingPlan:
    """Read the data, load the tokenizer and render every row.

    Args:
        recipe: the recipe.
        begin: called with the data, the model's location and the dtype before the rows are rendered: tokenizing
            releases Python's lock, so another thread can work meanwhile.

    Raises:
        InputError: the training could not work; a line for every error.
    """
    errors: list[InputError] = []
    template = location = passed = tokenizer = None
    with _collect(errors):
        template = load_template(recipe.prompt.template)
    data = _read(recipe, errors)
    errors += trained_weights(recipe).recipe_errors(recipe.lora)
    with _collect(errors):
        location = base_location(recipe.model)
        passed = pass_gate(recipe, location, "train")
        tokenizer = load_tokenizer(recipe.model, location)
    if errors or template is None or location is None or passed is None or tokenizer is None:
        raise errors[0] if len(errors) == 1 else InputError("\n".join(map(str, errors)))
    facts, notes = passed
    device = find_device()
    dtype = pick_dtype(recipe.model, location, device, recipe.model.compute_dtype, training=True)
    if not facts.has_token(tokenizer.pad_token_id):
        tokenizer.pad_token = None  # the renderer pads with the stop token, and padding is masked
    if begin is not None:
        begin(data, location, dtype)
    length = pool = None
    if template.uses("length"):
        length = LengthTarget.fit(data["train"], recipe.prompt.length_buckets)
    if recipe.prompt.examples:
        pool = ExamplePool(data["train"])
    frame = family_of(facts).frame(tokenizer, configuration(recipe.model, location))
    renderer = make_renderer(
        recipe.prompt, tokenizer, template=template, examples=pool, length=length, frame=frame
    )
    renderer.prepare([dialogue for dialogues in data.values() for dialogue in dialogues])
    refused: dict[str, list[Refused]] = {}
    trained = [(dialogue, reference) for dialogue in data["train"] for reference in dialogue.references]
    rows, refused["train"] = render_rows(renderer, trained)
    prompts: dict[str, list[TokenizedExample]] = {}
    for part in ("dev", "test"):
        if part in data:
            without_references = ((dialogue, None) for dialogue in data[part])
            prompts[part], refused[part] = render_rows(renderer, without_references)
    if "dev" in data and recipe.evaluation.every != "never":
        fit = {row.id for row in prompts["dev"]}
        scored = [
            (dialogue, reference)
            for dialogue in data["dev"]
            if dialogue.id in fit
            for reference in dialogue.references
        ]
        refused["dev"] += render_rows(renderer, scored)[1]
    # The tokenizer is saved with the adapter, so that other programs stop at the token that was trained.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(renderer.stop_id)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return TrainingPlan(
        recipe=recipe,
        location=location,
        facts=facts,
        base_notes=tuple(notes),
        device=device,
        dtype=dtype,
        tokenizer=tokenizer,
        renderer=renderer,
        rows=rows,
        prompts=prompts,
        data=data,
        refused=refused,
        length=length,
        pool=pool,
    )


def _read(recipe: Recipe, errors: list[InputError]) -> dict[str, list[Dialogue]]:
    """Return the dialogues of each part that can be read; add the errors of the others to `errors`."""
    fields, data = recipe.data, dict[str, list[Dialogue]]()
    with _collect(errors):
        data["train"] = read_dialogues(
            fields.train_sources,
            references=True,
            shuffle=recipe.seed if fields.shuffle else None,
            limit=fields.limit,
            option="--set data.train=PATH",
        )
    for part, source in (("dev", fields.dev), ("test", fields.test)):
        if source is not None:
            with _collect(errors):
                data[part] = read_dialogues(source, option=f"--set data.{part}=PATH")
    return data


@contextlib.contextmanager
def _collect(errors: list[InputError]) -> Iterator[None]:
    """Add an error in the input to `errors`, so that others can be found as well."""
    try:
        yield
    except InputError as error:
        errors.append(error)
