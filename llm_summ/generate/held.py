"""Where the model of a generation is held: on this machine, by a server, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from llm_summ.errors import RecipeError
from llm_summ.generate.duration import GenerationTime, generation_time
from llm_summ.generate.engine import Engine
from llm_summ.generate.start import EngineName, LocalEngineName, LocalModel, attaches
from llm_summ.model.adapter import adapter_sha256, check_adapter
from llm_summ.model.base import base_location, pick_dtype
from llm_summ.model.device import find_device
from llm_summ.model.servable import largest_rank
from llm_summ.model.trained import trained_model, weights_sha256
from llm_summ.prompt import Renderer
from llm_summ.recipe import Recipe
from llm_summ.run import Run

__all__ = ["Held", "hold"]


@dataclass(frozen=True, slots=True)
class Held:
    """A model for a generation, which is not loaded yet.

    Attributes:
        tokenizer_at: where the tokenizer is.
        identity: what the texts depend on of it.
        start: makes the engine, given the renderer, the tokens of the longest prompt and the number of candidates.
        time: says how long it takes here; None: it is not generated on this machine, or that cannot be known.
    """

    tokenizer_at: str
    identity: dict[str, Any]
    start: Callable[[Renderer, int, int], Engine]
    time: Callable[[], GenerationTime | None] = lambda: None


def hold(run: Run, recipe: Recipe, name: EngineName, untuned: bool) -> Held:
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
        return _held_here(run, recipe, name, untuned)
    if untuned:
        raise RecipeError(f"--untuned: the engine {name} knows no adapter; leave it out, or take vllm or hf")
    return _held_elsewhere(run, recipe, name)


def _held_here(run: Run, recipe: Recipe, name: LocalEngineName, untuned: bool) -> Held:
    """A base on this machine, with the run's adapter, or all that was trained."""
    # All weights were trained: what was learnt is a model, and there is no adapter.
    whole = recipe.train.method == "full" and not untuned
    adapter = None if untuned or whole else check_adapter(run)
    location = str(trained_model(run)) if whole else base_location(recipe.model)
    device = find_device()
    dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
    attach = adapter is not None and attaches(recipe, name, adapter)
    rank = 0 if adapter is None else largest_rank(adapter)
    model = LocalModel(run, recipe, name, location, device, dtype, rank, attach)
    identity = {
        "adapter": None if untuned else weights_sha256(run.model) if whole else adapter_sha256(run),
        "attached": attach,
        "device": device.kind,
        "dtype": dtype,
    }

    def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
        return model.start(renderer.pad_id, renderer.stop_id, longest, candidates)

    time = partial(generation_time, name, recipe, location, device, dtype)
    return Held(location if adapter is None else str(run.adapter), identity, start, time)


def _held_elsewhere(run: Run, recipe: Recipe, name: Literal["openai", "echo"]) -> Held:
    """A model that a server has, or none at all."""
    trained = [folder for folder in (run.adapter, run.model) if (folder / "tokenizer.json").is_file()]
    tokenizer_at = str(trained[0]) if trained else base_location(recipe.model)
    if name == "echo":
        from llm_summ.generate.echo_engine import EchoEngine

        return Held(tokenizer_at, {"adapter": None}, lambda *_: EchoEngine())
    from llm_summ.generate.openai_engine import OpenaiEngine

    server = recipe.generate.server
    engine = OpenaiEngine(server)
    # The texts depend on the model: where the recipe does not name it, the server has to be asked.
    where = {"url": server.url, "model": server.model or engine.find_model(), "prompt": server.prompt}

    def start(renderer: Renderer, longest: int, candidates: int) -> Engine:
        if server.model:  # else it was asked
            engine.find_model()
        return engine

    return Held(tokenizer_at, {"adapter": "the server's", "server": where}, start)
