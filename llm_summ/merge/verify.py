"""Effect of merging: greedy summaries of the quantized base, the full-precision base and the merged folder."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.errors import GenerationError
from llm_summ.core.progress import Progress, say
from llm_summ.data import Dialogue
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.engines.hf import HfEngine
from llm_summ.generate.settings import GenerationSettings
from llm_summ.generate.summarizer import Summarizer
from llm_summ.merge.layers import LayerSum, check_layers, expected_layers
from llm_summ.merge.verification import MergeVerification, ModelVariant
from llm_summ.models.adapter import attach_adapter
from llm_summ.models.base import load_tokenizer, pick_dtype
from llm_summ.models.device import Device
from llm_summ.models.families import family_of_config
from llm_summ.models.load import load_base, quantization_config
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample
from llm_summ.prompt.saved_prompt import trained_renderer
from llm_summ.recipe import ModelFields, PostStep, Recipe
from llm_summ.runs.run import Run

__all__ = ["MergeSources", "texts_folder", "verify_merge"]


@dataclass(frozen=True, slots=True)
class MergeSources:
    """A run's adapter, and the base that it is merged into.

    Attributes:
        run: whose adapter.
        recipe: the run's recipe.
        adapter: the adapter's configuration.
        location: folder or hub id of the base.
        device: the device to merge and to generate on.
        dtype: name of the dtype of the merge.
    """

    run: Run
    recipe: Recipe
    adapter: Mapping[str, Any]
    location: str
    device: Device
    dtype: str


def texts_folder(run: Run) -> Path:
    """Return the folder of a verification's texts: not the merged folder, since that may be published."""
    return run.path / "merged.verify"


def verify_merge(
    sources: MergeSources, folder: Path, renderer: Renderer, data: str, dialogues: Sequence[Dialogue]
) -> MergeVerification:
    """Generate with each system, one after the other, and score what they wrote.

    Args:
        sources: of the merge.
        folder: the merged model.
        renderer: the training's.
        data: the data file, as the user named it.
        dialogues: of the data file, each with a reference; at least one.

    Raises:
        GenerationError: the device has too little memory. The merged folder is complete nevertheless.
    """
    import torch

    run, recipe, location, device = sources.run, sources.recipe, sources.location, sources.device
    fields, model, dtype = recipe.generate, recipe.model, sources.dtype
    full = getattr(torch, dtype)
    renderer.prepare(dialogues)
    rows = [renderer.prompt(dialogue) for dialogue in dialogues]

    def with_adapter(name: str, base: Any) -> tuple[ModelVariant, list[LayerSum]]:
        attached = attach_adapter(base, run, merge=False)
        sums = expected_layers(attached, sources.adapter, full) if name.startswith(dtype) else []
        engine = HfEngine(attached, pad_id=renderer.pad_id, batch_size=fields.batch_size, frame=renderer.frame)
        return _system(name, engine, renderer, recipe, dialogues, rows), sums

    systems = []
    try:
        if model.quantization != "none":
            compute = getattr(torch, pick_dtype(model, location, device, model.compute_dtype, training=True))
            kind, double = model.quantization, model.double_quantization
            say(f"Loading {model.base} ({kind}, {device.name})")
            quantization = quantization_config(kind, double=double, compute_dtype=compute)
            base = load_base(model, location, device, compute, quantization)
            if kind != "int8":
                # Bit for bit the products of the training, without dequantizing the weights at every token.
                base = base.dequantize(dtype=compute)
            systems.append(with_adapter(f"{kind} + adapter", base)[0])
            del base
            _free()
        say(f"Loading {model.base} ({dtype}, {device.name})")
        base = load_base(model, location, device, full)
        system, sums = with_adapter(f"{dtype} + adapter", base)
        systems.append(system)
        del base
        _free()
        say(f"Loading {folder}")
        merged = ModelFields(base=str(folder), trust_remote_code=model.trust_remote_code)
        tokenizer = load_tokenizer(merged, str(folder))
        merged_renderer = trained_renderer(run, recipe.prompt, tokenizer)
        merged_renderer.prepare(dialogues)
        own_rows = [merged_renderer.prompt(dialogue) for dialogue in dialogues]
        loaded = load_base(merged, str(folder), device, "auto")
        layers = check_layers(loaded, sums)
        engine = _AsLoaded(loaded, tokenizer, fields.batch_size)
        systems.append(_system("merged, as loaded", engine, merged_renderer, recipe, dialogues, own_rows))
        del loaded
        _free()
    except (
        torch.OutOfMemoryError,
        GenerationError,
    ) as error:  # an engine's GenerationError also means too little memory
        raise GenerationError(
            f"{device.name}: out of memory while verifying; {folder} is complete; lower generate.batch_size with "
            "--set, or skip the verification: --no-verify"
        ) from error
    others = sum(row.prompt_ids != own.prompt_ids for row, own in zip(rows, own_rows, strict=True))
    return MergeVerification(data, tuple(systems), tuple(_steps(recipe)), layers, others)


class _AsLoaded:
    """Generates as users of the folder would, with its generation configuration; batches are as in `HfEngine`."""

    name = "as loaded"

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self._model, self._tokenizer, self._batch_size = model, tokenizer, batch_size

    def generate(
        self, requests: Sequence[Request], *, stop_id: int, decoding: Decoding = GREEDY, done: Collection[Key] = ()
    ) -> Iterator[Output]:
        """Yield a greedy text for each request, ended by the folder's own stop id."""
        stop_id, family = self._model.generation_config.eos_token_id, family_of_config(self._model.config)
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            rows = {"input_ids": [list(requests[index].prompt_ids) for index in batch]}
            padded = self._tokenizer.pad(rows, padding_side=family.padding_side, return_tensors="pt")
            padded = padded.to(self._model.device)
            longest = max(requests[index].max_new_tokens for index in batch)
            generated = self._model.generate(**padded, max_new_tokens=longest)
            before = family.completion_start(padded["input_ids"].shape[1])
            completions = generated[:, before:].tolist()
            for index, completion in zip(batch, completions, strict=True):
                if stop_id in completion:
                    yield Output(index, tuple(completion[: completion.index(stop_id) + 1]), "stop")
                else:
                    yield Output(index, tuple(completion), "length")

    def close(self) -> None:
        """Free the model."""
        del self._model


def _system(
    name: str,
    engine: Engine,
    renderer: Renderer,
    recipe: Recipe,
    dialogues: Sequence[Dialogue],
    rows: Sequence[TokenizedExample],
) -> ModelVariant:
    """Generate with one system and score its texts; the engine is closed at the end."""
    limit = recipe.generate.max_new_tokens
    settings = GenerationSettings(lambda dialogue: limit)  # greedy
    predictions: dict[int, Prediction] = {}
    with (
        Summarizer(engine, renderer, settings) as summarizer,
        Progress(f"Verifying: {name}", len(dialogues)) as progress,
    ):
        for index, prediction in summarizer.predict(dialogues, rows):
            # Only some of the systems give log-probabilities.
            predictions[index] = replace(prediction, logprob=None)
            progress.advance()
    ordered = tuple(predictions[index] for index in range(len(dialogues)))
    score = RawTexts.of(ordered, dialogues).finish(_steps(recipe)).score(dialogues)
    say(f"{name}: final {score.final:.2f}")
    return ModelVariant(name, ordered, score)


def _free() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _steps(recipe: Recipe) -> list[PostStep]:
    """Return the recipe's steps without ``cut_to_limit``, whose limits were fitted to other texts."""
    return [step for step in recipe.post if step != "cut_to_limit"]
