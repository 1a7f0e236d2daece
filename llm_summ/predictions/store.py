"""The store of raw predictions: ``predictions/<data>.<engine>.jsonl``, a line each, next to its identity.

Several candidates of each dialogue are in ``candidates/<data>.<engine>.<decoding>.jsonl``, a line each. One
process at a time writes a file (`PredictionFile.writing`); other data or engines have other files. The identity
(``<data>.<engine>.json``, `llm_summ.predictions.identity`) has everything that the texts depend on. A file is
continued only if its identity is unchanged. Otherwise it is moved into ``earlier/``, and a new file is begun.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from llm_summ.core.errors import InputError, PredictionError
from llm_summ.core.files import append_lines, read_jsonl, text_sha256, write_json
from llm_summ.core.locks import locked
from llm_summ.predictions.identity import PredictionIdentity, identity_path, read_identity
from llm_summ.predictions.prediction import Prediction, is_prediction

__all__ = ["PredictionFile", "take_over"]


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """A prediction file and its identity."""

    path: Path

    @property
    def identity_path(self) -> Path:
        """The JSON file next to it."""
        return identity_path(self.path)

    def identity(self) -> PredictionIdentity | None:
        """Return what the predictions depend on; None if it is not known."""
        return read_identity(self.path)

    def read(self) -> list[Prediction]:
        """Return every whole line; shape (n,).

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
        """Lock the file and its identity; they are in a folder of their run.

        Raises:
            RunError: another process writes them; the message names it.
        """
        folder = self.path.absolute().parent
        return locked(folder.parent, f"{folder.name}/{self.path.name}", f"{self.path}: is being written")

    def kept(self, identity: PredictionIdentity) -> list[Prediction]:
        """Return the predictions that the file already has for `identity`, without changing it."""
        return self.read() if self._is_of(identity) else []

    def begin(self, identity: PredictionIdentity) -> list[Prediction]:
        """Prepare the file for `identity`; return the predictions that it already has."""
        if self._is_of(identity):
            return self.read()
        if self.path.exists():
            self._set_aside()
        write_json(self.identity_path, identity.to_json())
        return []

    @contextlib.contextmanager
    def appending(self) -> Iterator[_Appender]:
        """Append predictions; each one survives a kill of the process as soon as `add` returns."""
        with append_lines(self.path) as out:
            yield _Appender(out)

    def _is_of(self, identity: PredictionIdentity) -> bool:
        if not self.path.exists():
            return False
        own = self.identity()
        # Compared as stored: a field that a file of another version lacks does not have this version's default.
        return own is not None and own.to_json() == identity.to_json()

    def _set_aside(self) -> Path:
        """Move file and identity into ``earlier/``, where `eval` ignores them."""
        identity = self.identity()
        mark = text_sha256(json.dumps({} if identity is None else identity.to_json(), sort_keys=True))[:8]
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


def take_over(file: PredictionFile, identity: PredictionIdentity, folders: Sequence[Path]) -> None:
    """Begin a prediction file with predictions of other files whose identity is equal except for the limit.

    A text that ended by itself is the same for every limit that it fits into. A file that already has lines is not
    changed.

    Args:
        file: the file to begin.
        identity: of its predictions.
        folders: the folders of the other files; damaged files are ignored.
    """
    if file.kept(identity):
        return
    limit, data_sha256 = identity.max_new_tokens, identity.data and identity.data.sha256
    taken: dict[tuple[str, int], Prediction] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.jsonl") if path != file.path):
        other = PredictionFile(path)
        of = other.identity()
        if of is None or _but_limit_and_data(of) != _but_limit_and_data(identity):
            continue
        if of.max_new_tokens is None or limit is None or (of.data and of.data.sha256) != data_sha256:
            continue
        same = of.max_new_tokens == limit
        # Beams that are cut off compete with those that ended: another limit gives another text.
        if of.beams > 1 and not same:
            continue
        with contextlib.suppress(PredictionError):
            for prediction in other.read():
                if same or (prediction.finish_reason == "stop" and 0 < prediction.tokens <= limit):
                    taken.setdefault((prediction.fname, prediction.sample), prediction)
    if taken:
        file.begin(identity)
        with file.appending() as out:
            for prediction in taken.values():
                out.add(prediction)


def _but_limit_and_data(identity: PredictionIdentity) -> dict[str, object]:
    return {**identity.to_json(), "max_new_tokens": None, "data": None}


class _Appender:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, prediction: Prediction) -> None:
        """Append one line."""
        self._out.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
