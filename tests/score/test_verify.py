"""Our scores compared with the packages' own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_summ.score import Aggregate, PairScores, TextBatch, Variant, mecab_tokenizer, whitespace_tokenizer
from llm_summ.score.verify import Difference, verify

SPACES = whitespace_tokenizer()
VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")
AGGREGATES: tuple[Aggregate, ...] = ("mean", "max")
SUMMARIES = ["의사는 매년 건강검진을 권장합니다. 톰은 3.5킬로미터를 달렸다.", "#Person1#은 10시에 만난다."]
REFERENCES = [
    ["의사가 해마다 건강검진을 권장합니다.", "의사는 검진을 권한다."],
    ["#Person1#은 내일 10시에 #Person2#를 만난다."],
]


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize(("variant", "version"), [("rouge", "1.0.1"), ("rouge-score", "0.1.2")])
def test_the_packages_agree(variant: Variant, version: str, aggregate: Aggregate) -> None:
    found = verify(SUMMARIES, REFERENCES, tokenizer=mecab_tokenizer(), variant=variant, aggregate=aggregate)
    assert (found.package, found.version) == (variant, version)
    assert (found.pairs, found.empty, found.not_comparable) == (3, 0, 0)
    assert found.largest < 1e-12


texts = st.lists(st.sampled_from(["a", "b", "c", ".", "3.5", "은", "#Person1#"]), max_size=20).map(" ".join)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
@settings(deadline=None)
@given(rows=st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_every_pair_is_compared(rows: list[tuple[str, list[str]]], variant: Variant, aggregate: Aggregate) -> None:
    summaries, references = [text for text, _ in rows], [others for _, others in rows]
    found = verify(summaries, references, tokenizer=SPACES, variant=variant, aggregate=aggregate)
    assert found.pairs == sum(map(len, references))
    assert found.largest < 1e-12


@pytest.mark.parametrize(("variant", "empty"), [("rouge", 3), ("rouge-score", 2)])
def test_pairs_with_an_empty_text_count_as_zero(variant: Variant, empty: int) -> None:
    # A full stop is ignored by `rouge` and is a token for rouge-score.
    found = verify(
        ["", "a b", "."], [["a"], ["a", " "], ["b ."]], tokenizer=SPACES, variant=variant, aggregate="mean"
    )
    assert (found.pairs, found.empty, found.not_comparable) == (4, empty, 0)
    assert found.largest < 1e-12


def test_texts_that_rouge_cannot_take_are_counted_and_left_out() -> None:
    long = " ".join(f"h{n}" for n in range(1200))
    other = " ".join(f"r{n}" for n in range(1200))
    # Too large a table; too deep a recursion.
    found = verify([long, "a b"], [[other, "h0 a"], ["a b"]], tokenizer=SPACES, variant="rouge", aggregate="mean")
    assert (found.pairs, found.empty, found.not_comparable) == (1, 0, 2)
    assert found.largest < 1e-12
    found = verify([long], [[other]], tokenizer=SPACES, variant="rouge-score", aggregate="mean")
    assert (found.pairs, found.not_comparable) == (0, 1)


def test_a_difference_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(batch: TextBatch, own: Sequence[int], other: Sequence[int]) -> PairScores:
        right = compare(batch, own, other)
        right.recall[2, 2] = 0.75
        return right

    compare = TextBatch.compare
    monkeypatch.setattr(TextBatch, "compare", wrong)
    found = verify(
        ["a b", "a b"], [["a b"], ["a b", "a c"]], tokenizer=SPACES, variant="rouge-score", aggregate="mean"
    )
    assert found.largest == pytest.approx(0.25)
    assert found.where == Difference(row=1, reference=1, figure="ROUGE-L recall")
    assert found.to_json()["where"] == {"row": 1, "reference": 1, "figure": "ROUGE-L recall"}
