"""Feedback on summaries, appended to a file that preference training reads: prompt, chosen, rejected."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

from llm_summ.core.errors import DataError, InputError, file_problem
from llm_summ.core.formatting import utc_now
from llm_summ.data.preparation import prepare
from llm_summ.serve.bodies import FeedbackBody
from llm_summ.serve.reading import read_whole
from llm_summ.serve.served_model import Asked, ServedModel

__all__ = ["FeedbackFile"]


class FeedbackFile:
    """A JSONL file that only its owner can read.

    Args:
        path: the file; lines are appended.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append(b"")
        except OSError as error:
            raise InputError(file_problem(f"--feedback {path}", "written", error)) from error

    def add(self, body: FeedbackBody, model: ServedModel) -> None:
        """Append a preference, with the prompt as the model gets it.

        Raises:
            InputError: the dialogue cannot be read or does not fit, or a text is empty.
        """
        for name in ("chosen", "rejected"):
            if not getattr(body, name).strip():
                raise DataError(f"{name}: found no text; expected a summary")
        if body.chosen.strip() == body.rejected.strip():
            raise DataError("chosen and rejected are the same text; expected two summaries")
        renderer = model.summarizer(Asked(body.prompt, body.length)).renderer
        dialogue = read_whole(body.dialogue, "dialogue")
        # The summaries get the same tags and masks as the dialogue.
        prepared = prepare(
            replace(dialogue, references=(body.chosen, body.rejected)), body.handling(model.speakers(body.prompt))
        ).dialogue
        row = renderer.prompt(replace(prepared, references=()))
        chosen, rejected = prepared.references
        line = {
            "prompt": renderer.prompt_text(row),
            "chosen": renderer.template.completion(chosen),
            "rejected": renderer.template.completion(rejected),
            "model": model.name,
            "kind": body.kind,
            "time": utc_now(),
        }
        renderer.forget()
        self._append(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        with self._lock:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                while line:
                    line = line[os.write(file, line) :]
                os.fsync(file)
            finally:
                os.close(file)
