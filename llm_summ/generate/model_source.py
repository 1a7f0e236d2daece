"""Where the model of a generation is held: on this machine, by a server, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from llm_summ.core.errors import EngineError, RecipeError
from llm_summ.core.progress import say
from llm_summ.generate.duration import GenerationTime, generation_time
from llm_summ.generate.engine import Engine
from llm_summ.generate.engine_loading import EngineName, LocalEngineName, LocalModel, attaches
from llm_summ.generate.proof import Proving, adds_nothing, prove
from llm_summ.models.adapter import adapter_sha256, check_adapter
from llm_summ.models.base import base_location, pick_dtype
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import find_device
from llm_summ.models.families import family_of
from llm_summ.models.full_model import trained_model, weights_sha256
from llm_summ.models.gate import pass_gate
from llm_summ.models.trained_weights import trained_weights
from llm_summ.models.vllm_support import largest_rank, unserved_on_cpu
from llm_summ.prompt import Renderer
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = ["ModelSource", "resolve_model"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model for a generation, which is not loaded yet.

    Attributes:
        tokenizer_at: where the tokenizer is.
        identity: what the texts depend on of it.
        start: makes the engine, given the renderer, the tokens of the longest prompt and the number of candidates.
        time: says how long it takes here; None: it is not generated on this machine, or that cannot be known.
        facts: of the model; None: it is not on this machine.
        prove: refuses an engine that does not compute with what was trained, given the ids of a few prompts.
    """

    tokenizer_at: str
    identity: dict[str, Any]
    start: Callable[[Renderer, int, int], Engine]
    time: Callable[[], GenerationTime | None] = lambda: None
    facts: BaseFacts | None = None
    prove: Callable[[Engine, Sequence[Sequence[int]]], None] = lambda engine, prompts: None


def resolve_model(run: Run, recipe: Recipe, name: EngineName, untuned: bool) -> ModelSource:
    """Find the model of a run for an engine.

    Args:
        run: the run.
        recipe: its recipe.
        name: the engine.
        untuned: leave the adapter out.

    Raises:
        InputError: there is no model, adapter or server, or the engine cannot work with it.
        GenerationError: the server cannot be reached.
    """
    if name == "vllm" or name == "hf":
        return _local_source(run, recipe, name, untuned)
    if untuned:
        raise RecipeError(f"--untuned: the engine {name} knows no adapter; leave it out, or take vllm or hf")
    return _remote_source(run, recipe, name)


def _local_source(run: Run, recipe: Recipe, name: LocalEngineName, untuned: bool) -> ModelSource:
    """A base on this machine, with the run's adapter, or all that was trained."""
    whole = not trained_weights(recipe).has_adapter and not untuned
    adapter = None if untuned or whole else check_adapter(run)
    is_empty = adapter is not None and adds_nothing(run)
    if is_empty:
        say(f"note: {run.adapter} adds nothing to any layer (its lora_B is zero): these are the base's summaries")
    location = str(trained_model(run)) if whole else base_location(recipe.model)
    device = find_device()
    dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
    facts, _ = pass_gate(recipe, location, "generate")
    if name not in (engines := family_of(facts).engines):
        raise EngineError(
            f"--engine {name}: does not serve {facts.saved_class}; use --engine {' or '.join(sorted(engines))}"
        )
    if name == "vllm" and facts.quantized is not None:
        raise EngineError(
            f"--engine vllm: the own weights of {recipe.model.base} are quantized ({facts.quantized}); use "
            "--engine hf, or train on the base in full precision"
        )
    attach = adapter is not None and attaches(recipe, name, adapter, facts)
    if name == "vllm" and device.kind == "cpu" and (why := unserved_on_cpu(facts, attached=attach)):
        raise EngineError(f"--engine vllm: {why}; use --engine hf")
    rank = 0 if adapter is None else largest_rank(adapter)
    model = LocalModel(run, recipe, name, location, device, dtype, rank, attach, facts.quantized is not None)
    identity = {
        "base_stamp": None if whole else base_stamp(recipe.model, location),
        "adapter": None if untuned else weights_sha256(run.model) if whole else adapter_sha256(run),
        "attached": attach,
        "device": device.kind,
        "dtype": dtype,
    }

    def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
        pad_id = renderer.pad_id if facts.has_token(renderer.pad_id) else renderer.stop_id
        return model.start(pad_id, renderer.stop_id, longest, candidates)

    def prove_it(engine: Engine, prompts: Sequence[Sequence[int]]) -> None:
        # Of copies in other processes none is asked; hf computes with what PEFT has attached or merged.
        if adapter is not None and not is_empty and recipe.generate.prove and isinstance(engine, Proving):
            reference = model.reference if model.is_small() else None
            prove(engine, prompts, attached=attach, dtype=dtype, reference=reference)

    time = partial(generation_time, name, recipe, location, device, dtype)
    return ModelSource(location if adapter is None else str(run.adapter), identity, start, time, facts, prove_it)


def _remote_source(run: Run, recipe: Recipe, name: Literal["openai", "echo"]) -> ModelSource:
    """A model that a server has, or none at all."""
    trained = [folder for folder in (run.adapter, run.model) if (folder / "tokenizer.json").is_file()]
    tokenizer_at = str(trained[0]) if trained else base_location(recipe.model)
    if name == "echo":
        from llm_summ.generate.engines.echo import EchoEngine

        return ModelSource(tokenizer_at, {"adapter": None}, lambda *_: EchoEngine())
    from llm_summ.generate.engines.openai import OpenaiEngine

    server = recipe.generate.server
    engine = OpenaiEngine(server)
    # The texts depend on the model: where the recipe does not name it, the server has to be asked.
    where = {"url": server.url, "model": server.model or engine.find_model(), "prompt": server.prompt}
    where |= server.body_identity

    def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
        if server.model:  # else it was asked
            engine.find_model()
        return engine

    return ModelSource(tokenizer_at, {"adapter": "the server's", "server": where}, start)
