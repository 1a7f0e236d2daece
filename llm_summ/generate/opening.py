"""What a `Summarizer` needs, made from a run, a merged folder, or a base model that was not trained here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import RecipeError, RunError
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.generate.engine import Engine
from llm_summ.generate.engine_choice import choose_engine, faster_engine
from llm_summ.generate.live_batches import BatchedLive
from llm_summ.generate.live_process import EngineProcess
from llm_summ.generate.long_dialogues import LongSettings
from llm_summ.generate.model_source import ModelSource, resolve_model, unreadable_prompts
from llm_summ.generate.placement import choose_placement
from llm_summ.generate.prompt_choice import PromptChoice
from llm_summ.generate.settings import GenerationSettings, with_engine
from llm_summ.models.adapter import merged_stamp
from llm_summ.models.base import configuration, load_tokenizer
from llm_summ.models.families import family_of
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.prompt import ExamplePool, Renderer, Template, TokenizedExample, load_template, make_renderer
from llm_summ.prompt.saved_prompt import other_renderer, saved_limit_predictor, trained_renderer
from llm_summ.prompt.token_limit import TokenLimitPredictor, token_limit
from llm_summ.recipe import ModelFields, PostStep, Recipe, bundled_dir, find_recipe, load_recipe
from llm_summ.runs.run import RUNS, Run, open_run

__all__ = ["ModelChecks", "Opened", "opened_base", "opened_run"]

_TYPICAL_CHARACTERS = 430  # of a dialogue, to choose an engine before the dialogues are known
_EXAMPLES = "sample:train"  # for a prompt with examples
_SECTIONS = ("generate.", "prompt.", "model.", "post=")


@dataclass(frozen=True, slots=True)
class ModelChecks:
    """What is checked before texts are generated.

    Attributes:
        unreadable: returns a line for each reason why the model cannot read some prompts.
        prove: given a few prompts, raises if the engine does not compute with the trained weights; None: no proof.
    """

    unreadable: Callable[[Sequence[TokenizedExample]], list[str]] = lambda rows: []
    prove: Callable[[Sequence[Sequence[int]]], None] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A started engine with everything around it; the attributes are those of `Summarizer`."""

    engine: Engine
    renderer: Renderer
    settings: GenerationSettings
    post: tuple[PostStep, ...]
    limits: LengthLimits | None
    checks: ModelChecks
    long: LongSettings
    prompts: PromptChoice


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that is not loaded yet, with the recipe and the engine that will generate with it."""

    recipe: Recipe
    spec: EngineSpec
    source: ModelSource
    tokenizer: Any

    def start(
        self,
        renderer: Renderer,
        limit: Callable[[Dialogue], int],
        expected: int,
        *,
        prompts: PromptChoice,
        limits: LengthLimits | None = None,
        trained: TokenLimitPredictor | None = None,
        again: Callable[[], Opened] | None = None,
    ) -> Opened:
        """Start the engine.

        Args:
            renderer: renders the prompts.
            limit: returns the maximum number of tokens of a dialogue's summary.
            expected: number of dialogues.
            prompts: that the model can be used with.
            limits: of the step ``cut_to_limit``.
            trained: what is known of the training's texts.
            again: opens the same model in another process, to start the engine live; picklable. None: the engine
                is started in this process.
        """
        recipe, source, facts = self.recipe, self.source, self.source.facts
        longest = renderer.max_prompt_tokens
        if facts is not None and (context := facts.context) is not None:  # rendering refuses longer prompts
            left = family_of(facts).prompt_room(context, recipe.generate.max_new_tokens)
            longest = max(1, min(longest, left))
        # Without a cache it would be made for each request.
        merge = cache(self._merging) if facts is None or family_of(facts).follows_instructions else None
        prove: Callable[[Sequence[Sequence[int]]], None] | None = None
        started: Engine
        if again is None:
            started = source.start(renderer, longest, expected * recipe.generate.n)
            prove = partial(source.prove, started)
        else:
            form = None if source.live is None else source.live(renderer, longest)
            started = EngineProcess(self.spec.name, form or partial(_batched, again, recipe.generate.batch_size))
        return Opened(
            started,
            renderer,
            GenerationSettings.of(
                recipe, self.spec, limit, None if trained is None else trained.summary_characters
            ),
            tuple(recipe.post),
            limits,
            ModelChecks(partial(unreadable_prompts, "dialogues", recipe, source.facts, self.tokenizer), prove),
            LongSettings(longest, None if trained is None else trained.characters, merge),
            prompts,
        )

    def _merging(self) -> Renderer:
        fields = self.recipe.prompt.model_copy(update={"examples": 0})
        template = load_template(str(bundled_dir("prompts") / "merge.md"))
        return make_renderer(fields, self.tokenizer, template=template)


def opened_run(
    where: Run | Path | str | None,
    *,
    engine: str | None,
    overrides: Sequence[str],
    prompt: str | None,
    expected: int,
    live: bool = False,
) -> Opened:
    """Start the model of a run or of a merged folder; arguments and errors are those of `Summarizer.open`."""
    run = where if isinstance(where, Run) else open_run(RUNS, None if where is None else str(where))
    recipe = run.recipe(with_engine(engine, overrides))
    is_merged = merged_stamp(run.path) is not None
    if is_merged:
        recipe = _recipe_of_folder(recipe, run.path)
    # A merged folder is used as a base without an adapter.
    model = _resolved(run, recipe, expected, untuned=is_merged)
    if is_merged or prompt is not None:
        template = load_template(prompt or str(run.prompt_path))
        renderer = other_renderer(run, recipe.prompt, model.tokenizer, template)
    else:
        renderer = trained_renderer(run, recipe.prompt, model.tokenizer)
    limit = token_limit(recipe.generate, lambda: saved_limit_predictor(run))
    if is_merged and "cut_to_limit" in recipe.post and not run.limits_path.is_file():
        raise RunError(
            f"{run.limits_path}: no such file, and the step cut_to_limit needs it; open the run instead, or "
            "leave the step out with post=[…]"
        )
    trained = saved_limit_predictor(run) if run.budget_path.is_file() else None
    limits = limits_for(run, recipe.post, [])
    available = {"length": run.length_path.is_file(), "examples": recipe.prompt.examples > 0}
    prompts = PromptChoice(
        renderer.template,
        lambda template: other_renderer(run, recipe.prompt, model.tokenizer, template),
        frozenset(name for name, is_available in available.items() if is_available),
    )
    again = None
    if live:
        engine, overrides = model.spec.name, _without_engine(overrides)
        again = partial(opened_run, run.path, engine=engine, overrides=overrides, prompt=prompt, expected=expected)
    return model.start(renderer, limit, expected, prompts=prompts, limits=limits, trained=trained, again=again)


def opened_base(
    base: str,
    *,
    prompt: str,
    engine: str | None,
    overrides: Sequence[str],
    expected: int,
    live: bool = False,
) -> Opened:
    """Start a base model; arguments and errors are those of `Summarizer.open_base`."""
    template = load_template(prompt)
    recipe = _recipe_of_base(base, template, with_engine(engine, overrides))
    # The folder is only the place of a run that does not exist.
    model = _resolved(Run(Path(base)), recipe, expected, untuned=True)
    frame = None
    if model.source.facts is not None:
        config = configuration(recipe.model, model.source.tokenizer_at)
        frame = family_of(model.source.facts).frame(model.tokenizer, config)
    pool = ExamplePool(read_dialogues(_EXAMPLES, references=True)) if template.uses("examples") else None
    renderer = make_renderer(recipe.prompt, model.tokenizer, template=template, examples=pool, frame=frame)
    plain = recipe.prompt.model_copy(update={"examples": 0})
    prompts = PromptChoice(
        template, lambda other: make_renderer(plain, model.tokenizer, template=other, frame=frame)
    )
    again = None
    if live:
        engine, overrides = model.spec.name, _without_engine(overrides)
        again = partial(opened_base, base, prompt=prompt, engine=engine, overrides=overrides, expected=expected)
    limit = token_limit(recipe.generate, _no_predictor)
    return model.start(renderer, limit, expected, prompts=prompts, again=again)


def _batched(again: Callable[[], Opened], batch_size: int) -> BatchedLive:
    """Start the live form of an engine that has none of its own, in the process that calls this."""
    return BatchedLive(again().engine, batch_size)


def _without_engine(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if not override.startswith("generate.engine=")]


def _resolved(run: Run, recipe: Recipe, expected: int, *, untuned: bool) -> _Model:
    """Choose the engine for a number of dialogues whose lengths are not known yet, and find the model for it."""
    require("torch", "transformers", "peft", extra="train", why="a summary")
    quiet_libraries()
    placement = choose_placement(recipe.generate)
    characters = [_TYPICAL_CHARACTERS] * expected
    spec = choose_engine(recipe.generate, placement, lambda: faster_engine(recipe, placement, characters))
    source = resolve_model(spec, run, recipe, untuned=untuned and spec.can("local"))
    return _Model(recipe, spec, source, load_tokenizer(recipe.model, source.tokenizer_at))


def _recipe_of_folder(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe of a merged folder with the folder as its base, which holds unquantized weights."""
    model = ModelFields(base=str(folder), trust_remote_code=recipe.model.trust_remote_code, quantization="none")
    return recipe.model_copy(update={"model": model})


def _recipe_of_base(base: str, template: Template, overrides: Sequence[str]) -> Recipe:
    """Return the recipe of a model that is not trained.

    Prompts may be long, and line breaks stay in a summary, since prompts such as ``meeting`` ask for lists. With
    examples, a model that does not know where to stop writes further examples, which are cut off.

    Raises:
        RecipeError: a value is not valid, or its section has no effect here.
    """
    if others := [override for override in overrides if not override.startswith(_SECTIONS)]:
        raise RecipeError(
            f"--set {others[0]}: has no effect without a training; expected a field of generate, prompt or model"
        )
    own = {
        "model.base": json.dumps(base),
        "model.quantization": "none",
        "prompt.template": json.dumps(str(template.path)),
        "prompt.max_prompt_tokens": "4096",
        "generate.limit": "fixed",
        "generate.max_new_tokens": "512",
        "post": "[strip, cut_unfinished]",
    }
    if template.uses("examples"):
        own |= {"prompt.examples": "3", "prompt.max_examples_tokens": "1500"}
        own |= {"post": "[drop_prompt, drop_repeats, strip, join_lines, collapse_whitespace, cut_unfinished]"}
    # A recipe comes from a file; of this one, the training is not used.
    return load_recipe(find_recipe("qlora"), [*(f"{key}={value}" for key, value in own.items()), *overrides])


def _no_predictor() -> TokenLimitPredictor:
    raise RunError("generate.limit: predicted needs a training; set it to fixed")
