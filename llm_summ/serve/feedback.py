"""Feedback on summaries, appended to a file that preference training reads: prompt, chosen, rejected."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llm_summ.core.errors import DataError, InputError, file_problem
from llm_summ.core.formatting import utc_now
from llm_summ.core.progress import say
from llm_summ.data import Dialogue
from llm_summ.data.preparation import prepare
from llm_summ.generate.summarizer import Summarizer
from llm_summ.serve.bodies import FeedbackBody
from llm_summ.serve.errors import HttpError
from llm_summ.serve.reading import Check, read_whole
from llm_summ.serve.served_model import Asked, ServedModel

__all__ = ["FeedbackFile"]


class FeedbackFile:
    """A JSONL file that only its owner can read: other rights of a file that exists are taken away.

    Args:
        path: the file; lines are appended.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._opened() as file:
                others = stat.S_IMODE(os.fstat(file).st_mode) & 0o077
                if others and _is_file(file):
                    os.fchmod(file, 0o600)
                    say(f"--feedback {path}: others could read it; now only its owner can")
        except OSError as error:
            raise InputError(file_problem(f"--feedback {path}", "written", error)) from error

    def add(self, body: FeedbackBody, model: ServedModel, check: Check) -> None:
        """Append a preference, with the prompt as the model gets it.

        Args:
            body: the preference.
            model: the model.
            check: is called again and again; what it raises ends the work.

        Raises:
            InputError: the dialogue cannot be read, or was not summarised by one prompt, or a text is empty.
            HttpError: the file cannot be written.
        """
        for name in ("chosen", "rejected"):
            if not getattr(body, name).strip():
                raise DataError(f"{name}: found no text; expected a summary")
        if body.chosen.strip() == body.rejected.strip():
            raise DataError("chosen and rejected are the same text; expected two summaries")
        summarizer = model.summarizer(Asked(body.prompt, body.length))
        try:
            line = _line(body, model, summarizer, check)
        finally:
            summarizer.renderer.forget()
        self._append(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            with self._lock, self._opened() as file:
                # A line that was cut off, by a full disk for example, must not spoil the next one.
                size = os.fstat(file).st_size if _is_file(file) else 0
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line
                while line:
                    line = line[os.write(file, line) :]
                os.fsync(file)
        except OSError as error:
            say(f"--feedback {self._path}: cannot be written ({error.strerror})")
            raise HttpError(500, "the feedback cannot be stored; the log has the reason", "not_stored") from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            yield file
        finally:
            os.close(file)


def _is_file(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def _line(body: FeedbackBody, model: ServedModel, summarizer: Summarizer, check: Check) -> dict[str, str]:
    """Return a line of the file.

    Raises:
        InputError: as for `FeedbackFile.add`.
    """
    dialogue = read_whole(body.dialogue, "dialogue")
    # The summaries get the same tags and masks as the dialogue.
    prepared = prepare(
        replace(dialogue, references=(body.chosen, body.rejected)), body.handling(model.speakers(body.prompt))
    ).dialogue
    renderer = summarizer.renderer
    chosen, rejected = prepared.references
    row = renderer.prompt(_summarized(body, summarizer, replace(prepared, references=()), check))
    return {
        "prompt": renderer.prompt_text(row),
        "chosen": renderer.template.completion(chosen),
        "rejected": renderer.template.completion(rejected),
        "model": model.name,
        "kind": body.kind,
        "time": utc_now(),
    }


def _summarized(body: FeedbackBody, summarizer: Summarizer, dialogue: Dialogue, check: Check) -> Dialogue:
    """Return what one prompt had: the dialogue, or the part of it.

    Raises:
        DataError: no single prompt led to the summary, or there is no such part.
    """
    if body.long == "truncate" and not body.part:
        return dialogue  # its prompt has dropped the same turns
    windows = (
        [dialogue] if body.long == "truncate" else [one.dialogue for one in summarizer.windows(dialogue, check)]
    )
    if body.part is None and len(windows) > 1:
        raise DataError(
            f"dialogue: was summarised in {len(windows)} parts; expected the number of one of them in part"
        )
    if (number := body.part or 0) >= len(windows):
        raise DataError(f"part: found {number}; expected 0 to {len(windows) - 1}")
    return windows[number]
