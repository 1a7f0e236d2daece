"""PEFT: names of layers below an adapter, and why it refuses an adapter.

Its errors are ValueError or RuntimeError whatever has happened: only their words tell.
"""

from __future__ import annotations

__all__ = [
    "BASE_PREFIX",
    "are_targets_missing",
    "is_another_base",
    "is_dropout_refused",
    "is_mamba_refused",
    "is_not_finite",
]

BASE_PREFIX = "base_model.model."
"""What a model with an adapter puts before the names of the base's layers. Without it the layers that a merge is
verified by cannot be found in the merged model."""


def are_targets_missing(error: BaseException) -> bool:
    """Return whether none of the layers that an adapter is for is in the model.

    Without it a wrong `lora.targets` ends in a traceback.
    """
    return "arget modules" in str(error)


def is_another_base(error: BaseException) -> bool:
    """Return whether an adapter was trained on a model of other layers or other shapes.

    Without it a run whose base was replaced ends in a traceback.
    """
    return "size mismatch" in str(error) or are_targets_missing(error)


def is_not_finite(error: BaseException) -> bool:
    """Return whether a merge was refused since a sum is not a finite number.

    Without it a merge that overflows float16 ends in a traceback.
    """
    return "NaN" in str(error)


def is_dropout_refused(error: BaseException) -> bool:
    """Return whether experts are refused since the adapter has dropout.

    Without it the advice is PEFT's, which names fields that a recipe does not have.
    """
    return "lora_dropout" in str(error)


def is_mamba_refused(error: BaseException) -> bool:
    """Return whether a layer that carries a state is refused.

    Without it the advice is PEFT's, which does not name the layers that can be adapted.
    """
    return "Mamba" in str(error)
