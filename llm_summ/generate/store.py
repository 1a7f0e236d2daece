"""Raw predictions on disk: ``predictions/<data>.<engine>.jsonl``, a line each, and what made them beside it.

The identity (``<data>.<engine>.json``) names what the texts depend on: model, adapter, prompt, data, decoding,
engine and its version, device and dtype. A file is continued only under the same identity; under another one
it is moved into ``earlier/``, and a new file is begun.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from llm_summ.errors import InputError, PredictionError
from llm_summ.files import append_lines, read_jsonl, text_sha256, write_json

__all__ = ["FinishReason", "Prediction", "PredictionFile"]

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One generated text, as the model wrote it.

    Attributes:
        fname: the dialogue's id.
        dialogue: the dialogue's hash, from `llm_summ.data.dialogue_hash`.
        summary: the text, unchanged.
        tokens: generated tokens, the stop token included.
        finish_reason: "stop" if it ended by itself, "length" if it was cut off.
    """

    fname: str
    dialogue: str
    summary: str
    tokens: int
    finish_reason: FinishReason


_TYPES = {"fname": str, "dialogue": str, "summary": str, "tokens": int, "finish_reason": str}


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """A prediction file and its identity."""

    path: Path

    @property
    def identity_path(self) -> Path:
        """The JSON file beside it."""
        return self.path.with_suffix(".json")

    def identity(self) -> dict[str, Any]:
        """What made the predictions; empty if it is not known."""
        try:
            return dict(json.loads(self.identity_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def read(self) -> list[Prediction]:
        """Every whole line; shape (n,).

        Raises:
            PredictionError: a line is not a prediction.
        """
        predictions = []
        try:
            for line, value in read_jsonl(self.path, may_be_torn=True):
                if {key: type(item) for key, item in value.items()} != _TYPES:
                    raise PredictionError(f"{self.path}:{line}: not a prediction of `llm-summ generate`")
                predictions.append(Prediction(**value))
        except PredictionError:
            raise
        except InputError as error:
            raise PredictionError(str(error)) from error
        return predictions

    def kept(self, identity: dict[str, Any]) -> list[Prediction]:
        """The predictions that the file holds already under `identity`; nothing is changed."""
        return self.read() if self._is_of(identity) else []

    def begin(self, identity: dict[str, Any]) -> list[Prediction]:
        """Make the file ready for `identity`; gives the predictions that it holds already."""
        if self._is_of(identity):
            return self.read()
        if self.path.exists():
            self._set_aside()
        write_json(self.identity_path, identity)
        return []

    @contextlib.contextmanager
    def appending(self) -> Iterator[_Appender]:
        """Append predictions; every one is durable against a kill when `add` returns."""
        with append_lines(self.path) as out:
            yield _Appender(out)

    def _is_of(self, identity: dict[str, Any]) -> bool:
        return self.path.exists() and self.identity() == identity

    def _set_aside(self) -> Path:
        """Move file and identity into ``earlier/``, where `eval` does not take them for current ones."""
        mark = text_sha256(json.dumps(self.identity(), sort_keys=True))[:8]
        earlier = self.path.parent / "earlier"
        earlier.mkdir(exist_ok=True)
        aside = earlier / f"{self.path.stem}.{mark}.jsonl"
        counter = 1
        while aside.exists():
            counter += 1
            aside = earlier / f"{self.path.stem}.{mark}-{counter}.jsonl"
        if self.identity_path.exists():
            self.identity_path.replace(aside.with_suffix(".json"))
        self.path.replace(aside)
        return aside


class _Appender:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, prediction: Prediction) -> None:
        """Append one line."""
        self._out.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
