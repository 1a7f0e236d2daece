"""Choice of the engine: the named one, or for `auto` the fastest that works where its workers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_summ.core.engine_registry import AUTO, EngineSpec, engine_spec, engines
from llm_summ.core.errors import EngineError, MissingPackageError, ModelError, pip_line
from llm_summ.core.progress import say
from llm_summ.generate.duration import COMPLETION_TOKENS, GenerationTime, generation_time
from llm_summ.generate.model_source import other_local_engines
from llm_summ.generate.placement import Placement
from llm_summ.models.base import base_location, configuration, pick_dtype
from llm_summ.models.base_facts import facts_of
from llm_summ.models.duration import minutes
from llm_summ.models.families import find_family
from llm_summ.recipe import GenerateFields, Recipe

__all__ = ["choose_engine", "faster_engine"]

_TOKENS_PER_CHARACTER, _PROMPT = 0.6, 60  # of Korean dialogues, and tokens of the instruction


def choose_engine(
    fields: GenerateFields, placement: Placement, faster: Callable[[], tuple[str, str]] | None = None
) -> EngineSpec:
    """Return the engine to use. If `auto` does not take its first choice, the reason is printed.

    Args:
        fields: the recipe's section `generate`.
        placement: where the engine's workers will run.
        faster: returns the name of the fastest engine for this generation, and the reason, as `faster_engine`
            does. It is called for `auto` if the first choice is installed. None: the first choice is taken.

    Raises:
        MissingPackageError: the engine was named, and its package is not installed.
        EngineError: the engine was named, and does not work there.
    """
    if fields.base_quantization != "none" and not placement.has_package("bitsandbytes"):
        raise MissingPackageError("bitsandbytes", "train", "generate.base_quantization")
    if fields.engine != AUTO:
        spec = engine_spec(fields.engine)
        _require(spec, placement)
        return spec
    able = _automatic(fields)
    if faster is not None and len(able) > 1 and placement.has_package(able[0].package):
        name, why = faster()
        if name != able[0].name:
            say(f"Engine: {name} ({why})")
            return engine_spec(name)
    passed_over: list[str] = []
    for spec in able:
        reason = _unusable(spec, placement)
        if reason is None:
            if passed_over:
                say(f"Engine: {spec.name} ({'; '.join(passed_over)})")
            return spec
        passed_over.append(f"{spec.name} is {reason}")
    raise EngineError(f"generate.engine: auto: no engine works here ({'; '.join(passed_over)}); install one")


def faster_engine(recipe: Recipe, placement: Placement, characters: Sequence[int]) -> tuple[str, str]:
    """Return the name of the fastest engine on the workers' device, its start included, and the reason.

    Stored corrections of estimates are not used, so that the answer depends on the machine and the dialogues
    alone.

    Args:
        recipe: with its model and section `generate`.
        placement: where the engine's workers will run.
        characters: of each dialogue, shape (n,).
    """
    able = _automatic(recipe.generate)
    first = able[0]
    device = placement.device()
    try:
        location = base_location(recipe.model)
        dtype = pick_dtype(recipe.model, location, device, recipe.generate.dtype)
        facts = facts_of(configuration(recipe.model, location))
    except ModelError:  # it is reported where the model is opened
        return first.name, ""
    family, serving, why = find_family(facts), [], ""
    for spec in able:
        if facts.quantized is not None and not spec.can("quantized_base"):
            why = why or f"the base's own weights are quantized ({facts.quantized})"
        elif family is not None and not spec.can(*family.needs):
            why = why or f"{spec.name} serves no {family.plural} such as {facts.saved_class}"
        elif reason := spec.load().unserved(facts, device):
            why = why or reason
        else:
            serving.append(spec)
    if not serving:
        return first.name, ""
    if device.kind == "cuda" or serving[0] != first:
        return serving[0].name, why
    plainest = generation_time(serving[-1], recipe, location, device, dtype)
    if plainest is None:
        return first.name, ""
    prompts = [_PROMPT + round(_TOKENS_PER_CHARACTER * count) for count in characters]
    completions = [min(COMPLETION_TOKENS, recipe.generate.max_new_tokens)] * (len(characters) * recipe.generate.n)
    seconds = {
        spec.name: GenerationTime(spec.name, plainest.size, plainest.speed, "").seconds(prompts, completions)
        for spec in reversed(serving)
    }
    fastest = min(seconds, key=lambda name: seconds[name])
    if fastest == first.name:
        return fastest, ""
    return fastest, (
        f"{len(completions)} outputs take {minutes(seconds[fastest])} with it, and {minutes(seconds[first.name])} "
        f"with {first.name}, start included"
    )


def _automatic(fields: GenerateFields) -> list[EngineSpec]:
    """Return the engines that `auto` chooses from, the first choice first."""
    return [spec for spec in engines() if spec.cost is not None and spec.can(*fields.needs.values())]


def _unusable(spec: EngineSpec, placement: Placement) -> str | None:
    """Return why an engine does not work where its workers run; None if it does."""
    if spec.package and not placement.has_package(spec.package):
        return "not installed"
    reason = placement.unusable(spec)
    return None if reason is None else f"installed, but not usable ({reason})"


def _require(spec: EngineSpec, placement: Placement) -> None:
    extra = spec.extra if placement.has_gpu() or not spec.cpu_extra else spec.cpu_extra
    if spec.package and not placement.has_package(spec.package):
        raise MissingPackageError(spec.package, extra, f"--engine {spec.name}")
    if (reason := _unusable(spec, placement)) is not None:
        build = f", or install the build for this machine: {pip_line(extra)}" if spec.extra else ""
        raise EngineError(f"--engine {spec.name}: {reason}; use --engine {other_local_engines(spec)}{build}")
