"""Splitting a file: every row once, parts alike in length, near-duplicates on one side, a seed that is kept to."""

from __future__ import annotations

import csv
import math
import random
import resource
import statistics
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError
from llm_summ.data import read_dialogues
from llm_summ.data.split import Part, split_file, split_table
from llm_summ.data.table import Record, Table

WORDS = "가게 나무 다리 라면 마음 바다 사과 아침 자전거 창문 카드 토끼 편지 하늘 고양이 노래"


def _text(seed: int, turns: int) -> str:
    """Return a dialogue unlike that of any other seed."""
    chance = random.Random(seed)
    return "\n".join(f"#Person{1 + n % 2}#: {' '.join(chance.choices(WORDS.split(), k=9))}" for n in range(turns))


def _table(texts: list[str]) -> Table:
    records = [Record(n + 2, {"fname": f"x_{n}", "dialogue": text}) for n, text in enumerate(texts)]
    return Table(Path("all.csv"), ("fname", "dialogue"), records)


def _ids(table: Table) -> list[str]:
    return [record.values["fname"] for record in table.records]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(12, 60), st.floats(0.1, 0.4), st.booleans(), st.integers(0, 5))
def test_every_row_is_in_one_part(rows: int, share: float, with_test: bool, seed: int) -> None:
    table = _table([_text(n, 2 + n % 7) for n in range(rows)])
    sizes = {"dev": share} | ({"test": 3.0} if with_test else {})
    parts, together = split_table(table, sizes, seed)
    assert [part.name for part in parts] == ["train", *sizes]
    assert together == 0
    assert sorted(name for part in parts for name in _ids(part.table)) == sorted(_ids(table))
    assert [len(part.table.records) for part in parts] == [part.wanted for part in parts]
    assert parts[1].wanted == round(share * rows)
    for part in parts:  # in the file's order
        assert [record.line for record in part.table.records] == sorted(
            record.line for record in part.table.records
        )
    again, _ = split_table(table, sizes, seed)
    assert [_ids(part.table) for part in again] == [_ids(part.table) for part in parts]


def test_another_seed_is_another_split() -> None:
    table = _table([_text(n, 4) for n in range(60)])
    assert len({tuple(_ids(split_table(table, {"dev": 0.2}, seed)[0][1].table)) for seed in range(4)}) == 4


def test_the_parts_are_alike_in_length() -> None:
    table = _table([_text(n, 2 + n // 10) for n in range(200)])
    parts, _ = split_table(table, {"dev": 40}, 7)
    dev = sorted(len(record.values["dialogue"]) for record in parts[1].table.records)
    whole = sorted(len(record.values["dialogue"]) for record in table.records)
    tenths = [whole[n * 20] for n in range(1, 10)]
    counts = [
        sum(low <= length < high for length in dev)
        for low, high in zip([0, *tenths], [*tenths, 10**9], strict=True)
    ]
    # Four of forty in every tenth, except for dialogues of equal length at an edge.
    assert all(2 <= count <= 6 for count in counts)
    assert sum(counts) == 40


def test_near_duplicates_stay_together() -> None:
    texts = [_text(n % 40, 6) for n in range(120)]  # each three times
    texts = [
        text if n < 40 else text.replace(" ", "") if n < 80 else text.replace("#Person1#", "#Person3#")
        for n, text in enumerate(texts)
    ]
    parts, together = split_table(_table(texts), {"dev": 30}, 1)
    assert together == 40
    sides = {name: part.name for part in parts for name in _ids(part.table)}
    for n in range(40):
        assert len({sides[f"x_{n}"], sides[f"x_{n + 40}"], sides[f"x_{n + 80}"]}) == 1
    assert 27 <= len(parts[1].table.records) <= 30


def _mean_length(part: Part) -> float:
    return statistics.fmean(len(record.values["dialogue"]) for record in part.table.records)


@pytest.mark.parametrize(
    ("sizes", "copies"),
    [({"dev": 1}, [1]), ({"dev": 10}, [3, 4, 5]), ({"dev": 16, "test": 10}, [3, 5]), ({"dev": 10}, [1, 1, 1, 4])],
)
def test_no_part_is_longer_on_the_average(sizes: dict[str, float], copies: list[int]) -> None:
    """Over many seeds every part is as long as the whole, for any groups of near-duplicates."""
    table = _table([_text(n, 2 + n // 2) for n in range(24) for _ in range(copies[n % len(copies)])])
    [whole, *_] = split_table(table, {"dev": 0.5}, 0)[0]
    mean = statistics.fmean(len(record.values["dialogue"]) for record in table.records)
    assert len(whole.table.records) < len(table.records)
    found: dict[str, list[float]] = {name: [] for name in sizes}
    for seed in range(150):
        for part in split_table(table, sizes, seed)[0][1:]:
            found[part.name].append(_mean_length(part))
    for name, means in found.items():
        error = statistics.stdev(means) / math.sqrt(len(means))
        assert abs(statistics.fmean(means) - mean) < max(3.5 * error, 0.06 * mean), name


def test_a_part_without_rows_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    rows = "".join(f'{n},"{_text(1, 6)} {n}"\n' for n in range(20))
    path.write_text(f"fname,dialogue\n{rows}", encoding="utf-8")
    with raises(DataError) as error:
        split_file(str(path), tmp_path / "parts", {"dev": 0.2}, 1)
    assert error.message == snapshot(
        "…/all.csv: no rows are left for dev, 4 requested: near-duplicate dialogues stay together, up to "
        "20 of the 20 rows; request other sizes, or remove duplicates (llm-summ data check …/all.csv)"
    )
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "a,x\nb, \nc,z\n",
            snapshot(
                "…/all.csv:3: b: empty dialogue; fill it in or remove the row (all such rows: llm-summ data check "
                "…/all.csv)"
            ),
        ),
        (
            "a,x\n,y\nc,z\n",
            snapshot(
                "…/all.csv:3: empty fname; every row needs an id (all such rows: llm-summ data check …/all.csv)"
            ),
        ),
        (
            "a,x\nb,y\na,z\n",
            snapshot(
                "…/all.csv:4: duplicate id a, first in line 2; ids must differ (all such rows: llm-summ data "
                "check …/all.csv)"
            ),
        ),
    ],
)
def test_rows_that_no_reader_takes_are_not_split(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "all.csv"
    path.write_text(f"fname,dialogue\n{rows}", encoding="utf-8")
    with raises(DataError) as error:
        split_file(str(path), tmp_path / "parts", {"dev": 1}, 1)
    assert error.message == said


def test_a_part_that_cannot_be_written_leaves_none(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    (folder / "dev.csv").mkdir(parents=True)
    with raises(DataError) as error:
        split_file("sample:train", folder, {"dev": 0.2}, 1)
    assert error.message == snapshot("…/parts/dev.csv: is there already; choose an empty folder")
    assert not (folder / "train.csv").exists()
    # A full disk, of which there is enough for train, but not for dev.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with raises(DataError) as error:
            split_file("sample:train", tmp_path / "new", {"dev": 0.9}, 1)
        assert error.message == snapshot(
            "…/new/dev.csv: cannot be written (File too large); no file may be so large here: choose another "
            "folder, or raise the limit with ulimit -f"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "new").iterdir())


def test_what_is_said_of_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "all.csv"
    texts = [_text(1, 6), _text(1, 6).replace(" ", ""), _text(2, 4), _text(3, 5)]
    rows = "".join(f'{n},"{text}"\n' for n, text in enumerate(texts))
    path.write_bytes(f"fname,dialogue\n{rows}".encode("cp949"))
    lines = split_file(str(path), tmp_path / "parts", {"dev": 1}, 1)
    assert [line.partition(": ")[2].partition(",")[0] for line in lines] == [
        *("3 rows", "1 row", "1 group of near-duplicate dialogues"),
    ]
    assert plain(capsys.readouterr().err) == snapshot(
        "…/all.csv: read as CP949 (it is not UTF-8)\n…/all.csv: is CP949; files written from it are UTF-8\n"
    )
    parts, _ = split_table(_table(["가", "나나", "다다다다", "라"]), {"dev": 2}, 1)
    for part in parts:
        assert part.median_length == statistics.median(len(r.values["dialogue"]) for r in part.table.records)


def test_a_file_is_split_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = split_file("sample:train", Path("parts"), {"dev": 0.25, "test": 10}, 3)
    assert plain(lines[1]) == snapshot("parts/dev.csv: 32 rows, 447.5 characters (median)")
    parts = {name: read_dialogues(f"parts/{name}.csv", references=True) for name in ("train", "dev", "test")}
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 86, "dev": 32, "test": 10}
    rows = [row for part in parts.values() for row in part]
    assert sorted(rows, key=lambda d: d.id) == sorted(read_dialogues("sample:train"), key=lambda d: d.id)
    with Path("parts/dev.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["fname", "dialogue", "summary", "topic"]
    with raises(DataError) as error:
        split_file("sample:train", Path("parts"), {"dev": 0.25}, 3)
    assert error.message == snapshot("parts/train.csv: is there already; choose an empty folder")


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (
            {"dev": 128},
            snapshot(
                "REPOSITORY/llm_summ/data/sample/train.csv: 128 rows are too few for dev 128 and a train part; "
                "request fewer"
            ),
        ),
        (
            {"dev": 0.5, "test": 0.5},
            snapshot(
                "REPOSITORY/llm_summ/data/sample/train.csv: 128 rows are too few for dev 64, test 64 and a train "
                "part; request fewer"
            ),
        ),
        (
            {"dev": 0.001},
            snapshot(
                "--dev 0.001: of 128 rows of REPOSITORY/llm_summ/data/sample/train.csv this is none; expected a "
                "larger share, or a number of rows"
            ),
        ),
        ({"dev": 1.5}, snapshot("--dev 1.5: expected a share between 0 and 1, or a number of rows")),
        ({"dev": 0}, snapshot("--dev 0: expected a share between 0 and 1, or a number of rows")),
        ({"dev": math.nan}, snapshot("--dev nan: expected a share between 0 and 1, or a number of rows")),
        ({"dev": math.inf}, snapshot("--dev inf: expected a share between 0 and 1, or a number of rows")),
        (
            {"dev": 0.1, "test": -math.inf},
            snapshot("--test -inf: expected a share between 0 and 1, or a number of rows"),
        ),
        ({"dev": -3}, snapshot("--dev -3: expected a share between 0 and 1, or a number of rows")),
    ],
)
def test_sizes_that_cannot_be_had(tmp_path: Path, sizes: dict[str, float], said: str) -> None:
    with raises(DataError) as error:
        split_file("sample:train", tmp_path / "parts", sizes, 1)
    assert error.message == said
    assert not (tmp_path / "parts").exists()
