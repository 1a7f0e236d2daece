"""One generation: the engine, the model, the dialogues that are left, and the files of the outputs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import PromptError, RecipeError, RunError, listed
from llm_summ.core.files import file_sha256, text_sha256
from llm_summ.core.formatting import counted
from llm_summ.core.optional_packages import installed_version, quiet_libraries, require
from llm_summ.core.progress import Progress, say
from llm_summ.data import Dialogue, read_dialogues, source_name
from llm_summ.generate.duration import COMPLETION_TOKENS
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, unfinished
from llm_summ.generate.engine_choice import choose_engine, faster_engine
from llm_summ.generate.model_source import ModelSource, resolve_model, unreadable_prompts
from llm_summ.generate.placement import choose_placement
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, WORTH_PROVING
from llm_summ.generate.settings import GenerationSettings, decoding_of, with_engine
from llm_summ.generate.summarizer import Summarizer
from llm_summ.models.base import load_tokenizer
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.store import PredictionFile, take_over
from llm_summ.prompt import Renderer, TokenizedExample, render_rows
from llm_summ.prompt.saved_prompt import kept_sha256, other_renderer, saved_limit_predictor, trained_renderer
from llm_summ.prompt.template import load_template
from llm_summ.prompt.token_limit import token_limit
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = ["Generation", "prepare"]


@dataclass(frozen=True, slots=True)
class _Job:
    """The work for one source and prompt; `done` are the candidates that exist already."""

    source: str
    spec: EngineSpec
    prompt: str
    file: PredictionFile
    identity: PredictionIdentity
    renderer: Renderer
    dialogues: list[Dialogue]
    rows: list[TokenizedExample]
    done: frozenset[Key]

    @property
    def name(self) -> str:
        """The source, with the prompt if it is not the trained one."""
        return f"{self.source} {self.prompt}".rstrip()

    def left(self, n: int) -> list[int]:
        """Return the indexes of dialogues that lack one or more of n candidates."""
        return unfinished(len(self.dialogues), n, self.done)

    def up_to_date(self) -> _Job:
        """Return the job with the candidates that its file holds now."""
        return replace(self, done=_done(self.file, self.identity, self.dialogues))


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation whose inputs are all checked; from here on only the engine can fail.

    Attributes:
        jobs: the work for each source and prompt.
        model: generates; it is not loaded yet.
        trained: the renderer of the trained prompt.
        recipe: the run's recipe.
        decoding: how the next token is chosen.
        limit: returns the maximum number of tokens of a dialogue's summary.
        completion_tokens: expected number of tokens of a summary.
    """

    jobs: tuple[_Job, ...]
    model: ModelSource
    trained: Renderer
    recipe: Recipe
    decoding: Decoding
    limit: Callable[[Dialogue], int]
    completion_tokens: int

    def run(self) -> list[PredictionFile]:
        """Generate the missing candidates.

        Returns:
            a prediction file for each prompt and source.

        Raises:
            InputError: the model is unavailable, the engine does not work here, or another process writes a file.
            GenerationError: the engine failed. Finished outputs are kept, and the same command resumes there.
        """
        with contextlib.ExitStack() as stack:
            for job in self.jobs:
                stack.enter_context(job.file.writing())
            self._run([job.up_to_date() for job in self.jobs])
        return [job.file for job in self.jobs]

    def _run(self, jobs: Sequence[_Job]) -> None:
        n = self.decoding.n
        if to_do := [job for job in jobs if job.left(n)]:
            left = [job.rows[index] for job in to_do for index in job.left(n)]
            prompts = [len(row.prompt_ids) for row in left]
            completions = [self.completion_tokens] * (len(left) * n)
            expected = self.model.time()
            if expected is not None:
                say(expected.line(prompts, completions))
            began = time.monotonic()
            engine = self.model.start(self.trained, max(prompts), sum(len(job.rows) * n for job in jobs))
            try:
                if len(completions) >= WORTH_PROVING:
                    self.model.prove(engine, [row.prompt_ids for row in left[:PROMPTS_OF_A_PROOF]])
                for job in to_do:
                    job.file.begin(job.identity)  # only now: an engine that does not start has changed nothing
                    _fill(job, self._summarizer(engine, job), n)
            finally:
                engine.close()
            if expected is not None:
                expected.note(prompts, completions, time.monotonic() - began)

    def _summarizer(self, engine: Engine, job: _Job) -> Summarizer:
        return Summarizer(engine, job.renderer, GenerationSettings.of(self.recipe, job.spec, self.limit))


def prepare(
    run: Run,
    *,
    sources: list[str],
    engine_name: str | None = None,
    untuned: bool = False,
    overrides: Sequence[str] = (),
    prompts: Sequence[str] = (),
    into: Path | None = None,
) -> Generation:
    """Check everything that a generation needs: one summary or several of every dialogue of every source.

    Args:
        run: whose adapter, recipe and prompt.
        sources: data files; empty means the recipe's test and dev data.
        engine_name: None takes the recipe's.
        untuned: leave the adapter out (a baseline to compare with).
        overrides: ``generate.KEY=VALUE``, instead of the values of the run's recipe.
        prompts: templates to use one after the other, instead of the trained one; their outputs are candidates.
            The trained template can be among them.
        into: a folder that holds a file for each setting; by default the run's own folders, where files of other
            settings are set aside. Outputs in the run's other files with the same settings, or with the same ones
            and a higher limit, are copied from there.

    Raises:
        InputError: an input is invalid; nothing was generated.
        GenerationError: the server cannot be reached.
    """
    if others := [override for override in overrides if not override.startswith("generate.")]:
        raise RunError(
            f"--set {others[0]}: has no effect on the generation, and raw predictions are not post-processed; "
            f"for post change {run.recipe_path}, or see llm-summ post --steps"
        )
    recipe = run.recipe(with_engine(engine_name, overrides))
    option = None if sources else "--data PATH"
    sources = sources or [source for source in (recipe.data.test, recipe.data.dev) if source is not None]
    if not sources:
        raise RecipeError(f"{run.recipe_path}: neither data.test nor data.dev; name a file with --data")
    _refuse_same_names(sources)
    data = [read_dialogues(source, option=option) for source in sources]
    data_identities = [
        {"source": source, "sha256": text_sha256("".join(f"{one.id}\t{one.text}\0" for one in dialogues))}
        for source, dialogues in zip(sources, data, strict=True)
    ]
    require("torch", "transformers", "peft", extra="train", why="`llm-summ generate`")
    quiet_libraries()
    fields = recipe.generate
    decoding = decoding_of(fields)
    characters = [len(dialogue.text) for dialogues in data for dialogue in dialogues] * max(1, len(prompts))
    placement = choose_placement(fields)
    spec = choose_engine(fields, placement, lambda: faster_engine(recipe, placement, characters))
    model = resolve_model(spec, run, recipe, untuned=untuned)
    tokenizer = load_tokenizer(recipe.model, model.tokenizer_at)
    trained = trained_renderer(run, recipe.prompt, tokenizer)
    renderers = _renderers(run, recipe, trained, tokenizer, prompts)
    limit = token_limit(fields, lambda: saved_limit_predictor(run))
    identity = {"kept": kept_sha256(run)} | model.identity
    if fields.limit == "predicted":
        identity["budget"] = file_sha256(run.budget_path)
    jobs = []
    problems: list[str] = []
    for label, renderer in renderers.items():
        renderer.prepare([dialogue for dialogues in data for dialogue in dialogues])
        shared_identity = _identity(recipe, renderer, spec, decoding) | identity
        for source, dialogues, data_identity, rendered in zip(
            sources, data, data_identities, _prompts(renderer, label, sources, data), strict=True
        ):
            problems += unreadable_prompts(source, recipe, model.facts, tokenizer, rendered)
            made_of = PredictionIdentity.model_validate(shared_identity | {"data": data_identity})
            parts = [source_name(source), spec.name, "untuned" if untuned else "", label, decoding.label]
            folder = run.predictions if decoding.n == 1 and not label else run.candidates
            if into is not None:
                folder = into
                parts.append(text_sha256(json.dumps(made_of.to_json(), sort_keys=True))[:8])
            file = PredictionFile(folder / f"{'.'.join(filter(None, parts))}.jsonl")
            with file.writing():  # a file that another process writes is refused before a model is loaded
                if into is not None:
                    take_over(file, made_of, [run.predictions, run.candidates, into])
                done = _done(file, made_of, dialogues)
            if done:
                say(f"{file.path}: {len(done)} of {len(dialogues) * decoding.n} already exist")
            jobs.append(_Job(source, spec, label, file, made_of, renderer, dialogues, rendered, done))
    if problems:
        raise PromptError("\n".join(problems))
    return Generation(
        tuple(jobs), model, trained, recipe, decoding, limit, min(fields.max_new_tokens, COMPLETION_TOKENS)
    )


def _done(file: PredictionFile, identity: PredictionIdentity, dialogues: Sequence[Dialogue]) -> frozenset[Key]:
    """Return the candidates that a file holds already."""
    index_by_id = {dialogue.id: index for index, dialogue in enumerate(dialogues)}
    return frozenset((index_by_id[record.fname], record.sample) for record in file.kept(identity))


def _renderers(
    run: Run, recipe: Recipe, trained: Renderer, tokenizer: Any, prompts: Sequence[str]
) -> dict[str, Renderer]:
    """Return the renderers by the name in their files; the trained prompt's name is empty."""
    if not prompts:
        return {"": trained}
    renderers = {}
    for prompt in prompts:
        template = load_template(prompt)
        if template.sha256 == trained.template.sha256:
            renderers[""] = trained
        else:
            # The hash is part of the name: another file of that name is another prompt.
            label = f"prompt-{source_name(prompt)}-{template.sha256[:6]}"
            renderers[label] = other_renderer(run, recipe.prompt, tokenizer, template)
    return renderers


def _prompts(
    renderer: Renderer, label: str, sources: Sequence[str], data: Sequence[Sequence[Dialogue]]
) -> list[list[TokenizedExample]]:
    """Return the prompts of every source; one error lists all that do not fit."""
    rendered, lines = [], []
    for source, dialogues in zip(sources, data, strict=True):
        rows, refused = render_rows(renderer, ((dialogue, None) for dialogue in dialogues))
        rendered.append(rows)
        lines += [f"{source}: {label}{label and ': '}{reason.line()}" for reason in refused]
    if lines:
        raise PromptError("\n".join(lines))
    return rendered


def _fill(job: _Job, summarizer: Summarizer, n: int) -> None:
    """Generate the missing ones of n candidates for each dialogue of one source."""
    dialogues, rows = job.dialogues, job.rows
    shortened = [rows[index].id for index in job.left(n) if rows[index].dropped_turns]
    if shortened and not summarizer.settings.by_messages:
        say(f"{job.name}: {counted(len(shortened), 'prompt')} lost turns to fit: {listed(shortened)}")
    predictions = summarizer.predict(dialogues, rows, job.done)
    started, tokens, new, by_length = time.monotonic(), 0, 0, 0
    label = f"Generating {job.name} ({summarizer.engine.name})"
    with Progress(label, len(dialogues) * n, len(job.done)) as progress, job.file.appending() as out:
        for _, prediction in predictions:
            out.add(prediction)
            new += 1
            tokens += prediction.tokens
            by_length += prediction.finish_reason == "length"
            seconds = max(time.monotonic() - started, 1e-9)
            progress.advance(1, f"{new / seconds:.2f} outputs/s, {tokens / seconds:.0f} tokens/s")
    say(f"{job.file.path}: {new} new, {by_length} cut off at the token limit")


def _identity(recipe: Recipe, renderer: Renderer, spec: EngineSpec, decoding: Decoding) -> dict[str, Any]:
    """Return everything that the texts depend on, except the data and the model's location."""
    fields = recipe.generate
    return {
        "engine": spec.name,
        "version": next((version for name in spec.distributions if (version := installed_version(name))), None),
        "base": recipe.model.base,
        "revision": recipe.model.revision,
        "base_quantization": fields.base_quantization,
        "prompt": recipe.prompt.model_dump(exclude={"template"}) | {"sha256": renderer.template.sha256},
        "stop_id": renderer.stop_id,
        "max_new_tokens": fields.max_new_tokens,
        "limit": fields.limit,
        "decoding": "greedy" if decoding == GREEDY else asdict(decoding) | {"seed": recipe.seed},
    }


def _refuse_same_names(sources: list[str]) -> None:
    names = [source_name(source) for source in sources]
    for name, source in zip(names, sources, strict=True):
        if names.count(name) > 1:
            raise RunError(f"--data {source}: another file is also called {name}; rename one of them")
