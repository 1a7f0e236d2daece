"""One raw prediction, and the check that a line of a file is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["FinishReason", "Prediction", "is_hash", "is_prediction"]

FinishReason = Literal["stop", "length"]

_TYPES = {"fname": str, "dialogue": str, "summary": str, "tokens": int, "finish_reason": str}
_LATER = {"sample": (int,), "logprob": (float, int, type(None))}  # fields that early files lack
_HASH = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One generated text, as the model wrote it.

    Attributes:
        fname: the dialogue's id.
        dialogue: the dialogue's hash, from `llm_summ.data.dialogue_hash`.
        summary: the text, unchanged.
        tokens: generated tokens, the stop token included.
        finish_reason: "stop" if it ended by itself, "length" if it was cut off.
        sample: which of the dialogue's candidates it is, from 0.
        logprob: the sum of the tokens' log-probabilities (natural logarithm); None where the engine has none.
    """

    fname: str
    dialogue: str
    summary: str
    tokens: int
    finish_reason: FinishReason
    sample: int = 0
    logprob: float | None = None


def is_prediction(line: Mapping[str, Any]) -> bool:
    """Return whether a line has the fields of a prediction; those that were added later may be missing."""
    later = {key: line[key] for key in _LATER if key in line}
    first = {key: type(value) for key, value in line.items() if key not in later}
    return first == _TYPES and all(isinstance(value, _LATER[key]) for key, value in later.items())


def is_hash(dialogue: str) -> bool:
    """Return whether a text is a dialogue's hash; other programs may write the dialogue itself."""
    return _HASH.fullmatch(dialogue) is not None
