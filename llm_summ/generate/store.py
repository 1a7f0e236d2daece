"""Raw predictions on disk: ``predictions/<data>.<engine>.jsonl``, a line each, and what made them beside it.

Where several candidates are asked for, they stand in ``candidates/<data>.<engine>.<decoding>.jsonl``, a line each.
One process at a time writes a file (`PredictionFile.writing`); those of other data or engines have other files.
The identity (``<data>.<engine>.json``) names what the texts depend on: model, adapter, prompt, data, decoding,
engine and its version, device and dtype. A file is continued only under the same identity; under another one
it is moved into ``earlier/``, and a new file is begun.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from llm_summ.core.errors import InputError, PredictionError
from llm_summ.core.files import append_lines, read_jsonl, text_sha256, write_json
from llm_summ.core.locks import locked
from llm_summ.data.prediction_identity import identity_path, is_prediction, read_identity

__all__ = ["FinishReason", "Prediction", "PredictionFile", "take_over"]

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
        sample: which of the dialogue's candidates it is, from 0.
        logprob: the sum of the tokens' log-probabilities (natural logarithm); None where the engine does not say.
    """

    fname: str
    dialogue: str
    summary: str
    tokens: int
    finish_reason: FinishReason
    sample: int = 0
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """A prediction file and its identity."""

    path: Path

    @property
    def identity_path(self) -> Path:
        """The JSON file beside it."""
        return identity_path(self.path)

    def identity(self) -> dict[str, Any]:
        """What made the predictions; empty if it is not known."""
        return read_identity(self.path)

    def read(self) -> list[Prediction]:
        """Every whole line; shape (n,).

        Raises:
            PredictionError: a line is not a prediction.
        """
        predictions = []
        try:
            for line, value in read_jsonl(self.path, may_be_torn=True):
                if not is_prediction(value):
                    raise PredictionError(f"{self.path}:{line}: not a prediction of `llm-summ generate`")
                predictions.append(Prediction(**value))
        except PredictionError:
            raise
        except InputError as error:
            raise PredictionError(str(error)) from error
        return predictions

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Hold the file and its identity; they are in a folder of their run.

        Raises:
            RunError: another process writes them; names that.
        """
        folder = self.path.absolute().parent
        return locked(folder.parent, f"{folder.name}/{self.path.name}", f"{self.path}: is being written")

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


def take_over(file: PredictionFile, identity: dict[str, Any], folders: Sequence[Path]) -> None:
    """Begin a prediction file with what other files hold for the same identity, but for the limit.

    A text that ended by itself within a limit is the text for any limit that it keeps to. Nothing is done if the
    file has lines already.

    Args:
        file: the file to begin.
        identity: what makes its predictions.
        folders: where other files are; damaged ones are left out.
    """
    if file.kept(identity):
        return
    limit = identity["max_new_tokens"]
    found: dict[tuple[str, int], Prediction] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.jsonl") if path != file.path):
        other = PredictionFile(path)
        of = other.identity()
        if {**of, "max_new_tokens": limit, "data": None} != {**identity, "data": None}:
            continue
        if (of.get("data") or {}).get("sha256") != identity["data"]["sha256"]:
            continue
        same = of["max_new_tokens"] == limit
        # Beams that are cut off compete with those that ended: another limit, another text.
        by_beams = isinstance(of["decoding"], dict) and of["decoding"]["beams"] > 1
        if by_beams and not same:
            continue
        with contextlib.suppress(PredictionError):
            for one in other.read():
                if same or (one.finish_reason == "stop" and 0 < one.tokens <= limit):
                    found.setdefault((one.fname, one.sample), one)
    if found:
        file.begin(identity)
        with file.appending() as out:
            for one in found.values():
                out.add(one)


class _Appender:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, prediction: Prediction) -> None:
        """Append one line."""
        self._out.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
