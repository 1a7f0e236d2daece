"""Effect of merging: greedy summaries of the quantized base, the full-precision base and the merged folder."""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llm_summ.core.errors import GenerationError
from llm_summ.core.files import whole_directory, write_text
from llm_summ.core.formatting import labelled
from llm_summ.core.progress import Progress, say
from llm_summ.core.tables import TextTable
from llm_summ.data import Dialogue
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.engines.hf import HfEngine
from llm_summ.generate.summarizer import Summarizer
from llm_summ.generate.summary import finish
from llm_summ.merge.layers import LayerCheck, LayerSum, check_layers, expected_layers
from llm_summ.models.adapter import attach_adapter
from llm_summ.models.base import load_tokenizer, pick_dtype
from llm_summ.models.device import Device
from llm_summ.models.families import family_of_config
from llm_summ.models.load import load_base, quantization_config
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.summaries import signature_after
from llm_summ.prompt import Renderer, TokenizedExample
from llm_summ.prompt.saved_prompt import trained_renderer
from llm_summ.recipe import ModelFields, PostStep, Recipe
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore, score_corpus
from llm_summ.score.corpus import FIGURES
from llm_summ.score.significance import paired

__all__ = ["MergeVerification", "ModelVariant", "texts_folder", "verify_merge"]

_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One variant of the model, and its summaries.

    Attributes:
        name: such as ``nf4 + adapter``.
        predictions: the raw texts, one for each dialogue.
        score: of the post-processed texts.
    """

    name: str
    predictions: tuple[Prediction, ...]
    score: CorpusScore

    @property
    def ended(self) -> int:
        """Number of outputs that the model ended, with the stop token."""
        return sum(prediction.finish_reason == "stop" for prediction in self.predictions)

    def same(self, other: ModelVariant) -> int:
        """Return how many texts are equal to those of another system."""
        pairs = zip(self.predictions, other.predictions, strict=True)
        return sum(one.summary == two.summary for one, two in pairs)


@dataclass(frozen=True, slots=True)
class MergeVerification:
    """The merged folder compared with its sources.

    Attributes:
        data: the data file, as the user named it.
        systems: the quantized base with the adapter, if it was trained on a quantized base; the full-precision
            base with the adapter; the merged folder, loaded from disk.
        post: the steps of post-processing before scoring.
        layers: the check of a few layers; None if the formula does not hold for them.
        other_prompts: number of prompts for which the folder's own tokenizer gives other ids.
    """

    data: str
    systems: tuple[ModelVariant, ...]
    post: tuple[str, ...]
    layers: LayerCheck | None
    other_prompts: int

    @property
    def merged(self) -> ModelVariant:
        """The merged folder."""
        return self.systems[-1]

    @property
    def attached(self) -> ModelVariant:
        """The full-precision base with the adapter attached."""
        return self.systems[-2]

    @property
    def warnings(self) -> list[str]:
        """Warnings, a line each."""
        warnings = []
        if self.layers is not None and not self.layers.rounding <= 1:  # nan too
            warnings.append(
                f"{self.layers.where}: merged weights differ from W + scale B A by up to "
                f"{self.layers.largest:.1e}, {self.layers.rounding:.1f} times what rounding explains; serve the "
                "base with the adapter attached"
            )
        if self.other_prompts:
            warnings.append(
                f"the folder's tokenizer gives other ids than the training's for {self.other_prompts} of "
                f"{len(self.merged.predictions)} prompts; send token ids to the server"
            )
        apart = paired(
            [row.final for row in self.attached.score.per_row], [row.final for row in self.merged.score.per_row]
        )
        if apart.p_randomisation < _CHANCE:
            warnings.append(
                f"merged scores {apart.difference:+.2f} points compared with {self.attached.name} (95 % "
                f"{apart.low:+.2f} to {apart.high:+.2f}, p {apart.p_randomisation:.4f}): more than rounding "
                "explains, since rounding raises scores as often as it lowers them"
            )
        return warnings

    def table(self) -> TextTable:
        """Return the systems, a row each."""
        rows = len(self.merged.predictions)
        headers = (f"greedy, {rows} dialogues", *("R-1", "R-2", "R-L", "final", "merged −", "same texts", "ended"))
        return TextTable(
            headers,
            [
                (
                    system.name,
                    *(f"{getattr(system.score, name):.2f}" for name in FIGURES),
                    "" if system is self.merged else f"{self.merged.score.final - system.score.final:+.2f}",
                    "" if system is self.merged else f"{system.same(self.merged)} of {rows}",
                    f"{system.ended} of {rows}",
                )
                for system in self.systems
            ],
        )

    def lines(self) -> list[str]:
        """Return further results for people that are not in the table."""
        signature = labelled("signature", self._sign(self.merged))
        if self.layers is None:
            return [signature]
        comparison = (
            f"{self.layers.layers} compared with W + scale B A: the largest difference is "
            f"{self.layers.largest:.1e}, {self.layers.rounding:.0%} of what rounding explains"
        )
        return [labelled("layers", comparison), signature]

    def _sign(self, system: ModelVariant) -> str:
        return signature_after(system.score, self.post)

    def to_json(self) -> dict[str, Any]:
        """Return the verification for programs, without the texts."""
        return {
            "data": Path(self.data).name,  # the folder may be published
            "rows": len(self.merged.predictions),
            "systems": [
                {
                    "name": system.name,
                    **{name: getattr(system.score, name) for name in FIGURES},
                    "merged_minus": {
                        name: getattr(self.merged.score, name) - getattr(system.score, name) for name in FIGURES
                    },
                    "same_texts": system.same(self.merged),
                    "ended": system.ended,
                    "signature": self._sign(system),
                }
                for system in self.systems
            ],
            "layers": None if self.layers is None else self.layers.to_json(),
            "other_prompts": self.other_prompts,
            "warnings": self.warnings,
        }

    def write_texts(self, folder: Path) -> None:
        """Write all raw texts, a file for each system."""
        with whole_directory(folder) as building:
            for system in self.systems:
                lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in system.predictions)
                name = system.name.split(",")[0].replace(" ", "")
                write_text(building / f"{name}.jsonl", "".join(lines))


def texts_folder(run: Run) -> Path:
    """Return the folder of a verification's texts: not the merged folder, since that may be published."""
    return run.path / "merged.verify"


def verify_merge(
    run: Run,
    recipe: Recipe,
    adapter: Mapping[str, Any],
    *,
    renderer: Renderer,
    location: str,
    device: Device,
    dtype: str,
    folder: Path,
    source: str,
    dialogues: Sequence[Dialogue],
) -> MergeVerification:
    """Generate with each system, one after the other, and score what they wrote.

    Args:
        run: the run whose adapter was merged.
        recipe: the run's recipe.
        adapter: the adapter's configuration.
        renderer: the training's.
        location: of the base.
        device: the device to generate on.
        dtype: name of the dtype of the merge.
        folder: the merged model.
        source: the data file, as the user named it.
        dialogues: of the data file, each with a reference; at least one.

    Raises:
        GenerationError: the device has too little memory. The merged folder is complete nevertheless.
    """
    import torch

    fields, model = recipe.generate, recipe.model
    full = getattr(torch, dtype)
    renderer.prepare(dialogues)
    rows = [renderer.prompt(dialogue) for dialogue in dialogues]

    def with_adapter(name: str, base: Any) -> tuple[ModelVariant, list[LayerSum]]:
        attached = attach_adapter(base, run, merge=False)
        sums = expected_layers(attached, adapter, full) if name.startswith(dtype) else []
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
    return MergeVerification(source, tuple(systems), tuple(_steps(recipe)), layers, others)


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
            before = padded["input_ids"].shape[1] if family.continues_prompt else 1  # else the decoder's start
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
    predictions: dict[int, Prediction] = {}
    with (
        Summarizer(engine, renderer, max_new_tokens=lambda dialogue: limit, seed=recipe.seed) as summarizer,
        Progress(f"Verifying: {name}", len(dialogues)) as progress,
    ):
        for index, prediction in summarizer.predict(dialogues, rows):
            # Only some of the systems give log-probabilities.
            predictions[index] = replace(prediction, logprob=None)
            progress.advance()
    ordered = tuple(predictions[index] for index in range(len(dialogues)))
    texts = finish(ordered, dialogues, _steps(recipe)).texts
    score = score_corpus(texts, [dialogue.references for dialogue in dialogues])
    say(f"{name}: final {score.final:.2f}")
    return ModelVariant(name, ordered, score)


def _free() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _steps(recipe: Recipe) -> list[PostStep]:
    """Return the recipe's steps without ``cut_to_limit``, whose limits were fitted to other texts."""
    return [step for step in recipe.post if step != "cut_to_limit"]
