"""Floors, and rows that are matched to the wrong dialogue."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises
from scored import scored

from llm_summ.evaluate.baselines import TEMPLATE, Baselines, Misaligned, find_baselines
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score import Aggregate, Variant, mecab_tokenizer, score_corpus, whitespace_tokenizer

SPACES = whitespace_tokenizer()
VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")


def baselines(rows: list[ScoredRow]) -> Baselines:
    return find_baselines(rows, variant="rouge", aggregate="mean", tokenizer=SPACES)


def made(rows: int, seed: int, kept: float) -> tuple[list[str], list[list[str]]]:
    """References of one or two texts, and summaries in which a share of the first one's words are kept.

    Every text begins and ends as all others do, so that every row's summary fits every dialogue a little.
    """
    generator = random.Random(seed)
    words = [f"낱말{n}" for n in range(300)]

    def text(body: list[str]) -> str:
        return " ".join(["#Person1# 은 #Person2# 에게", *body, "라고 말한다 ."])

    summaries, references = [], []
    for _ in range(rows):
        body = generator.choices(words, k=14)
        other = [word if generator.random() < 0.6 else generator.choice(words) for word in body]
        own = [word if generator.random() < kept else generator.choice(words) for word in body]
        summaries.append(text(own))
        references.append([text(body), text(other)][: generator.choice([1, 2])])
    return summaries, references


def off_by(summaries: list[str], shift: int, first: int) -> list[str]:
    """From a row on, give each row the summary of the dialogue `shift` further on; the ends take the rest."""
    return [
        summaries[(place + shift) % len(summaries)] if place >= first else text
        for place, text in enumerate(summaries)
    ]


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_floors_are_scores_of_score_corpus(variant: Variant, aggregate: Aggregate) -> None:
    summaries, references = made(30, 1, 0.5)
    summaries[4] = ""
    rows = scored(summaries, references, tokenizer=SPACES, variant=variant, aggregate=aggregate)
    found = find_baselines(rows, variant=variant, aggregate=aggregate, tokenizer=SPACES)

    def final(texts: list[str], others: list[list[str]]) -> float:
        return score_corpus(texts, others, variant=variant, aggregate=aggregate, tokenizer=SPACES).final

    assert found.final == pytest.approx(final(summaries, references), abs=1e-9)
    assert found.template == pytest.approx(final([TEMPLATE] * 30, references), abs=1e-9)
    assert found.shifted == pytest.approx(final(summaries[:-1], references[1:]), abs=1e-9)
    assert found.table().rows == [
        ["these summaries", f"{found.final:.2f}"],
        ["one sentence for all", f"{found.template:.2f}"],
        ["these, shifted by a row", f"{found.shifted:.2f}"],
    ]


def test_the_template_scores_above_zero_with_any_korean_summary() -> None:
    references = [
        ["#Person1#은 #Person2#에게 약을 언제 먹는지 묻고, #Person2#는 하루 세 번이라고 설명합니다."],
        ["#Person2#는 #Person1#에게 방을 예약하려고 전화했지만 빈방이 없습니다."],
        ["#Person1#과 #Person2#는 주말에 볼 영화에 대해 이야기합니다."],
    ]
    rows = scored([TEMPLATE] * 3, references, tokenizer=mecab_tokenizer())
    found = find_baselines(rows, variant="rouge", aggregate="mean", tokenizer=mecab_tokenizer())
    assert 30 < found.template < 60
    assert found.final == pytest.approx(found.template)
    assert plain(found.notes()[0]) == snapshot(
        "50.3 is near the floor, or below it: one sentence for all dialogues scores 50.3"
    )
    assert found.warnings() == []


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([-3, -2, -1, 1, 2, 3]), st.integers(0, 60))
def test_rows_that_are_off_from_an_id_on_are_named(seed: int, shift: int, first: int) -> None:
    summaries, references = made(90, seed, 0.6)
    # As in the competition's data, an id does not exist.
    ids = [f"test_{place + (place >= 40)}" for place in range(90)]
    rows = scored(off_by(summaries, shift, first), references, tokenizer=SPACES, ids=ids)
    [found] = baselines(rows).misaligned
    assert found.shift == shift
    assert abs(ids.index(found.first) - max(first, -shift)) <= 2
    assert ids.index(found.last) >= 90 - 3 - 2
    assert found.shifted > found.final + 20


def test_two_gaps_are_two_runs() -> None:
    summaries, references = made(120, 3, 0.7)
    both = [*summaries[:40], *summaries[41:80], *summaries[81:], *summaries[:2]]
    found = baselines(scored(both, references, tokenizer=SPACES)).misaligned
    assert [(one.shift, one.first, one.last) for one in found] == [
        (1, "dev_40", "dev_78"),
        (2, "dev_79", "dev_117"),
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.2, 0.6, 1.0]), st.integers(1, 90))
def test_summaries_in_order_are_never_called_misaligned(seed: int, kept: float, rows: int) -> None:
    summaries, references = made(rows, seed, kept)
    assert baselines(scored(summaries, references, tokenizer=SPACES)).warnings() == []


@pytest.mark.parametrize("repeated", [1, 2, 7])
def test_few_sentences_for_all_dialogues_are_not_a_misalignment(repeated: int) -> None:
    summaries, references = made(80, 5, 0.6)
    texts = [summaries[place % repeated] for place in range(80)]
    found = baselines(scored(texts, references, tokenizer=SPACES))
    assert found.warnings() == []
    assert any("they are not specific to their dialogues" in note for note in found.notes())


def test_a_good_system_is_near_no_floor_and_a_shuffled_one_is() -> None:
    summaries, references = made(80, 6, 0.8)
    assert baselines(scored(summaries, references, tokenizer=SPACES)).notes() == []
    random.Random(0).shuffle(summaries)
    found = baselines(scored(summaries, references, tokenizer=SPACES))
    assert found.warnings() == []
    assert plain(found.notes()[-1]) == snapshot(
        "29.6 is near the summaries' score with other dialogues (29.1): they are not specific to their "
        "dialogues, or are in another order"
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_tiny_files(rows: int) -> None:
    summaries, references = made(rows, 7, 1.0)
    found = baselines(scored(summaries, references, tokenizer=SPACES))
    assert (found.shifted is None) == (rows == 1)
    assert len(found.table().rows) == (2 if rows == 1 else 3)
    assert found.warnings() == []


def test_without_rows_there_is_no_floor() -> None:
    with raises(ValueError) as error:
        baselines([])
    assert error.message == snapshot("no rows: expected at least one")


def test_the_message_on_misaligned_rows() -> None:
    found = Misaligned(1, "test_467", "test_498", 32, 21.34, 47.0)
    assert str(found) == (
        "misaligned: 32 summaries, from test_467 to test_498, fit the dialogues 1 row further on (47.0) better "
        "than their own (21.3); were ids counted although some do not exist, or was a row lost or duplicated? "
        "Take each id from the data"
    )
    assert "the dialogues 2 rows further back" in str(Misaligned(-2, "a", "b", 10, 20.0, 40.0))


def test_json_holds_the_same_figures() -> None:
    summaries, references = made(60, 8, 0.7)
    rows = scored(off_by(summaries, 1, 20), references, tokenizer=SPACES)
    found = baselines(rows)
    value = found.to_json()
    assert value["final"] == fmean(one.score.final for one in rows)
    assert value["misaligned"][0]["first"] == "dev_20"
    assert value["notes"] == []
