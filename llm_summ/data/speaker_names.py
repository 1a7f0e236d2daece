"""Map files, which rename or merge speakers: YAML (``참석자 1: 김 과장``) or CSV (``참석자 1,김 과장``)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.encoding import read_text
from llm_summ.data.speakers import speaker_key
from llm_summ.data.tags import PERSON_TAG

__all__ = ["parse_speaker_names", "read_speaker_names"]

_HEADER = ["speaker", "name"]
_COMMENTED_TAG = re.compile(rf"^[ \t]*{PERSON_TAG}[ \t]*:", re.MULTILINE)


def read_speaker_names(path: Path) -> dict[str, str]:
    """Read the map file at a path: CSV if its name ends with ``.csv``, YAML otherwise.

    Raises:
        DataError: the file cannot be read, or `parse_speaker_names` refuses it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected lines such as '참석자 1: 김 과장'")
    text, _ = read_text(path)
    return parse_speaker_names(text, str(path))


def parse_speaker_names(text: str, where: str) -> dict[str, str]:
    """Return the name of each speaker of a map file.

    Args:
        text: the content of the file. In CSV a first row ``speaker,name`` is a header.
        where: the name of the file, for messages; its suffix tells the format.

    Raises:
        DataError: there is no pair, a pair is not a speaker and a name, or a speaker has two names.
    """
    pairs = _csv_pairs(text, where) if where.lower().endswith(".csv") else _yaml_pairs(text, where)
    names: dict[str, str] = {}
    for line, speaker, name in pairs:
        key, name = speaker_key(speaker), speaker_key(name)
        if not key or not name:
            raise DataError(f"{where}:{line}: found an empty {'name' if key else 'speaker'}; fill it in")
        if re.search(PERSON_TAG, name):
            raise DataError(f"{where}:{line}: found the tag {name} as a name; write the name of a person")
        if names.setdefault(key, name) != name:
            raise DataError(f"{where}:{line}: {key} is both {names[key]} and {name}; keep one of the two")
    if not names:
        raise DataError(f"{where}: no names; expected lines such as '참석자 1: 김 과장'")
    return names


def _csv_pairs(text: str, where: str) -> Iterable[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if not any(map(str.strip, row)) or (reader.line_num == 1 and [*map(str.strip, row)] == _HEADER):
                continue
            if len(row) != 2:
                raise DataError(
                    f"{where}:{reader.line_num}: found {len(row)} columns; expected two, a speaker and a name"
                )
            yield reader.line_num, row[0], row[1]
    except csv.Error as error:
        raise DataError(f"{where}:{reader.line_num}: not CSV ({error}); close the quotation mark") from error


def _yaml_pairs(text: str, where: str) -> Iterable[tuple[int, str, str]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    if comment := _COMMENTED_TAG.search(text):
        line = text.count("\n", 0, comment.start()) + 1
        tag = comment[0].strip(" \t:")
        raise DataError(f"{where}:{line}: {tag} is a comment for YAML; put it in quotation marks: '{tag}'")
    try:
        tree = YAML().compose(text)  # nodes have the text as it is written: 01012345678 keeps its 0
    except YAMLError as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = mark.line + 1 if mark else 1
        reason = " ".join(str(getattr(error, "problem", None) or "damaged").split())
        raise DataError(f"{where}:{line}: not YAML ({reason}); expected '참석자 1: 김 과장'") from error
    if tree is None:
        return
    if not isinstance(tree, MappingNode):
        raise DataError(f"{where}: found no pairs; expected lines such as '참석자 1: 김 과장'")
    for speaker, name in tree.value:
        line = speaker.start_mark.line + 1
        for node in (speaker, name):
            kind = node.tag.rsplit(":", 1)[-1]
            if not isinstance(node, ScalarNode) or kind in ("bool", "null"):
                found = {"null": "nothing", "seq": "a list", "map": "pairs"}.get(kind, kind)
                raise DataError(
                    f"{where}:{line}: found {found}; expected a speaker and a name, '참석자 1: 김 과장'"
                )
        yield line, speaker.value, name.value
