"""Settings found on a dev set: honest figures, and never worse than the best file."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from pools import WORDS, pool_of

from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue
from llm_summ.select.mbr import Settings
from llm_summ.select.pool import Pool
from llm_summ.select.tune import Tuned, tune

NOUNS = [
    *("사과", "회의", "우산", "약속", "점심", "버스", "영화", "친구", "숙제", "병원"),
    *("은행", "가방", "시계", "편지", "여행", "공원", "수업", "전화", "선물", "주말"),
]


def sentence(rng: random.Random) -> list[str]:
    return [rng.choice(NOUNS) for _ in range(10)]


def with_mistakes(text: list[str], share: float, rng: random.Random) -> str:
    return " ".join(rng.choice(NOUNS) if rng.random() < share else word for word in text)


def dev_pool(*shares: float, rows: int = 40, seed: int = 0) -> Pool:
    """Write files whose summaries are the references, with a share of the words wrong."""
    rng = random.Random(seed)
    truth = [sentence(rng) for _ in range(rows)]
    files = [[[with_mistakes(text, share, rng)] for text in truth] for share in shares]
    return with_references(pool_of(*files), [" ".join(text) for text in truth])


def with_references(pool: Pool, references: list[str]) -> Pool:
    dialogues = (
        Dialogue(identity, "대화", (reference,)) for identity, reference in zip(pool.ids, references, strict=True)
    )
    return replace(pool, dialogues=tuple(dialogues))


def tuned(pool: Pool, only_best: bool = False) -> Tuned:
    return tune(pool, "dev.csv", Settings.equal(len(pool.members)), only_best=only_best, metric=WORDS)


def test_an_ensemble_of_independent_files_is_better_than_each_of_them() -> None:
    found = tuned(dev_pool(0.4, 0.4, 0.4, 0.4, 0.4))
    assert not found.fell_back
    assert found.settings == found.ensemble
    assert found.versus_best.difference > 3
    assert found.versus_best.low > 0
    best = found.members[found.best].alone
    assert best == max(one.alone for one in found.members)
    assert found.out_of_fold == pytest.approx(best + found.versus_best.difference)
    assert max(best, found.out_of_fold) <= found.oracle
    assert found.best_out_of_fold <= best
    assert plain(found.lines()[-1]) == snapshot("chosen     the ensemble")


def test_where_the_ensemble_is_not_better_the_best_file_is_taken_alone() -> None:
    found = tuned(dev_pool(0.6, 0.0, 0.6))
    assert found.fell_back
    assert found.best == 1
    assert found.settings.weights == (0, 1, 0)
    assert found.members[1].alone == pytest.approx(100)
    assert found.versus_best.difference <= 0
    assert plain(found.lines()[-1]) == snapshot(
        "chosen     B 1.csv alone: the ensemble is not better than its best file"
    )


def test_the_best_file_can_be_asked_for() -> None:
    pool = dev_pool(0.4, 0.4, 0.4, 0.4, 0.4)
    found = tuned(pool, only_best=True)
    assert found.settings.weights == tuple(float(place == found.best) for place in range(5))
    assert plain(found.lines()[-1]) == snapshot("chosen     D 3.csv alone")


def test_what_was_found_by_chance_gains_nothing_out_of_fold() -> None:
    # Summaries that are unrelated to the references: any gain is chance.
    rng = random.Random(1)
    files = [[[" ".join(sentence(rng))] for _ in range(60)] for _ in range(5)]
    pool = with_references(pool_of(*files), [" ".join(sentence(rng)) for _ in range(60)])
    found = tuned(pool)
    assert found.in_sample > found.members[found.best].alone
    assert found.out_of_fold < found.in_sample - 0.5
    assert found.out_of_fold == found.plain  # no settings of the search are used
    assert found.fell_back


def test_the_folds_do_not_depend_on_the_order_of_the_dialogues() -> None:
    pool = dev_pool(0.3, 0.5, 0.7)
    turned = Pool(
        pool.ids[::-1],
        tuple(replace(member, texts=member.texts[::-1]) for member in pool.members),
        pool.dialogues[::-1],
    )
    one, other = tuned(pool), tuned(turned)
    assert tuned(pool) == one
    assert one.settings == other.settings
    assert one.out_of_fold == pytest.approx(other.out_of_fold)


def test_the_gain_of_a_file_is_reported() -> None:
    found = tuned(dev_pool(0.3, 0.3, 0.3, 0.95))
    without = [one.without for one in found.members]
    assert all(score is not None for score in without)
    # Without a good file it is worse, without the bad one hardly.
    assert max(score for score in without[:3] if score is not None) < found.out_of_fold
    assert without[3] == pytest.approx(found.out_of_fold, abs=1)


def test_one_file_has_nothing_to_be_left_out_of_and_is_its_own_best() -> None:
    found = tuned(dev_pool(0.4))
    assert found.members[0].without is None
    assert found.fell_back
    assert found.settings.weights == (1,)


def test_log_probabilities_are_used_where_they_help() -> None:
    # Of three texts, two are alike and wrong; the right one is likely, and has a likely relative.
    rng = random.Random(3)
    truth = [sentence(rng) for _ in range(30)]
    rows = []
    for text in truth:
        wrong = sentence(rng)
        rows.append([with_mistakes(one, 0.1, rng) for one in (text, text, wrong, wrong, wrong)])
    sure = [[-0.1, -0.1, -2.0, -2.0, -2.0]] * len(rows)
    pool = with_references(pool_of(rows, confidence=sure), [" ".join(text) for text in truth])
    found = tuned(pool)
    assert found.ensemble.temperature is not None
    assert not found.fell_back
    assert found.versus_best.difference > 20
    # If the texts to choose from have no log-probabilities, they are not used.
    plain = tune(pool, "dev.csv", Settings.equal(1), logprobs=False, metric=WORDS)
    assert plain.ensemble.temperature is None


def test_too_few_dialogues_and_missing_references_are_one_line() -> None:
    with raises(DataError) as error:
        tuned(dev_pool(0.1, 0.2, rows=9))
    assert error.message == snapshot(
        "dev.csv: found 9 dialogues; --tune needs 10 at least, and hundreds for a reliable result"
    )
    pool = dev_pool(0.1, 0.2, rows=12)
    bare = tuple(replace(one, references=()) if at == 3 else one for at, one in enumerate(pool.dialogues))
    with raises(DataError) as error:
        tuned(replace(pool, dialogues=bare))
    assert error.message == snapshot(
        "dev.csv: no reference for 1 of 12 dialogues (dev_3); --tune needs one for each"
    )
