"""How texts are generated: the recipe's settings, whichever engine generates."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.errors import RunError
from llm_summ.data import Dialogue
from llm_summ.generate.engine import GREEDY, Decoding
from llm_summ.recipe import GenerateFields, Recipe

__all__ = ["GenerationSettings", "decoding_of", "request_seed", "with_engine"]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How the texts of dialogues are generated, whichever engine does it.

    Attributes:
        max_new_tokens: returns the maximum number of tokens of a dialogue's summary.
        decoding: how the next token is chosen.
        seed: the recipe's; sampling for a dialogue depends on it and on the dialogue's id.
        by_messages: whether the engine takes messages instead of token ids.
        summary_characters: of a short, a usual and a long summary of the training; None: unknown.
    """

    max_new_tokens: Callable[[Dialogue], int]
    decoding: Decoding = GREEDY
    seed: int = 0
    by_messages: bool = False
    summary_characters: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        spec: EngineSpec,
        max_new_tokens: Callable[[Dialogue], int],
        summary_characters: tuple[int, ...] | None = None,
    ) -> Self:
        """Return the settings of a recipe for an engine."""
        fields = recipe.generate
        by_messages = spec.can("messages") and fields.server.prompt == "chat"
        return cls(max_new_tokens, decoding_of(fields), recipe.seed, by_messages, summary_characters)


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
