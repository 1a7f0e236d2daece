"""Every row is trained once an epoch, in an order that the seed alone decides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_summ.plan.step_batches import StepBatchSampler, draw_steps, micro_batches
from llm_summ.prompt import TokenizedExample

LENGTHS = st.lists(st.integers(1, 900), min_size=1, max_size=400)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 99), st.integers(0, 3), st.booleans())
def test_every_row_stands_in_one_step(
    lengths: list[int], batch_size: int, seed: int, epoch: int, grouped: bool
) -> None:
    steps = draw_steps(lengths, batch_size, seed=seed, epoch=epoch, grouped=grouped)
    assert sorted(row for step in steps for row in step) == list(range(len(lengths)))
    assert all(len(step) == batch_size for step in steps[:-1])
    assert 1 <= len(steps[-1]) <= batch_size
    assert steps == draw_steps(lengths, batch_size, seed=seed, epoch=epoch, grouped=grouped)


def test_another_seed_or_epoch_is_another_order() -> None:
    lengths = [10 + row % 7 for row in range(100)]
    orders = {
        str(draw_steps(lengths, 8, seed=seed, epoch=epoch, grouped=grouped))
        for seed in (1, 2)
        for epoch in (0, 1)
        for grouped in (False, True)
    }
    assert len(orders) == 8


def test_rows_of_like_length_come_together_the_longest_first() -> None:
    lengths = [(37 * row) % 500 + 1 for row in range(400)]

    def padding(grouped: bool) -> int:
        steps = draw_steps(lengths, 8, seed=3, epoch=0, grouped=grouped)
        return sum(max(lengths[row] for row in step) * len(step) for step in steps) - sum(lengths)

    assert padding(True) < padding(False) / 10
    first = draw_steps(lengths, 8, seed=3, epoch=0, grouped=True)[0]
    assert max(lengths) in [lengths[row] for row in first]


@given(LENGTHS, st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_processes_share_each_step(lengths: list[int], batch_size: int, world: int, grouped: bool) -> None:
    shares = [
        list(StepBatchSampler(lengths, batch_size, seed=1, grouped=grouped, rank=rank, world=world))
        for rank in range(world)
    ]
    whole = draw_steps(lengths, batch_size, seed=1, epoch=0, grouped=grouped)
    assert {len(share) for share in shares} == {len(whole)}
    for step, rows in enumerate(whole):
        assert sorted(row for share in shares for row in share[step]) == sorted(rows)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 8))
def test_micro_batches_hold_every_row_longest_first(lengths: list[int], size: int) -> None:
    rows = [TokenizedExample(str(place), tuple(range(length)), (), 1) for place, length in enumerate(lengths)]
    parts = micro_batches(rows, size)
    assert sorted(row.id for part in parts for row in part) == sorted(row.id for row in rows)
    assert max(map(len, parts)) <= size
    found = [len(row) for part in parts for row in part]
    assert found == sorted(found, reverse=True)
