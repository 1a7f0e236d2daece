"""Models with all weights trained: ``runs/<name>/model``."""

from __future__ import annotations

from pathlib import Path

from llm_summ.core.errors import RunError
from llm_summ.core.files import file_sha256
from llm_summ.runs.run import Run

__all__ = ["trained_model", "weights_sha256"]


def trained_model(run: Run) -> Path:
    """Return the folder of a run's trained model after checking its files; no weights are loaded.

    Raises:
        RunError: a file is missing.
    """
    again = "train it again, or choose another run with --run"
    if not run.model.is_dir():
        raise RunError(f"{run.path}: no model; its training did not finish; {again}")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (run.model / name).is_file():
            raise RunError(f"{run.model}: no {name}; the model is incomplete; {again}")
    if not any(run.model.glob("*.safetensors")):
        raise RunError(f"{run.model}: no weights (*.safetensors); the model is incomplete; {again}")
    return run.model


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights in a folder; of several files, one for each, in the order of names."""
    return "+".join(file_sha256(path) for path in sorted(folder.glob("*.safetensors")))
