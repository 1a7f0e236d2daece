"""How texts are generated: the recipe's settings, whichever engine generates."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import RecipeError, RunError
from llm_summ.data import Dialogue
from llm_summ.generate.engine import GREEDY, Decoding
from llm_summ.recipe import GenerateFields, Recipe

__all__ = ["CANDIDATE_TEMPERATURE", "GenerationSettings", "decoding_of", "request_seed", "with_engine"]

CANDIDATE_TEMPERATURE = 0.7
"""The temperature of several candidates, of which the best is chosen."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How the texts of dialogues are generated, whichever engine does it.

    Attributes:
        max_new_tokens: returns the maximum number of tokens of a dialogue's summary.
        decoding: how the next token is chosen.
        seed: the recipe's; sampling for a dialogue depends on it and on the dialogue's id.
        by_messages: whether the engine takes messages instead of token ids.
        engine: the engine's name.
        has_candidates: whether the engine can generate several texts for a prompt.
    """

    max_new_tokens: Callable[[Dialogue], int]
    decoding: Decoding = GREEDY
    seed: int = 0
    by_messages: bool = False
    engine: str = ""
    has_candidates: bool = True

    @classmethod
    def of(cls, recipe: Recipe, spec: EngineSpec, max_new_tokens: Callable[[Dialogue], int]) -> Self:
        """Return the settings of a recipe for an engine."""
        fields = recipe.generate
        by_messages = spec.can("messages") and fields.server.prompt == "chat"
        candidates = spec.can("candidates")
        return cls(max_new_tokens, decoding_of(fields), recipe.seed, by_messages, spec.name, candidates)

    def best_of(self, n: int) -> Self:
        """Return the settings with n sampled candidates for each dialogue; 1 changes nothing.

        Raises:
            RecipeError: the engine generates one text for each dialogue.
        """
        if n == 1:
            return self
        if not self.has_candidates:
            raise RecipeError(
                f"{n} candidates: the engine {self.engine} generates one text for each dialogue; set them to 1"
            )
        sampled = dataclasses.replace(
            self.decoding, n=n, temperature=CANDIDATE_TEMPERATURE, beams=1, length_penalty=1.0
        )
        return dataclasses.replace(self, decoding=sampled)


def decoding_of(fields: GenerateFields) -> Decoding:
    """Return the decoding settings of a recipe's section `generate`."""
    return Decoding(**{field.name: getattr(fields, field.name) for field in dataclasses.fields(Decoding)})


def request_seed(seed: int, identity: str) -> int:
    """Return the seed of a dialogue's candidates: it depends on nothing else, so order and batch don't matter.

    Args:
        seed: the recipe's.
        identity: the dialogue's id.

    Returns:
        from 0 to 2**48 - 1; candidate i has this seed + i.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{identity}".encode()).digest()[:6])


def with_engine(engine: str | None, overrides: Sequence[str]) -> list[str]:
    """Return a recipe's overrides with the engine among them, since the checks of a recipe depend on the engine.

    Raises:
        RunError: they name another engine.
    """
    if engine is None:
        return list(overrides)
    wanted = f"generate.engine={engine}"
    if others := [text for text in overrides if text.startswith("generate.engine=") and text != wanted]:
        raise RunError(f"--set {others[0]}: conflicts with --engine {engine}; remove one of them")
    return [wanted, *overrides]
