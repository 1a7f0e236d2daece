"""Location of a generation's model: this machine, a server, or none. Every engine defines its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.check.tokens import beyond_the_context, unknown_ids
from llm_summ.core.engine_registry import EngineSpec, engines_that, names_of_engines_that
from llm_summ.core.errors import RecipeError
from llm_summ.generate.duration import GenerationTime
from llm_summ.generate.engine import Engine
from llm_summ.generate.live_worker import StartLive
from llm_summ.models.base import base_location
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.device import Device
from llm_summ.prompt import Renderer, TokenizedExample
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = [
    "EngineLoader",
    "ModelSource",
    "other_local_engines",
    "resolve_model",
    "saved_tokenizer",
    "unreadable_prompts",
]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model for a generation, which is not loaded yet.

    Attributes:
        tokenizer_at: folder or hub id of the tokenizer.
        identity: the properties of the model that the texts depend on.
        start: makes the engine, given the renderer, the tokens of the longest prompt and the number of candidates.
        time: returns the estimator of the duration; None: the model is not on this machine, or no estimate is
            possible.
        facts: of the model; None: it is not on this machine.
        prove: raises if the engine does not compute with the trained weights, given the ids of a few prompts.
        live: returns the function that starts the live engine in another process, given the renderer and the
            tokens of the longest prompt; None: the engine has no live form of its own, so `start` is called there.
    """

    tokenizer_at: str
    identity: dict[str, Any]
    start: Callable[[Renderer, int, int], Engine]
    time: Callable[[], GenerationTime | None] = lambda: None
    facts: BaseFacts | None = None
    prove: Callable[[Engine, Sequence[Sequence[int]]], None] = lambda engine, prompts: None
    live: Callable[[Renderer, int], StartLive] | None = None


class EngineLoader(ABC):
    """Finds the model of an engine; each engine's module implements it. Its methods import heavy libraries late.

    Args:
        spec: the engine's entry in the registry.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec

    def unusable(self) -> str | None:
        """Return why the engine does not work here although its package is installed; None if it works."""
        return None

    def unserved(self, facts: BaseFacts, device: Device, *, attached: bool = False) -> str:
        """Return why the engine cannot load a base on a device; empty if it can.

        Args:
            facts: of the base.
            device: the device to load it on.
            attached: whether an adapter is kept separate from the base's weights.
        """
        return ""

    @abstractmethod
    def source(self, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
        """Return the model that generates; it is not loaded.

        Args:
            run: the run.
            recipe: its recipe.
            untuned: leave the adapter out; only for an engine with the capability ``local``.

        Raises:
            InputError: the model, adapter or server is missing, or the engine does not support it.
            GenerationError: the server cannot be reached.
        """


def resolve_model(spec: EngineSpec, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
    """Find the model of a run for an engine; arguments and errors are those of `EngineLoader.source`."""
    if untuned and not spec.can("local"):
        able = names_of_engines_that("local")
        raise RecipeError(
            f"--untuned: the engine {spec.name} cannot leave the adapter out; remove --untuned, or use "
            f"{able or 'another engine'}"
        )
    loader: EngineLoader = spec.load()
    return loader.source(run, recipe, untuned=untuned)


def unreadable_prompts(
    where: str, recipe: Recipe, facts: BaseFacts | None, tokenizer: Any, rows: Sequence[TokenizedExample]
) -> list[str]:
    """Return a line for each reason why a model cannot read some prompts: unknown ids, or too many tokens.

    Args:
        where: the file of the prompts, for messages.
        recipe: has the base's name and the number of new tokens.
        facts: of the model; None: the model is not on this machine, so nothing is checked.
        tokenizer: a transformers tokenizer.
        rows: the prompts.
    """
    if facts is None:
        return []
    base, new = recipe.model.base, recipe.generate.max_new_tokens
    unknown = unknown_ids(recipe.model, facts, tokenizer, rows)
    over = beyond_the_context(where, base, facts, rows, new)
    return [*(f"{where}: {problem.line}" for problem in unknown), *(problem.line for problem in over)]


def saved_tokenizer(run: Run, recipe: Recipe) -> str:
    """Return the location of a run's tokenizer, for an engine that does not load the run's model."""
    trained = [folder for folder in (run.adapter, run.model) if (folder / "tokenizer.json").is_file()]
    return str(trained[0]) if trained else base_location(recipe.model)


def other_local_engines(spec: EngineSpec) -> str:
    """Return the names of the other engines that generate on this machine, for advice: ``hf``."""
    return " or ".join(other.name for other in engines_that(["local"]) if other != spec) or "another engine"
