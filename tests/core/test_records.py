"""Records as JSON for programs, and those that are kept on a line and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from inline_snapshot import snapshot
from messages import raises
from pydantic import PositiveInt

from llm_summ.core.errors import PromptError
from llm_summ.core.records import JsonRecord, as_json, field_values, one_line, read_model


class Where(NamedTuple):
    row: int
    path: Path


@dataclass(frozen=True, slots=True)
class Plain:
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Inner(JsonRecord):
    name: str
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class Outer(JsonRecord):
    inner: Inner
    plain: Plain
    by_number: Mapping[int, tuple[Inner, ...]]

    def json_fields(self) -> dict[str, Any]:
        return {**field_values(self), "count": len(self.by_number)}


def test_a_record_is_json_to_its_last_part() -> None:
    where = Where(3, Path("a/b.csv"))
    record = Outer(Inner("x", where), Plain((1.5, 2.0)), {7: (Inner("y"),)})
    assert record.to_json() == {
        "inner": {"name": "x", "where": {"row": 3, "path": "a/b.csv"}},
        "plain": {"values": [1.5, 2.0]},
        "by_number": {"7": [{"name": "y", "where": None}]},
        "count": 1,
    }
    assert json.loads(json.dumps(record.to_json())) == record.to_json()
    assert as_json([record, None, True]) == [record.to_json(), None, True]


@dataclass(frozen=True, slots=True)
class Kept:
    edges: tuple[PositiveInt, ...] = field(metadata={"expected": "whole numbers above 0, ascending"})
    share: float = field(metadata={"expected": "a finite number"})

    def __post_init__(self) -> None:
        if list(self.edges) != sorted(self.edges):
            raise ValueError("edges")


def read(text: str) -> Kept:
    return read_model(text, Kept, "kept.json", "make it again", PromptError)


def test_what_is_written_is_read() -> None:
    kept = Kept((1, 20), 0.1 + 0.2)
    assert "\n" not in one_line(kept)
    assert read(one_line(kept)) == kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", snapshot("kept.json: expected an object with edges, share; make it again")),
        ('{"edges": [1]}', snapshot("kept.json: expected an object with edges, share; make it again")),
        (
            '{"edges": [1], "share": 1, "more": 2}',
            snapshot("kept.json: expected an object with edges, share; make it again"),
        ),
        (
            '{"edges": [0], "share": 1}',
            snapshot("kept.json: edges: expected whole numbers above 0, ascending; make it again"),
        ),
        (
            '{"edges": ["1"], "share": 1}',
            snapshot("kept.json: edges: expected whole numbers above 0, ascending; make it again"),
        ),
        (
            '{"edges": [2, 1], "share": 1}',
            snapshot("kept.json: edges: expected whole numbers above 0, ascending; make it again"),
        ),
        ('{"edges": [1], "share": NaN}', snapshot("kept.json: share: expected a finite number; make it again")),
        ('{"edges": [1], "share": true}', snapshot("kept.json: share: expected a finite number; make it again")),
    ],
)
def test_anything_else_is_refused_in_a_line(text: str, reason: str) -> None:
    with raises(PromptError) as caught:
        read(text)
    assert caught.message == reason


def test_what_is_no_json_is_refused() -> None:
    with raises(PromptError) as error:
        read("{")
    assert error.message == snapshot("kept.json: not valid JSON (…); make it again")
