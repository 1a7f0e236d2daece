"""PEFT: names of layers below an adapter, and why it refuses an adapter.

All of its errors are ValueError or RuntimeError: only their texts distinguish them.
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
"""What a model with an adapter puts before the names of the base's layers. Without it the layers that the
verification of a merge compares cannot be found in the merged model."""


def are_targets_missing(error: BaseException) -> bool:
    """Return whether the model has none of the layers that an adapter is for.

    Without it a wrong `lora.targets` ends in a traceback.
    """
    return "arget modules" in str(error)


def is_another_base(error: BaseException) -> bool:
    """Return whether an adapter was trained on a model with other layers or other shapes.

    Without it a run whose base was replaced ends in a traceback.
    """
    return "size mismatch" in str(error) or are_targets_missing(error)


def is_not_finite(error: BaseException) -> bool:
    """Return whether a merge was refused because a sum is not finite.

    Without it a merge that overflows float16 ends in a traceback.
    """
    return "NaN" in str(error)


def is_dropout_refused(error: BaseException) -> bool:
    """Return whether experts are refused because the adapter has dropout.

    Without it the advice is PEFT's, which names fields that a recipe does not have.
    """
    return "lora_dropout" in str(error)


def is_mamba_refused(error: BaseException) -> bool:
    """Return whether a layer with a recurrent state (Mamba) is refused.

    Without it the advice is PEFT's, which does not name the layers that can be adapted.
    """
    return "Mamba" in str(error)
