"""Extract the language model, which a training on dialogues changes, from a model that reads images as well."""

from __future__ import annotations

from typing import Any

from llm_summ.core.compat.transformers import LANGUAGE_MODEL_PREFIX
from llm_summ.core.engine_registry import names_of_engines_that
from llm_summ.core.errors import ModelError, listed
from llm_summ.models.families import family_of_config

__all__ = ["text_part", "text_part_name"]


def text_part(model: Any) -> Any:
    """Return the language model of a model that reads images, as a separate model; any other model as it is.

    A folder with the whole model would need the base's processors. vLLM could not read its weights either, since
    transformers writes other names than the hub's files have. The weights are shared, not copied.

    Args:
        model: a transformers model with its weights.

    Raises:
        ModelError: the language model lacks weights that its class has.
    """
    text = model.config.get_text_config()
    if text is model.config:
        return model
    import torch

    with torch.device("meta"):
        alone = family_of_config(text).auto_class().from_config(text, dtype=model.dtype)
    if type(alone) is type(model):
        return model
    wanted = alone.state_dict().keys()
    weights = {text_part_name(name): weight for name, weight in model.state_dict().items()}
    if missing := sorted(wanted - weights.keys()):
        engines = names_of_engines_that("local", "attach_any")
        raise ModelError(
            f"{type(model).__name__}: its language model cannot be extracted (no {listed(missing, 3)}); keep the "
            f"adapter separate: --set generate.adapter=attach --engine {engines}"
        )
    alone.load_state_dict({name: weights[name] for name in wanted}, assign=True)
    # Buffers that are computed from the configuration, such as the frequencies of positions, are in no state.
    buffers = {text_part_name(name): buffer for name, buffer in model.named_buffers()}
    for name, buffer in list(alone.named_buffers()):
        if buffer.is_meta:
            module, _, buffer_name = name.rpartition(".")
            alone.get_submodule(module).register_buffer(buffer_name, buffers[name], persistent=False)
    alone.tie_weights()
    return alone.eval()


def text_part_name(name: str) -> str:
    """Return the language model's name of a module or weight of the whole model."""
    return name.replace(LANGUAGE_MODEL_PREFIX, "", 1)
