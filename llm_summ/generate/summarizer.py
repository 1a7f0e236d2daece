"""The pipeline from dialogues to finished summaries: render, generate, decode, choose a candidate, post-process.

::

    with Summarizer.open("runs/latest") as summarizer:
        for summary in summarizer.summarize(dialogues):
            print(summary.text)

`predict` stops before the choice and yields raw texts, for callers that store them. Messages are not printed, but
sent to the logger ``llm_summ``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import PromptError, RunError
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.generate.engine import Engine, Key, Request
from llm_summ.generate.engine_choice import choose_engine, faster_engine
from llm_summ.generate.long_dialogues import Long, LongSettings, stream_long
from llm_summ.generate.model_source import ModelSource, resolve_model, unreadable_prompts
from llm_summ.generate.placement import choose_placement
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, WORTH_PROVING
from llm_summ.generate.settings import GenerationSettings, request_seed, with_engine
from llm_summ.generate.summary import Summary, best_candidate
from llm_summ.generate.untrained import untrained_recipe
from llm_summ.models.adapter import merged_stamp
from llm_summ.models.base import configuration, load_tokenizer
from llm_summ.models.families import family_of
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample, load_template, make_renderer, render_rows
from llm_summ.prompt.saved_prompt import other_renderer, saved_limit_predictor, trained_renderer
from llm_summ.prompt.token_limit import TokenLimitPredictor, token_limit
from llm_summ.prompt.windows import Window
from llm_summ.recipe import ModelFields, PostStep, Recipe
from llm_summ.runs.run import RUNS, Run, open_run

__all__ = ["Summarizer"]

_LOGPROB_DECIMALS = 2  # further decimals depend on the rest of the batch
_TYPICAL_CHARACTERS = 430  # of a dialogue, to choose an engine before the dialogues are known


class Summarizer:
    """An engine, the prompt that its model was trained on, and the post-processing of its texts.

    Args:
        engine: already started. `close` closes it.
        renderer: renders the prompts, and decodes what is generated.
        settings: how texts are generated.
        post: the steps of post-processing.
        limits: of the step ``cut_to_limit``.
        unreadable: returns a line for each reason why the model cannot read some prompts.
        prove: given a few prompts, raises if the engine does not compute with the trained weights. It is called
            once, before many texts are generated.
        long: how long dialogues are cut; None: into windows that fill the prompt.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        settings: GenerationSettings,
        *,
        post: Sequence[PostStep] = (),
        limits: LengthLimits | None = None,
        unreadable: Callable[[Sequence[TokenizedExample]], list[str]] = lambda rows: [],
        prove: Callable[[Sequence[Sequence[int]]], None] | None = None,
        long: LongSettings | None = None,
    ) -> None:
        self.engine, self.renderer, self.settings = engine, renderer, settings
        self._long = long or LongSettings(renderer.max_prompt_tokens)
        self._post, self._limits = tuple(post), limits
        self._unreadable, self._prove = unreadable, prove

    @classmethod
    def open(
        cls,
        where: Run | Path | str | None = None,
        *,
        engine: str | None = None,
        overrides: Sequence[str] = (),
        prompt: str | None = None,
        expected: int = 1,
    ) -> Self:
        """Load the model of a run, or a folder that `llm-summ merge` has written, into an engine.

        Args:
            where: a run, its name or folder, or a merged folder. None: the latest run.
            engine: the engine's name; None takes the recipe's.
            overrides: ``generate.KEY=VALUE`` or ``post=[…]``, instead of the recipe's values.
            prompt: the name or file of a prompt to use instead of the trained one.
            expected: number of dialogues: ``auto`` chooses an engine that is fast for that many, and there are at
                most as many workers as candidates.

        Raises:
            InputError: the run, its model or the engine is unavailable, or they do not work together.
            GenerationError: the engine does not start.
        """
        run = where if isinstance(where, Run) else open_run(RUNS, None if where is None else str(where))
        recipe = run.recipe(with_engine(engine, overrides))
        require("torch", "transformers", "peft", extra="train", why="a summary")
        quiet_libraries()
        is_merged = merged_stamp(run.path) is not None
        if is_merged:
            recipe = _recipe_of_folder(recipe, run.path)
        spec = _engine_of(recipe, expected)
        # A merged folder is used as a base without an adapter.
        model = resolve_model(spec, run, recipe, untuned=is_merged and spec.can("local"))
        tokenizer = load_tokenizer(recipe.model, model.tokenizer_at)
        if is_merged or prompt is not None:
            template = load_template(prompt or str(run.prompt_path))
            renderer = other_renderer(run, recipe.prompt, tokenizer, template)
        else:
            renderer = trained_renderer(run, recipe.prompt, tokenizer)
        limit = token_limit(recipe.generate, lambda: saved_limit_predictor(run))
        if is_merged and "cut_to_limit" in recipe.post and not run.limits_path.is_file():
            raise RunError(
                f"{run.limits_path}: no such file, and the step cut_to_limit needs it; open the run instead, or "
                "leave the step out with post=[…]"
            )
        characters = saved_limit_predictor(run).characters if run.budget_path.is_file() else None
        return cls._started(
            model, recipe, spec, tokenizer, renderer, limit, expected=expected, characters=characters, run=run
        )

    @classmethod
    def open_base(
        cls,
        base: str,
        *,
        prompt: str = "chat",
        engine: str | None = None,
        overrides: Sequence[str] = (),
        expected: int = 1,
    ) -> Self:
        """Load a model that was not trained here, to summarise by its prompt alone.

        Args:
            base: ``embedded:gemma-3-270m``, a folder of a transformers model, or a hub id.
            prompt: the name or file of a prompt; it can use neither `length` nor `examples`.
            engine: the engine's name; None: ``auto``.
            overrides: ``generate.KEY=VALUE``, ``prompt.KEY=VALUE``, ``model.KEY=VALUE`` or ``post=[…]``.
            expected: as for `open`.

        Raises:
            InputError: the model or the engine is unavailable, or they do not work together.
            GenerationError: the engine does not start.
        """
        require("torch", "transformers", "peft", extra="train", why="a summary")
        quiet_libraries()
        recipe = untrained_recipe(base, prompt, with_engine(engine, overrides))
        spec = _engine_of(recipe, expected)
        model = resolve_model(spec, Run(Path(base)), recipe, untuned=spec.can("local"))
        tokenizer = load_tokenizer(recipe.model, model.tokenizer_at)
        frame = None
        if model.facts is not None:
            frame = family_of(model.facts).frame(tokenizer, configuration(recipe.model, model.tokenizer_at))
        renderer = make_renderer(recipe.prompt, tokenizer, frame=frame)
        limit = token_limit(recipe.generate, _no_predictor)
        return cls._started(model, recipe, spec, tokenizer, renderer, limit, expected=expected)

    @classmethod
    def _started(
        cls,
        model: ModelSource,
        recipe: Recipe,
        spec: EngineSpec,
        tokenizer: Any,
        renderer: Renderer,
        limit: Callable[[Dialogue], int],
        *,
        expected: int,
        run: Run | None = None,
        characters: int | None = None,
    ) -> Self:
        """Start the engine. Without a `run`, no length limits are known."""
        fields = recipe.generate
        longest, context = renderer.max_prompt_tokens, None if model.facts is None else model.facts.context
        if context is not None:  # rendering refuses longer prompts
            # The two contexts of an encoder-decoder are separate.
            left = context if renderer.frame is not None else context - fields.max_new_tokens
            longest = max(1, min(longest, left))
        merge = None
        if renderer.frame is None:  # an encoder-decoder does not follow instructions: the trained prompt is used
            plain = recipe.prompt.model_copy(update={"examples": 0})
            merge = make_renderer(plain, tokenizer, template=load_template("merge"))
        started = model.start(renderer, longest, expected * fields.n)
        return cls(
            started,
            renderer,
            GenerationSettings.of(recipe, spec, limit),
            post=recipe.post,
            limits=None if run is None else limits_for(run, recipe.post, []),
            unreadable=partial(unreadable_prompts, "dialogues", recipe, model.facts, tokenizer),
            prove=partial(model.prove, started),
            long=LongSettings(longest, characters, merge),
        )

    def predict(
        self,
        dialogues: Sequence[Dialogue],
        rows: Sequence[TokenizedExample] | None = None,
        done: Collection[Key] = (),
    ) -> Iterator[tuple[int, Prediction]]:
        """Yield raw predictions with the index of their dialogue, as soon as they are finished, in any order.

        Args:
            dialogues: shape (n,).
            rows: their prompts, shape (n,); None renders them.
            done: candidates that exist already.

        Raises:
            PromptError: prompts do not fit; a line for each reason.
            GenerationError: the engine failed.
        """
        yield from self._predict(dialogues, self.render(dialogues) if rows is None else rows, done, self.renderer)

    def _predict(
        self,
        dialogues: Sequence[Dialogue],
        rows: Sequence[TokenizedExample],
        done: Collection[Key],
        renderer: Renderer,
    ) -> Iterator[tuple[int, Prediction]]:
        settings = self.settings
        requests = [
            Request(
                row.prompt_ids,
                settings.max_new_tokens(dialogue),
                request_seed(settings.seed, dialogue.id),
                renderer.messages(dialogue) if settings.by_messages else (),
                dialogue.text,
            )
            for dialogue, row in zip(dialogues, rows, strict=True)
        ]
        stop_id = renderer.stop_id
        for output in self.engine.generate(requests, stop_id=stop_id, decoding=settings.decoding, done=done):
            if (output.index, output.sample) in done:
                continue
            dialogue = dialogues[output.index]
            yield (
                output.index,
                Prediction(
                    dialogue.id,
                    dialogue_hash(dialogue.text),
                    renderer.decode(output.token_ids) if output.text is None else output.text,
                    len(output.token_ids) or output.tokens,
                    output.finish_reason,
                    output.sample,
                    None if output.logprob is None else round(output.logprob, _LOGPROB_DECIMALS),
                ),
            )

    def stream(self, dialogues: Sequence[Dialogue], *, long: Long = "truncate") -> Iterator[tuple[int, Summary]]:
        """Yield summaries with the index of their dialogue, as soon as they are finished, in any order.

        Of several candidates, the one that agrees best with the others is chosen (minimum Bayes risk, by the
        competition's score).

        Args:
            dialogues: shape (n,).
            long: a dialogue that is too long for the prompt loses turns (``truncate``), as in the training; or its
                windows are summarised, and their summaries listed or merged. Then `Summary.parts` has them.

        Raises:
            PromptError: prompts do not fit; a line for each reason. Nothing was generated.
            GenerationError: the engine failed.
        """
        if long == "truncate":
            yield from self._stream(dialogues, self.renderer)
            return
        merge = self._long.merge or self.renderer
        yield from stream_long(
            dialogues,
            [self.windows(dialogue) for dialogue in dialogues],
            lambda windows: self._stream(windows, self.renderer),
            None
            if long == "list"
            else (lambda texts: self._stream(texts, merge), lambda texts: self._long.groups(texts, merge)),
        )

    def summarize(self, dialogues: Sequence[Dialogue], *, long: Long = "truncate") -> list[Summary]:
        """Return the summaries of all dialogues in their order, shape (n,); arguments as for `stream`."""
        by_index = dict(self.stream(dialogues, long=long))
        return [by_index[index] for index in range(len(dialogues))]

    def windows(self, dialogue: Dialogue) -> list[Window]:
        """Return the windows in which a dialogue is summarised unless it is truncated; one if it fits.

        Raises:
            PromptError: the instruction alone is too long.
        """
        return self._long.windows(dialogue, self.renderer)

    def asking_for(self, length: int) -> Self:
        """Return a summarizer with the same engine, whose prompt asks for a length; close only one of both.

        Args:
            length: in characters. The nearest one that the model was trained on is used.

        Raises:
            PromptError: the prompt does not ask for a length.
        """
        other = copy.copy(self)
        other.renderer = self.renderer.asking_for(length)
        return other

    def render(self, dialogues: Sequence[Dialogue]) -> list[TokenizedExample]:
        """Return the prompts of dialogues, shape (n,).

        Raises:
            PromptError: some do not fit, or the model cannot read them; a line for each reason.
        """
        return self._render(dialogues, self.renderer)

    def _stream(self, dialogues: Sequence[Dialogue], renderer: Renderer) -> Iterator[tuple[int, Summary]]:
        rows = self._render(dialogues, renderer)
        if self._prove is not None and len(rows) * self.settings.decoding.n >= WORTH_PROVING:
            self._prove([row.prompt_ids for row in rows[:PROMPTS_OF_A_PROOF]])
            self._prove = None
        candidates: dict[int, list[Prediction]] = {}
        for index, prediction in self._predict(dialogues, rows, (), renderer):
            predictions = candidates.setdefault(index, [])
            predictions.append(prediction)
            if len(predictions) == self.settings.decoding.n:
                predictions.sort(key=lambda candidate: candidate.sample)
                repeated = [dialogues[index]] * len(predictions)
                finished = RawTexts.of(predictions, repeated).finish(self._post, self._limits)
                best = best_candidate(finished.texts)
                yield index, Summary(finished.texts[best], predictions[best], finished.changed_by(best))
                del candidates[index]

    def _render(self, dialogues: Sequence[Dialogue], renderer: Renderer) -> list[TokenizedExample]:
        renderer.prepare(dialogues)
        rows, refused = render_rows(renderer, ((dialogue, None) for dialogue in dialogues))
        if lines := [reason.line() for reason in refused] or self._unreadable(rows):
            raise PromptError("\n".join(lines))
        return rows

    def close(self) -> None:
        """Free memory and end processes.

        Raises:
            GenerationError: a server gave no answer for some dialogues.
        """
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _engine_of(recipe: Recipe, expected: int) -> EngineSpec:
    """Return the engine for a number of dialogues whose lengths are not known yet."""
    placement = choose_placement(recipe.generate)
    characters = [_TYPICAL_CHARACTERS] * expected
    return choose_engine(recipe.generate, placement, lambda: faster_engine(recipe, placement, characters))


def _no_predictor() -> TokenLimitPredictor:
    raise RunError("generate.limit: predicted needs a training; set it to fixed")


def _recipe_of_folder(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe of a merged folder with the folder as its base, which holds unquantized weights."""
    model = ModelFields(base=str(folder), trust_remote_code=recipe.model.trust_remote_code, quantization="none")
    return recipe.model_copy(update={"model": model})
