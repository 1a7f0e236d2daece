"""Whether predictions belong to data: every reader of predictions gives the same message."""

from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PredictionError
from llm_summ.predictions.id_matching import check_dialogues, check_ids

PATH = Path("out.csv")
COUNTED = (
    "out.csv: its ids were made by counting, and from dev_1 on they belong to other rows (dev.csv has dev_3 "
    "there); take each id from the data"
)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("dev_0 dev_3 dev_4", None),
        ("dev_4 dev_0 dev_3", None),  # the order does not count
        (
            "dev_0 dev_3",
            snapshot("out.csv: lacks 1 of the 3 ids of dev.csv (dev_4); expected exactly the ids of dev.csv"),
        ),
        (
            "dev_0 dev_3 dev_4 a",
            snapshot("out.csv: has 1 id that is not in dev.csv (a); expected exactly the ids of dev.csv"),
        ),
        (
            "dev_0 dev_3 a",
            snapshot(
                "out.csv: lacks 1 of the 3 ids of dev.csv (dev_4) and has 1 id that is not in dev.csv (a); "
                "expected exactly the ids of dev.csv"
            ),
        ),
        (
            "dev_0 dev_1 dev_2",
            snapshot(
                "out.csv: its ids were made by counting, and from dev_1 on they belong to other rows (dev.csv has "
                "dev_3 there); take each id from the data"
            ),
        ),
    ],
)
def test_ids_are_those_of_the_data(ids: str, message: str | None) -> None:
    if message is None:
        check_ids(PATH, ids.split(), ["dev_0", "dev_3", "dev_4"], "dev.csv")
        return
    with raises(PredictionError) as error:
        check_ids(PATH, ids.split(), ["dev_0", "dev_3", "dev_4"], "dev.csv")
    assert error.message == message


def test_counted_ids_in_another_order_are_accepted() -> None:
    check_ids(PATH, ["dev_0", "dev_1", "dev_2"], ["dev_0", "dev_2", "dev_1"], "dev.csv")


def test_a_file_may_have_more_ids_than_are_wanted() -> None:
    check_ids(PATH, ["a", "b"], ["b"], "sample.csv", may_have_more=True)
    with raises(PredictionError) as error:
        check_ids(PATH, ["a"], ["b"], "sample.csv", may_have_more=True, hint="generate it")
    assert error.message == snapshot("out.csv: lacks 1 of the 1 ids of sample.csv (b); generate it")


def test_other_dialogues_behind_the_ids_are_named() -> None:
    check_dialogues(PATH, [("a", True)], "dev.csv")
    with raises(PredictionError) as error:
        check_dialogues(PATH, [("a", True), ("b", False)], "dev.csv")
    assert error.message == snapshot(
        "out.csv: made from other dialogues than those of dev.csv (1 differs: b); generate from the same data"
    )
