"""transformers' callbacks for trackers: the tracker's module, and the mark that its run has begun."""

from __future__ import annotations

from typing import Any

__all__ = ["mark_begun", "tracker_module"]


def tracker_module(callback: Any) -> Any:
    """Return the module of the tracker that a callback has imported: wandb or trackio.

    The callback imports it once its environment is set, and has no public name for it. Without it no samples are
    shown in the tracker.

    Args:
        callback: transformers' `WandbCallback` or `TrackioCallback`.
    """
    return callback._wandb if hasattr(callback, "_wandb") else callback._trackio


def mark_begun(callback: Any) -> None:
    """Mark the run of a callback as begun, at the end of a `setup` of our own.

    The callback calls `setup` when the mark is missing. Without it a second run is begun, with the callback's
    own settings, which send more than a run of ours does.
    """
    callback._initialized = True
