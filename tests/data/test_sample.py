"""The bundled sample holds what its card promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue, copy_sample, dialogue_hash, read_dialogues

PARTS = ("train", "dev", "test")
MASKED = "PhoneNumber", "Address", "DateOfBirth", "PassportNumber", "CardNumber", "Email", "CarNumber", "SSN"
MASKS = {f"#{name}#" for name in (*MASKED, "PersonName")}
TAG = re.compile(r"#[A-Za-z]+\d*#")
TURN = re.compile(r"#Person\d#: \S.*")


@pytest.fixture(scope="module")
def sample() -> dict[str, list[Dialogue]]:
    return {part: read_dialogues(f"sample:{part}", references=True) for part in PARTS}


@pytest.mark.parametrize(("part", "least"), [("train", 120), ("dev", 30), ("test", 30)])
def test_it_is_large_enough(sample: dict[str, list[Dialogue]], part: str, least: int) -> None:
    assert len(sample[part]) >= least


@pytest.mark.parametrize("part", PARTS)
def test_every_dialogue_is_of_the_competitions_shape(sample: dict[str, list[Dialogue]], part: str) -> None:
    for dialogue in sample[part]:
        assert 4 <= len(dialogue.turns) <= 20, dialogue.id
        assert 2 <= len(dialogue.speakers) <= 5, dialogue.id
        assert dialogue.topic, dialogue.id
        assert all(TURN.fullmatch(turn) for turn in dialogue.turn_texts), dialogue.id


@pytest.mark.parametrize("part", PARTS)
def test_ids_differ_and_have_gaps(sample: dict[str, list[Dialogue]], part: str) -> None:
    """Code that makes ids by counting fails with this sample, and not only in the competition."""
    numbers = [int(dialogue.id.removeprefix(f"{part}_")) for dialogue in sample[part]]
    assert numbers == sorted(set(numbers))
    assert max(numbers) - min(numbers) + 1 > len(numbers)


def test_every_mask_and_only_the_known_ones_occur(sample: dict[str, list[Dialogue]]) -> None:
    found = {tag for part in PARTS for dialogue in sample[part] for tag in TAG.findall(dialogue.text)}
    assert {tag for tag in found if not re.fullmatch(r"#Person\d#", tag)} == MASKS


@pytest.mark.parametrize("part", PARTS)
def test_a_reference_uses_no_tag_that_its_dialogue_lacks(sample: dict[str, list[Dialogue]], part: str) -> None:
    for dialogue in sample[part]:
        used = {tag for reference in dialogue.references for tag in TAG.findall(reference)}
        assert used <= set(TAG.findall(dialogue.text)), dialogue.id


def test_training_rows_have_one_reference(sample: dict[str, list[Dialogue]]) -> None:
    assert {len(dialogue.references) for dialogue in sample["train"]} == {1}


@pytest.mark.parametrize("part", ["dev", "test"])
def test_dev_and_test_have_three_references_that_differ(sample: dict[str, list[Dialogue]], part: str) -> None:
    for dialogue in sample[part]:
        assert len(dialogue.references) == len(set(dialogue.references)) == 3, dialogue.id


def test_no_dialogue_occurs_twice(sample: dict[str, list[Dialogue]]) -> None:
    hashes = [dialogue_hash(dialogue.text) for part in PARTS for dialogue in sample[part]]
    assert len(set(hashes)) == len(hashes)


def test_a_copy_is_the_sample_with_its_card(tmp_path: Path, sample: dict[str, list[Dialogue]]) -> None:
    written = copy_sample(tmp_path / "new" / "folder")
    assert sorted(path.name for path in written) == ["README.md", "dev.csv", "test.csv", "train.csv"]
    for part in PARTS:
        assert read_dialogues(str(tmp_path / "new" / "folder" / f"{part}.csv")) == sample[part]


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "test.csv"
    mine.write_text("mine", encoding="utf-8")
    with raises(DataError) as error:
        copy_sample(tmp_path)
    assert error.message == snapshot("…/test.csv: is there already; choose an empty folder")
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_copy_into_a_file_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine", encoding="utf-8")
    for folder, said in (
        (mine, snapshot("…/mine: is a file; expected a folder")),
        (
            mine / "inner" / "folder",
            snapshot("…/mine/inner/folder: cannot be made (Not a directory); choose another folder"),
        ),
    ):
        with raises(DataError) as error:
            copy_sample(folder)
        assert error.message == said
    # How much of the name is shown depends on the length of the temporary folder's.
    with pytest.raises(DataError, match=r"cannot be used \(File name too long\)"):
        copy_sample(tmp_path / ("x" * 300))
    assert mine.read_text(encoding="utf-8") == "mine"
