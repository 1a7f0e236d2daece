"""The folder into which `summarize --out` writes: a file for each input, and a record of what is finished."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, InputError
from llm_summ.core.files import append_lines, read_jsonl, text_sha256, write_json, write_text
from llm_summ.core.formatting import counted
from llm_summ.core.progress import say
from llm_summ.data.inputs import Input
from llm_summ.data.source import make_folder
from llm_summ.generate.summarize_files import FileSummaries

__all__ = ["SummaryFolder"]


@dataclass(frozen=True, slots=True)
class SummaryFolder:
    """A folder with a file of summaries for each input, and a record of the finished ones.

    Attributes:
        path: the folder.
        settings: everything besides the dialogues that the summaries depend on; a change makes them again.
        as_json: whether files are JSON instead of text, or CSV for several dialogues.
    """

    path: Path
    settings: Mapping[str, Any]
    as_json: bool = False

    def prepare(self, inputs: Sequence[Input]) -> list[Input]:
        """Make the folder, and return the inputs that are not finished.

        Raises:
            DataError: two inputs have the same name, or the folder cannot be made.
        """
        make_folder(self.path, "a folder for the summaries")
        names: dict[Path, str] = {}
        for item in inputs:
            file = self.file(item)
            if file in names:
                raise DataError(f"--out {self.path}: {names[file]} and {item.name} are both {file}; rename one")
            names[file] = item.name
        finished = self._finished()
        left = [
            item
            for item in inputs
            if item.error
            or finished.get(self.file(item).name) != self._identity(item)
            or not self.file(item).is_file()
        ]
        if len(left) < len(inputs):
            say(f"{self.path}: {len(inputs) - len(left)} of {counted(len(inputs), 'file')} already exist")
        return left

    def file(self, item: Input) -> Path:
        """Return the file of an input's summaries."""
        suffix = "json" if self.as_json else "txt" if len(item.dialogues) < 2 else "csv"
        return self.path / f"{item.stem}.summary.{suffix}"

    def write(self, item: Input, found: FileSummaries) -> Path:
        """Write an input's summaries, and record that they are finished."""
        file = self.file(item)
        if self.as_json:
            write_json(file, found.to_json())
        elif len(found.summaries) == 1:
            write_text(file, found.summaries[0].text + "\n")
        else:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["fname", "summary"])
            writer.writerows([summary.id, summary.summary] for summary in found.summaries)
            write_text(file, out.getvalue())
        with append_lines(self._record) as lines:
            line = {"file": file.name, "made_of": self._identity(item)}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        return file

    @property
    def _record(self) -> Path:
        return self.path / ".finished.jsonl"

    def _identity(self, item: Input) -> str:
        texts = [(dialogue.id, list(map(str, dialogue.turns))) for dialogue in item.dialogues]
        return text_sha256(json.dumps([texts, dict(self.settings)], ensure_ascii=False, sort_keys=True))

    def _finished(self) -> dict[str, str]:
        if not self._record.is_file():
            return {}
        try:
            return {
                str(line.get("file")): str(line.get("made_of"))
                for _, line in read_jsonl(self._record, may_be_torn=True)
            }
        except InputError:
            return {}  # it only saves work
