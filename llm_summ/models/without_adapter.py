"""The model inside PEFT's wrapper."""

from __future__ import annotations

from typing import Any

__all__ = ["without_adapter"]


def without_adapter(model: Any) -> Any:
    """Return transformers' own model, whose layers may be adapted; one without a wrapper is returned as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
