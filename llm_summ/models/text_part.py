"""The language model alone, of a model that reads pictures as well: what a training on dialogues changes."""

from __future__ import annotations

from typing import Any

from llm_summ.core.compat.transformers import LANGUAGE_MODEL_PREFIX
from llm_summ.core.errors import ModelError, listed
from llm_summ.models.families import family_of_config

__all__ = ["text_part", "text_part_name"]


def text_part(model: Any) -> Any:
    """Return the language model in a model that reads pictures, as a model of its own; any other model as it is.

    A folder with the whole of it would need the base's processors, and its names are none that vLLM reads:
    transformers writes others than the hub's files have. The weights are shared, not copied.

    Args:
        model: a transformers model with its weights.

    Raises:
        ModelError: its language model has other parts than the class of that.
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
    found = {text_part_name(name): weight for name, weight in model.state_dict().items()}
    if missing := sorted(wanted - found.keys()):
        raise ModelError(
            f"{type(model).__name__}: its language model cannot be taken out of it (no {listed(missing, 3)}); "
            "generate with --engine hf"
        )
    alone.load_state_dict({name: found[name] for name in wanted}, assign=True)
    # What is computed from the configuration, such as the frequencies of positions, is in no state.
    buffers = {text_part_name(name): buffer for name, buffer in model.named_buffers()}
    for name, buffer in list(alone.named_buffers()):
        if buffer.is_meta:
            module, _, own = name.rpartition(".")
            alone.get_submodule(module).register_buffer(own, buffers[name], persistent=False)
    alone.tie_weights()
    return alone.eval()


def text_part_name(name: str) -> str:
    """Return the name in the language model alone of a module or weight in the whole model."""
    return name.replace(LANGUAGE_MODEL_PREFIX, "", 1)
