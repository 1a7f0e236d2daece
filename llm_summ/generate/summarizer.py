"""The pipeline from dialogues to finished summaries: render, generate, decode, choose a candidate, post-process.

::

    with Summarizer.open("runs/latest") as summarizer:
        for summary in summarizer.summarize(dialogues):
            print(summary.text)

`predict` stops before the choice and yields raw texts, for callers that store them. Messages are not printed, but
sent to the logger ``llm_summ``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from llm_summ.core.errors import PromptError, RunError
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.generate.engine import Engine, Key, Request
from llm_summ.generate.engine_choice import choose_engine, faster_engine
from llm_summ.generate.model_source import resolve_model, unreadable_prompts
from llm_summ.generate.placement import choose_placement
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, WORTH_PROVING
from llm_summ.generate.settings import GenerationSettings, request_seed, with_engine
from llm_summ.generate.summary import Summary, best_candidate
from llm_summ.models.adapter import merged_stamp
from llm_summ.models.base import load_tokenizer
from llm_summ.post.limits import LengthLimits, limits_for
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample, load_template, render_rows
from llm_summ.prompt.saved_prompt import other_renderer, saved_limit_predictor, trained_renderer
from llm_summ.prompt.token_limit import token_limit
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
    ) -> None:
        self.engine, self.renderer, self.settings = engine, renderer, settings
        self._post, self._limits = tuple(post), limits
        self._unreadable, self._prove = unreadable, prove

    @classmethod
    def open(
        cls,
        where: Run | Path | str | None = None,
        *,
        engine: str | None = None,
        overrides: Sequence[str] = (),
        expected: int = 1,
    ) -> Self:
        """Load the model of a run, or a folder that `llm-summ merge` has written, into an engine.

        Args:
            where: a run, its name or folder, or a merged folder. None: the latest run.
            engine: the engine's name; None takes the recipe's.
            overrides: ``generate.KEY=VALUE`` or ``post=[…]``, instead of the recipe's values.
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
        fields = recipe.generate
        placement = choose_placement(fields)
        characters = [_TYPICAL_CHARACTERS] * expected
        spec = choose_engine(fields, placement, lambda: faster_engine(recipe, placement, characters))
        # A merged folder is used as a base without an adapter.
        model = resolve_model(spec, run, recipe, untuned=is_merged and spec.can("local"))
        tokenizer = load_tokenizer(recipe.model, model.tokenizer_at)
        if is_merged:
            template = load_template(str(run.prompt_path))
            renderer = other_renderer(run, recipe.prompt, tokenizer, template)
        else:
            renderer = trained_renderer(run, recipe.prompt, tokenizer)
        limit = token_limit(fields, lambda: saved_limit_predictor(run))
        if is_merged and "cut_to_limit" in recipe.post and not run.limits_path.is_file():
            raise RunError(
                f"{run.limits_path}: no such file, and the step cut_to_limit needs it; open the run instead, or "
                "leave the step out with post=[…]"
            )
        limits = limits_for(run, recipe.post, [])
        longest, context = renderer.max_prompt_tokens, None if model.facts is None else model.facts.context
        if context is not None:  # rendering refuses longer prompts
            longest = max(1, min(longest, context - fields.max_new_tokens))
        started = model.start(renderer, longest, expected * fields.n)
        return cls(
            started,
            renderer,
            GenerationSettings.of(recipe, spec, limit),
            post=recipe.post,
            limits=limits,
            unreadable=partial(unreadable_prompts, "dialogues", recipe, model.facts, tokenizer),
            prove=partial(model.prove, started),
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
        if rows is None:
            rows = self.render(dialogues)
        settings = self.settings
        requests = [
            Request(
                row.prompt_ids,
                settings.max_new_tokens(dialogue),
                request_seed(settings.seed, dialogue.id),
                self.renderer.messages(dialogue) if settings.by_messages else (),
                dialogue.text,
            )
            for dialogue, row in zip(dialogues, rows, strict=True)
        ]
        stop_id = self.renderer.stop_id
        for output in self.engine.generate(requests, stop_id=stop_id, decoding=settings.decoding, done=done):
            if (output.index, output.sample) in done:
                continue
            dialogue = dialogues[output.index]
            yield (
                output.index,
                Prediction(
                    dialogue.id,
                    dialogue_hash(dialogue.text),
                    self.renderer.decode(output.token_ids) if output.text is None else output.text,
                    len(output.token_ids) or output.tokens,
                    output.finish_reason,
                    output.sample,
                    None if output.logprob is None else round(output.logprob, _LOGPROB_DECIMALS),
                ),
            )

    def stream(self, dialogues: Sequence[Dialogue]) -> Iterator[tuple[int, Summary]]:
        """Yield summaries with the index of their dialogue, as soon as they are finished, in any order.

        Of several candidates, the one that agrees best with the others is chosen (minimum Bayes risk, by the
        competition's score).

        Raises:
            PromptError: prompts do not fit; a line for each reason. Nothing was generated.
            GenerationError: the engine failed.
        """
        rows = self.render(dialogues)
        if self._prove is not None and len(rows) * self.settings.decoding.n >= WORTH_PROVING:
            self._prove([row.prompt_ids for row in rows[:PROMPTS_OF_A_PROOF]])
            self._prove = None
        candidates: dict[int, list[Prediction]] = {}
        for index, prediction in self.predict(dialogues, rows):
            predictions = candidates.setdefault(index, [])
            predictions.append(prediction)
            if len(predictions) == self.settings.decoding.n:
                predictions.sort(key=lambda candidate: candidate.sample)
                repeated = [dialogues[index]] * len(predictions)
                finished = RawTexts.of(predictions, repeated).finish(self._post, self._limits)
                best = best_candidate(finished.texts)
                yield index, Summary(finished.texts[best], predictions[best], finished.changed_by(best))
                del candidates[index]

    def summarize(self, dialogues: Sequence[Dialogue]) -> list[Summary]:
        """Return the summaries of all dialogues in their order, shape (n,); errors are those of `stream`."""
        by_index = dict(self.stream(dialogues))
        return [by_index[index] for index in range(len(dialogues))]

    def render(self, dialogues: Sequence[Dialogue]) -> list[TokenizedExample]:
        """Return the prompts of dialogues, shape (n,).

        Raises:
            PromptError: some do not fit, or the model cannot read them; a line for each reason.
        """
        self.renderer.prepare(dialogues)
        rows, refused = render_rows(self.renderer, ((dialogue, None) for dialogue in dialogues))
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


def _recipe_of_folder(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe of a merged folder with the folder as its base, which holds unquantized weights."""
    model = ModelFields(base=str(folder), trust_remote_code=recipe.model.trust_remote_code, quantization="none")
    return recipe.model_copy(update={"model": model})
