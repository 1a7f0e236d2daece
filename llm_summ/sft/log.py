"""Shows and records a training while it runs."""

from __future__ import annotations

import json
import math
import time
from typing import Any, TextIO

from transformers import TrainerCallback

from llm_summ.errors import TrainingError
from llm_summ.progress import Progress

__all__ = ["LogCallback"]

_FIELDS = ("loss", "learning_rate", "grad_norm")


class LogCallback(TrainerCallback):  # type: ignore[misc]
    """Feeds a progress bar and ``log.jsonl``.

    Args:
        out: ``log.jsonl``, opened for appending.
        progress: counts optimizer steps.

    Raises:
        TrainingError: from within the training, when the loss is not a number.
    """

    def __init__(self, out: TextIO, progress: Progress) -> None:
        self._out, self._progress = out, progress
        self._started = 0.0
        self._note = ""
        self.last_loss = math.nan
        self.tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock: loading the model does not count as training."""
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Move the bar; the last step is always logged."""
        self._progress.advance(1, self._note)
        if state.global_step >= state.max_steps:
            control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Write one line for each logged step."""
        if "loss" not in logs:
            return
        seconds = time.monotonic() - self._started
        self.last_loss, self.tokens = float(logs["loss"]), int(logs.get("num_tokens", 0))
        if not math.isfinite(self.last_loss):
            raise TrainingError(
                f"step {state.global_step}: the loss is {self.last_loss}; lower train.learning_rate, "
                "or set model.compute_dtype to float32 or bfloat16"
            )
        entry: dict[str, float | None] = {"step": state.global_step, "epoch": round(float(state.epoch or 0), 4)}
        for name in _FIELDS:
            value = float(logs.get(name, math.nan))
            # In float16 a step can overflow, and is left out by the loss scaler; JSON knows no infinity.
            entry[name] = value if math.isfinite(value) else None
        entry |= {"tokens": self.tokens, "seconds": round(seconds, 3)}
        self._out.write(json.dumps(entry) + "\n")
        self._note = f"loss {self.last_loss:.3f}, {self.tokens / seconds:.0f} tokens/s"
        self._progress.advance(0, self._note)
