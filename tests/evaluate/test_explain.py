"""The same summaries by other scores."""

from __future__ import annotations

import pytest

from llm_summ.evaluate.explain import explain
from llm_summ.score import mecab_tokenizer, score_corpus

SUMMARIES = ["의사는 매년 건강검진을 권장합니다.", "#Person1#은 10시에 만난다."]
REFERENCES = [
    ["의사가 해마다 건강검진을 권장합니다.", "의사는 검진을 권한다."],
    ["#Person1#은 내일 10시에 친구를 만난다."],
]


def test_every_way_once_and_the_competitions_first() -> None:
    found = explain(SUMMARIES, REFERENCES)
    ways = [(one.variant, one.tokens, one.aggregate) for one in found.variants]
    assert ways[0] == ("rouge", "mecab", "mean")
    assert len(set(ways)) == len(ways) == 2 * 3 * 2 + 2
    assert ways[-2:] == [("rouge-score", "rouge-score", "mean"), ("rouge-score", "rouge-score", "max")]
    assert found.variants[0].final == score_corpus(SUMMARIES, REFERENCES).final
    assert found.variants[0].signature == score_corpus(SUMMARIES, REFERENCES).signature
    table = [(package, tokens, *finals) for package, tokens, *finals, _ in found.table().rows]
    pairs = zip(found.variants[::2], found.variants[1::2], strict=True)
    assert table == [(a.variant, a.tokens, f"{a.final:.2f}", f"{b.final:.2f}") for a, b in pairs]
    assert all(one.meaning.count(";") == 2 for one in found.variants)


def test_the_best_reference_is_never_worse_than_the_mean() -> None:
    found = explain(SUMMARIES, REFERENCES).variants
    for mean, best in zip(found[::2], found[1::2], strict=True):
        assert (mean.aggregate, best.aggregate) == ("mean", "max")
        assert mean.final <= best.final


@pytest.mark.parametrize(
    ("summary", "reference", "final"),
    [
        ("회의는 10시에 시작한다.", "사과 10개를 샀다.", 100.0 * 2 / 3),  # one token has no bigram
        ("회의는 10 시 30 분", "사과 10 개, 30 원", 100.0),
        ("회의는 오후에 시작한다.", "회의는 오후에 시작한다.", 0.0),
    ],
)
def test_what_rouge_scores_own_tokenizer_makes_of_korean(summary: str, reference: str, final: float) -> None:
    assert explain([summary], [[reference]]).variants[-2].final == pytest.approx(final)


def test_the_remaining_tokens_are_counted_in_the_texts_of_the_file() -> None:
    found = explain(SUMMARIES, REFERENCES)
    # "person1" and "10" in two of the five texts, and nothing in the other three.
    morphemes = sum(len(mecab_tokenizer()(text)) for text in [*SUMMARIES, *REFERENCES[0], *REFERENCES[1]])
    assert found.left == pytest.approx(4 / morphemes)
    assert (found.nothing_left, found.texts) == (3, 5)
    warning = found.warning()
    assert warning is not None
    assert f"finds {4 / morphemes:.0%} as many tokens here as mecab-ko, and none at all in 3 of 5 texts" in warning
    assert found.to_json()["warning"] == warning


def test_texts_without_hangul_need_no_warning() -> None:
    assert explain(["They meet at 10."], [["They will meet at 10 tomorrow."]]).warning() is None
