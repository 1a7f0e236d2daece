"""transformers' callbacks for trackers: the tracker's module, and the mark that its run has started."""

from __future__ import annotations

from typing import Any

__all__ = ["mark_begun", "tracker_module"]


def tracker_module(callback: Any) -> Any:
    """Return the module of the tracker that a callback has imported: wandb or trackio.

    The callback imports it after the environment is set, and has no public name for it. Without it the tracker
    shows no samples.

    Args:
        callback: transformers' `WandbCallback` or `TrackioCallback`.
    """
    return callback._wandb if hasattr(callback, "_wandb") else callback._trackio


def mark_begun(callback: Any) -> None:
    """Mark the run of a callback as started, at the end of our own `setup`.

    The callback calls `setup` when the mark is missing. Without it a second run starts, with the callback's
    own settings, which send more data than ours.
    """
    callback._initialized = True
