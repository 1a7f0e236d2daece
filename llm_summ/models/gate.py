"""Check a base model's configuration before its weights are loaded.

A finding is either an error or a note. Its code is stable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from llm_summ.core.engine_registry import names_of_engines_that
from llm_summ.core.errors import ModelError
from llm_summ.models.base import configuration
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.families import ModelFamily, find_family
from llm_summ.models.hub_files import hub_findings
from llm_summ.models.trained_weights import trained_weights
from llm_summ.recipe import Recipe

__all__ = ["Purpose", "base_findings", "pass_gate"]

Purpose = Literal["train", "generate", "merge"]

_DECODERS = "a decoder such as Qwen3, EXAONE 4, Gemma 3 or Llama 3"


def pass_gate(recipe: Recipe, location: str, purpose: Purpose) -> tuple[BaseFacts, list[BaseFinding]]:
    """Return the facts of a base's configuration, with notes about it.

    Of a hub's model the files are listed first, so that it is refused before it is downloaded.

    Args:
        recipe: names the base, and the settings of the training.
        location: from `base_location`.
        purpose: the use of the base.

    Raises:
        ModelError: the base cannot be used for the purpose; a line for each reason.
    """
    files = hub_findings(recipe.model, location)
    _refuse(files)
    facts = facts_of(configuration(recipe.model, location))
    findings = base_findings(recipe, facts, purpose)
    _refuse(findings)
    return facts, [*files, *findings]


def _refuse(findings: Sequence[BaseFinding]) -> None:
    if errors := [finding.line for finding in findings if finding.refuses]:
        raise ModelError("\n".join(errors))


def base_findings(recipe: Recipe, facts: BaseFacts, purpose: Purpose) -> list[BaseFinding]:
    """Return the findings about a base's configuration for a purpose."""
    where, family = f"model.base: {recipe.model.base}", find_family(facts)
    return [
        *_architecture(where, facts, family),
        *_quantized(where, recipe, facts, purpose),
        *(_trained(where, recipe, facts, family) if purpose == "train" else ()),
    ]


def _architecture(where: str, facts: BaseFacts, family: ModelFamily | None) -> Iterator[BaseFinding]:
    name = facts.saved_class or facts.configuration
    if family is not None:
        if not family.has_head(facts):
            yield BaseFinding(
                "other-task",
                f"{where}: its weights are those of {name}, which has no head that writes text; take the "
                f"repository of {facts.trained_class}",
            )
    elif facts.is_encoder_decoder:
        yield BaseFinding(
            "encoder-decoder",
            f"{where}: {name} is an encoder-decoder that is not supported; take BART, T5, or {_DECODERS}",
        )
    elif facts.is_encoder:
        yield BaseFinding("encoder", f"{where}: {name} is an encoder, which writes no text; take {_DECODERS}")
    else:
        yield BaseFinding(
            "no-language-model",
            f"{where}: {name} ({facts.configuration}) is not a language model; take {_DECODERS}",
        )


def _quantized(where: str, recipe: Recipe, facts: BaseFacts, purpose: Purpose) -> Iterator[BaseFinding]:
    kind = facts.quantized
    if kind is None:
        return
    if not kind.startswith("bitsandbytes"):
        yield BaseFinding(
            "quantized",
            f"{where}: its weights are quantized already ({kind}); take the repository in full precision, which "
            "model.quantization quantizes",
        )
    elif purpose == "merge":
        yield BaseFinding(
            "quantized",
            f"{where}: its weights are quantized already ({kind}), and cannot be merged into; "
            f"{_attached()}train on the base in full precision",
        )
    elif purpose == "train" and not trained_weights(recipe).takes_quantized:
        yield BaseFinding(
            "quantized",
            f"{where}: its weights are quantized already ({kind}), and cannot be trained; set train.weights to "
            "lora, or take the repository in full precision",
        )
    elif purpose == "train":
        yield BaseFinding(
            "quantized",
            f"{where}: its weights are quantized already ({kind}) and are used as they are: model.quantization is "
            "ignored; merging and vLLM need the repository in full precision",
            refuses=False,
        )


def _attached() -> str:
    """Return the advice to generate with an engine that takes such a base."""
    names = names_of_engines_that("local", "quantized_base")
    return f"generate with --engine {names}, or "


def _trained(where: str, recipe: Recipe, facts: BaseFacts, family: ModelFamily | None) -> Iterator[BaseFinding]:
    if family is not None:
        yield from family.training_findings(recipe)
    if recipe.train.packing and facts.recurrent:
        yield BaseFinding(
            "packing",
            f"train.packing: {recipe.model.base} has layers that carry a state from token to token "
            f"({', '.join(facts.recurrent)}), so that a packed row would see the row before it; set it to false",
        )
    if recipe.lora.init == "eva" and facts.sees:
        yield BaseFinding(
            "eva",
            f"lora.init: eva needs the inputs of every layer, and the image layers of {recipe.model.base} get no "
            "input from a dialogue; set it to default",
        )
    if facts.experts > 1 and recipe.model.quantization != "none":
        yield BaseFinding(
            "experts",
            f"{where}: its {facts.experts} experts stay in 16 bits, since bitsandbytes quantizes only linear "
            "layers: they take four times the memory of 4 bits",
            refuses=False,
        )
