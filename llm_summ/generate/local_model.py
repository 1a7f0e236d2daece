"""Engines that generate on this machine with a run's own weights: what they have in common."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from llm_summ.check.memory import device_memory
from llm_summ.core.engine_registry import EngineSpec, names_of_engines_that
from llm_summ.core.errors import EngineError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.generate.duration import generation_time
from llm_summ.generate.engine import Engine
from llm_summ.generate.live import LiveEngine
from llm_summ.generate.live_batches import BatchedLive
from llm_summ.generate.live_local import LiveProof, prompts_of_a_proof
from llm_summ.generate.live_worker import StartLive
from llm_summ.generate.model_source import EngineLoader, ModelSource, other_local_engines
from llm_summ.generate.placement import InProcess, Placement, choose_placement
from llm_summ.generate.proof import adds_nothing, prove
from llm_summ.models.adapter import attach_adapter
from llm_summ.models.base import base_location, model_file, pick_dtype
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import Device
from llm_summ.models.families import family_of
from llm_summ.models.gate import pass_gate
from llm_summ.models.load import load_base
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import largest_rank
from llm_summ.prompt import Renderer
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = ["LocalLoader", "LocalModel", "TokenIds"]

_SMALL = 1_500_000_000  # bytes


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this machine.

    Attributes:
        run: whose adapter.
        recipe: the run's recipe.
        location: the base model's folder or hub id.
        device: where to compute.
        dtype: name of the dtype to compute in.
        rank: of the adapter; 0 leaves it out.
        attach: keep the adapter separate from the base's weights instead of merging it into them.
        is_quantized: whether the base's own weights are quantized.
    """

    run: Run
    recipe: Recipe
    location: str
    device: Device
    dtype: str
    rank: int
    attach: bool
    is_quantized: bool = False

    @property
    def revision(self) -> str | None:
        """The hub's revision of the base; None for a folder."""
        return None if Path(self.location).is_dir() else self.recipe.model.revision

    def is_small(self) -> bool:
        """Return whether the base fits into memory next to an engine, and loads in a second or two."""
        config = model_file(self.recipe.model, self.location, "config.json")
        size = sum(path.stat().st_size for path in config.parent.glob("*.safetensors")) if config else 0
        # Most files have 16 bits per weight; in float32 the model takes twice as much.
        room = device_memory(replace(self.device, kind="cpu")) // 4
        return 0 < size <= _SMALL and 2 * size <= room

    def reference(self) -> Any:
        """Return transformers' model with the adapter attached, on the CPU."""
        import torch

        device = replace(self.device, kind="cpu", name="CPU")
        base = load_base(self.recipe.model, self.location, device, getattr(torch, self.dtype))
        return attach_adapter(base, self.run, merge=False).eval()


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Facts about the prompts that an engine needs before it starts.

    Attributes:
        pad_id: fills shorter prompts of a batch.
        stop_id: ends a completion.
        longest_prompt: tokens of the longest prompt.
        frame: of an encoder-decoder's source and target.
    """

    pad_id: int
    stop_id: int
    longest_prompt: int
    frame: Frame | None = None


class LocalLoader(EngineLoader):
    """Loads a run's base with its adapter, or the whole model where all weights were trained."""

    @abstractmethod
    def attaches(self, recipe: Recipe, adapter: Mapping[str, Any], facts: BaseFacts) -> bool:
        """Return whether the adapter is kept separate from the base's weights instead of merged into them.

        Args:
            recipe: the run's recipe.
            adapter: the adapter's configuration.
            facts: of the base.

        Raises:
            EngineError: the recipe asks for it, and the engine does not support the adapter.
        """

    def reference(self, model: LocalModel) -> Callable[[], Any] | None:
        """Return a function that loads the model to compare with; None: it takes too much time or memory."""
        return model.reference if model.is_small() else None

    @abstractmethod
    def starting(self, model: LocalModel, ids: TokenIds) -> AbstractContextManager[Callable[[], Engine]]:
        """Prepare the model once, and yield a function that starts a worker with it.

        The context is left when all workers have loaded the model. The function may be called in another process,
        so it has to be picklable.
        """

    @contextlib.contextmanager
    def starting_live(self, model: LocalModel, ids: TokenIds) -> Iterator[Callable[[], LiveEngine]]:
        """Prepare the model, and yield a function that starts the live engine with it; both in its own process.

        The context is left when the engine has loaded the model, and entered again for each start.
        """
        with self.starting(model, ids) as start:
            yield lambda: BatchedLive(start(), model.recipe.generate.batch_size)

    def source(self, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
        """Return a base on this machine with the run's adapter, or the whole trained model."""
        weights = None if untuned else trained_weights(recipe).stored(run)
        whole, adapter = (None, None) if weights is None else (weights.model, weights.adapter)
        is_empty = adapter is not None and adds_nothing(run)
        if is_empty:
            nothing = "adds nothing to any layer (its lora_B is zero)"
            say(f"note: {run.adapter} {nothing}: these are the base's summaries")
        location = str(whole or base_location(recipe.model))
        placement = choose_placement(recipe.generate)
        device = placement.device()
        dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
        facts, _ = pass_gate(recipe, location, "generate")
        family = family_of(facts)
        if not self.spec.can(*family.needs):
            able = names_of_engines_that("local", *family.needs)
            advice = f"use --engine {able}, which auto takes" if able else "install an engine that does"
            raise EngineError(
                f"--engine {self.spec.name}: serves no {family.plural} such as {facts.saved_class}; {advice}"
            )
        attach = self._check(recipe, adapter, facts, device)
        rank = 0 if adapter is None else largest_rank(adapter)
        model = LocalModel(run, recipe, location, device, dtype, rank, attach, facts.quantized is not None)
        identity = {
            "base_stamp": None if whole else base_stamp(recipe.model, location),
            "adapter": None if weights is None else weights.digest(),
            "attached": attach,
            "device": device.kind,
            "dtype": dtype,
        }

        def ids_for(renderer: Renderer, longest: int) -> TokenIds:
            pad_id = renderer.pad_id if facts.has_token(renderer.pad_id) else renderer.stop_id
            return TokenIds(pad_id, renderer.stop_id, longest, renderer.frame)

        def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
            return _start(self, model, ids_for(renderer, longest), placement, candidates)

        is_proven = adapter is not None and not is_empty and recipe.generate.prove

        def prove_it(engine: Engine, prompts: Sequence[Sequence[int]]) -> None:
            if is_proven:
                reference, others = self.reference(model), other_local_engines(self.spec)
                prove(engine, prompts, attached=attach, dtype=dtype, reference=reference, others=others)

        def live(renderer: Renderer, longest: int) -> StartLive:
            InProcess().check(1, _gpus_each(self.spec, recipe, placement))
            if recipe.generate.data_parallel > 1:
                say("generate.data_parallel is ignored: a live engine has one process")
            prompts = prompts_of_a_proof(renderer, longest) if is_proven else []
            proof = LiveProof(prompts, attach, dtype, self.reference(model), other_local_engines(self.spec))
            return partial(_start_live, self, model, ids_for(renderer, longest), proof)

        time = partial(generation_time, self.spec, recipe, location, device, dtype)
        tokenizer_at = location if adapter is None else str(run.adapter)
        return ModelSource(tokenizer_at, identity, start, time, facts, prove_it, live)

    def _check(self, recipe: Recipe, adapter: Mapping[str, Any] | None, facts: BaseFacts, device: Device) -> bool:
        """Check that the engine can load the base, and return whether the adapter is attached."""
        name, others = self.spec.name, other_local_engines(self.spec)
        if facts.quantized is not None and not self.spec.can("quantized_base"):
            raise EngineError(
                f"--engine {name}: the own weights of {recipe.model.base} are quantized ({facts.quantized}); use "
                f"--engine {others}, or train on the base in full precision"
            )
        attach = adapter is not None and self.attaches(recipe, adapter, facts)
        if why := self.unserved(facts, device, attached=attach):
            raise EngineError(f"--engine {name}: {why}; use --engine {others}")
        return attach


def _start(loader: LocalLoader, model: LocalModel, ids: TokenIds, placement: Placement, candidates: int) -> Engine:
    """Start the workers of an engine.

    Args:
        loader: of the engine.
        model: the model they generate with.
        ids: facts about the prompts that the engine needs.
        placement: where they run.
        candidates: number of candidates to generate, and so the largest useful number of workers.

    Raises:
        ModelError: the base model is unavailable.
        EngineError: there are too few devices.
        GenerationError: the engine does not start.
    """
    each = _gpus_each(loader.spec, model.recipe, placement)
    placement.check(candidates, each)
    with loader.starting(model, ids) as start:
        return placement.start(loader.spec.name, start, candidates, each)


async def _start_live(loader: LocalLoader, model: LocalModel, ids: TokenIds, proof: LiveProof) -> LiveEngine:
    """Start a live engine in the process that calls this, and prove that it computes with the trained weights."""
    quiet_libraries()
    with loader.starting_live(model, ids) as start:
        engine = start()
    await proof.check(engine)
    return engine


def _gpus_each(spec: EngineSpec, recipe: Recipe, placement: Placement) -> int:
    """Return the number of GPUs that a model is divided among; a message if the recipe asks for more."""
    wanted = recipe.generate.tensor_parallel
    each = wanted if placement.gpus() and spec.can("tensor_parallel") else 1
    if each < wanted:
        say(f"generate.tensor_parallel is ignored: it is for {_names('tensor_parallel')} on GPUs")
    return each


def _names(capability: Any) -> str:
    return names_of_engines_that(capability) or "no engine"
