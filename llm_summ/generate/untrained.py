"""The settings of a model that summarises by its prompt alone, without a training."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llm_summ.core.errors import RecipeError
from llm_summ.recipe import Recipe, find_recipe, load_recipe

__all__ = ["untrained_recipe"]

_RECIPE = "qlora"  # only its file is needed: a recipe has to come from one
_SECTIONS = ("generate.", "prompt.", "model.", "post=")


def untrained_recipe(base: str, prompt: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a model that is not trained.

    Prompts may be long, and line breaks stay in a summary, since prompts such as ``meeting`` ask for lists.

    Args:
        base: ``embedded:gemma-3-270m``, a folder or a hub id.
        prompt: the name or file of a prompt.
        overrides: ``generate.KEY=VALUE``, ``prompt.KEY=VALUE``, ``model.KEY=VALUE`` or ``post=[…]``.

    Raises:
        RecipeError: a value is not valid, or its section has no effect here.
    """
    if others := [override for override in overrides if not override.startswith(_SECTIONS)]:
        raise RecipeError(f"--set {others[0]}: has no effect without a training; expected generate.*, prompt.*")
    own = {
        "model.base": json.dumps(base),
        "model.quantization": "none",
        "prompt.template": json.dumps(prompt),
        "prompt.max_prompt_tokens": "4096",
        "generate.limit": "fixed",
        "generate.max_new_tokens": "512",
        "post": "[strip, cut_unfinished]",
    }
    return load_recipe(find_recipe(_RECIPE), [*(f"{key}={value}" for key, value in own.items()), *overrides])
