"""The body of a request to a server: the fields that the engine openai sends, and those that a recipe adds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal

__all__ = ["SentField", "check_extra_body", "further_fields"]

SentField = Literal[
    "max_tokens",
    "n",
    "temperature",
    "top_p",
    "seed",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "stop_token_ids",
    "ignore_eos",
    "chat_template_kwargs",
]
"""Fields that the engine sends with token ids or with messages, except those that every request needs."""

_TEMPLATE_FIELD = "chat_template_kwargs"
_RECIPE_FIELDS = {
    "model": "generate.server.model",
    "prompt": "prompt.template",
    "messages": "prompt.template",
    "max_tokens": "generate.max_new_tokens",
    "n": "generate.n",
    "temperature": "generate.temperature",
    "top_p": "generate.top_p",
    "seed": "seed",
}
_RECIPE_FIELDS_WITH_IDS = _RECIPE_FIELDS | {"top_k": "generate.top_k"}
_FIXED_WITH_IDS = {
    *("min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "logprobs"),
    *("stop_token_ids", "ignore_eos", "return_token_ids"),
}


def check_extra_body(value: object, prompt: object) -> dict[str, Any]:
    """Check and return the fields that a recipe adds to the body.

    Args:
        value: the field of the recipe.
        prompt: ``tokens`` or ``chat``; with token ids the engine sets more fields itself.

    Raises:
        ValueError: it is not a mapping, cannot be sent as JSON, or sets a field that the engine sets.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"found {value!r}, expected a mapping such as {{reasoning_effort: low}}")
    with_ids = prompt != "chat"
    recipe_fields = _RECIPE_FIELDS_WITH_IDS if with_ids else _RECIPE_FIELDS
    for key, part in value.items():
        if not isinstance(key, str):
            raise ValueError(f"found the key {key!r}, expected names of fields")
        if key in recipe_fields:
            raise ValueError(f"{key}: the engine sets it; set {recipe_fields[key]} instead")
        if key == "stream":
            raise ValueError("stream: answers are read as a whole; remove it")
        if with_ids and key in _FIXED_WITH_IDS:
            raise ValueError(
                f"{key}: the engine sets it with token ids; remove it, or set generate.server.prompt to chat"
            )
        if not _is_json(part):
            raise ValueError(f"{key}: found {part!r}, expected a value of JSON: text, number, list or mapping")
    return dict(value)


def further_fields(prompt: str, extra_body: Mapping[str, Any], leave_out: Collection[str]) -> dict[str, Any]:
    """Return the fields of the body that no other field of the recipe sets.

    With messages, a model that can think is asked for an answer without thoughts, as it was trained; the templates
    of other models ignore that. `extra_body` takes precedence.
    """
    if prompt == "tokens" or _TEMPLATE_FIELD in leave_out:
        return dict(extra_body)
    given = extra_body.get(_TEMPLATE_FIELD, {})
    settings = {"enable_thinking": False, **given} if isinstance(given, Mapping) else given
    return {**extra_body, _TEMPLATE_FIELD: settings}


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
