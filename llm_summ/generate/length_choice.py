"""The length of a summary that a user asks for: by the prompt, or by the choice among candidates.

A prompt that a model was trained with can ask for a length (`llm_summ.prompt.length`). Otherwise several
candidates are sampled, and the one whose number of characters is nearest to the target is taken.

``short``, ``medium`` and ``long`` are the middles of the shortest, the middle and the longest third of the
training's summaries. For a model that was not trained here, ``medium`` is 4·√c characters for a dialogue of c
characters, and ``short`` and ``long`` are 0.7 and 1.4 times that. The summaries of 250 dialogues of everyday life
have 4.02·√c in the median; the middles of their outer thirds are 0.71 and 1.41 times the median length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from llm_summ.core.engine_registry import engine_names, engine_spec, names_of_engines_that
from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.generate.settings import GenerationSettings
from llm_summ.generate.summary import best_candidate
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt.token_limit import LENGTH_SHARES

__all__ = [
    "CANDIDATES",
    "LENGTH_NAMES",
    "SAMPLING",
    "Length",
    "LengthName",
    "NearestLength",
    "check_candidates",
    "several_candidates",
    "trained_length",
    "writes_candidates",
]

LengthName = Literal["short", "medium", "long"]
LENGTH_NAMES: tuple[LengthName, ...] = get_args(LengthName)

Length = int | LengthName
"""A length of summaries: a number of characters, or a name."""

CANDIDATES = 4
"""How many texts the one with the nearest length is chosen from, unless more are asked for."""
SAMPLING: Mapping[str, Any] = {"temperature": 0.7, "beams": 1, "length_penalty": 1.0}
"""How candidates that differ are decoded."""

_OF_ROOT = 4.0
_OF_MEDIUM = (0.7, 1.0, 1.4)


def trained_length(length: Length, targets: Sequence[int]) -> int:
    """Return the length to ask for of those that a model was trained on.

    Args:
        length: a number of characters takes the nearest, a name the one of its third.
        targets: ascending; each is that of an equal share of the training summaries.
    """
    if isinstance(length, int):
        return min(targets, key=lambda target: abs(target - length))
    return targets[int(LENGTH_SHARES[LENGTH_NAMES.index(length)] * len(targets))]


@dataclass(frozen=True, slots=True)
class NearestLength:
    """Chooses the candidate whose length is nearest to a target.

    Attributes:
        length: what was asked for.
        usual: characters of a short, a usual and a long summary of the training; None: unknown.
    """

    length: Length
    usual: tuple[int, ...] | None = None

    def target(self, dialogue: Dialogue) -> int:
        """Return the number of characters to be near to."""
        if isinstance(self.length, int):
            return self.length
        index = LENGTH_NAMES.index(self.length)
        if self.usual is not None:
            return self.usual[index]
        return max(1, round(_OF_MEDIUM[index] * _OF_ROOT * math.sqrt(len(dialogue.text))))

    def choose(self, dialogue: Dialogue, candidates: Sequence[Prediction], texts: Sequence[str]) -> int:
        """Return the index of a candidate: of those that the model ended itself, the nearest one.

        Args:
            dialogue: what is summarised.
            candidates: of the dialogue, shape (n,).
            texts: after post-processing, shape (n,). Of those that are as near, the one that agrees best with the
                others is taken.
        """
        target = self.target(dialogue)
        distances = [
            (candidate.finish_reason == "length", abs(len(text.strip()) - target))
            for candidate, text in zip(candidates, texts, strict=True)
        ]
        nearest = [index for index, distance in enumerate(distances) if distance == min(distances)]
        return nearest[best_candidate([texts[index] for index in nearest])]

    def line(self, n: int) -> str:
        """Return how the length is reached, for people.

        Args:
            n: number of candidates.
        """
        if isinstance(self.length, int):
            target = f"{self.length:,} characters"
        elif self.usual is not None:
            target = f"{self.target(Dialogue('', '')):,} characters, a {self.length} summary of the training"
        else:
            share = _OF_MEDIUM[LENGTH_NAMES.index(self.length)] * _OF_ROOT
            target = f"{share:.1f} times the square root of a dialogue's characters"
        return f"Length: of {n} candidates the nearest to {target}, since the prompt asks for no length"


def writes_candidates(engine: str) -> bool:
    """Return whether an engine of this name writes several texts for one dialogue."""
    return engine in engine_names() and engine_spec(engine).can("candidates")


def check_candidates(engine: str, length: Length, template: object) -> None:
    """Refuse a length that the prompt cannot ask for, if the engine writes no candidates to choose from.

    Args:
        engine: its name; one that is not registered is refused as well.
        length: what was asked for.
        template: the path of the prompt, for the message.

    Raises:
        PromptError: there is no way to the length.
    """
    if writes_candidates(engine):
        return
    raise PromptError(
        f"length {length}: {template} asks for no length, and the engine {engine} writes one text for each "
        f"dialogue; use {names_of_engines_that('candidates')}, or train a run with prompt.template length"
    )


def several_candidates(settings: GenerationSettings) -> GenerationSettings:
    """Return settings that sample several candidates; those that do so already are returned unchanged."""
    if settings.decoding.n > 1:
        return settings
    return replace(settings, decoding=replace(settings.decoding, n=CANDIDATES, **SAMPLING))
