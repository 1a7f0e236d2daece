"""The progress bar and the log of a running training."""

from __future__ import annotations

import json
import math
import os
import resource
import time
from typing import Any, TextIO

import torch
from transformers import TrainerCallback

from llm_summ.core.errors import TrainingError
from llm_summ.core.progress import Progress

__all__ = ["LogCallback", "memory_gib"]

_FIELDS = ("loss", "learning_rate", "grad_norm")
_GROUPS = ("grad_norm/", "objective/")


class LogCallback(TrainerCallback):  # type: ignore[misc]
    """Feeds a progress bar and ``log.jsonl``.

    Args:
        out: ``log.jsonl``, opened for appending; None in a process that is not the first.
        progress: counts optimizer steps.
        last: the last logged value of every field, if the training is resumed; else empty.

    Raises:
        TrainingError: from within the training, when the loss is not finite.
    """

    def __init__(self, out: TextIO | None, progress: Progress, last: dict[str, Any]) -> None:
        self._out, self._progress = out, progress
        self._seconds_before = float(last.get("seconds", 0.0))
        self._tokens_before = int(last.get("tokens", 0))
        self._started = 0.0
        self._note = ""
        self.last_loss = float(last.get("loss", math.nan))

    @property
    def seconds(self) -> float:
        """Duration of the training so far, with evaluations and the time before it was resumed."""
        return self._seconds_before + (time.monotonic() - self._started if self._started else 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock: loading the model does not count as training."""
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Advance the progress bar; the last step is always logged."""
        self._progress.advance(1, self._note)
        if state.global_step >= state.max_steps:
            control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Write a line for a logged step, or for an evaluation."""
        if "loss" in logs:
            self.last_loss = float(logs["loss"])
            if not math.isfinite(self.last_loss):
                raise TrainingError(
                    f"step {state.global_step}: the loss is {self.last_loss}; lower train.learning_rate, "
                    "or set model.compute_dtype to float32 or bfloat16"
                )
            entry = {name: _number(float(logs.get(name, math.nan))) for name in _FIELDS}
            entry |= {name: _number(float(value)) for name, value in logs.items() if name.startswith(_GROUPS)}
            rate = float(logs.get("tokens_per_second", 0.0))
            self._note = f"loss {self.last_loss:.3f}, {rate:.0f} tokens/s"
            self._progress.advance(0, self._note)
            self._write(state, entry | {"tokens": logs["num_tokens"], "seconds": round(self.seconds, 3)})
        elif "dev_score" in logs:
            figures = {name: _number(value) for name, value in logs.items() if name.startswith("dev_")}
            self._write(state, figures | {"seconds": round(self.seconds, 3)})

    def flush(self) -> None:
        """Flush every line to disk, so that the log is never behind a checkpoint."""
        if self._out is not None:
            self._out.flush()
            os.fsync(self._out.fileno())

    def _write(self, state: Any, entry: dict[str, Any]) -> None:
        if self._out is not None:
            head = {"step": state.global_step, "epoch": round(float(state.epoch or 0), 4)}
            try:
                self._out.write(json.dumps(head | entry) + "\n")
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._out.name) from error


def memory_gib() -> float:
    """Return the peak memory so far, of the GPU or of the process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved() / 2**30)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _number(value: float) -> float | None:
    # In float16 a step can overflow, and the loss scaler skips it; JSON has no infinity.
    return value if math.isfinite(value) else None
