"""How texts are scored: by default as in the competition, and the same with one process or several."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from llm_summ.core.word_tokenizers import AsWrittenTokenizer, TokenizerName, tokenizer_named
from llm_summ.score import Aggregate, Variant, score_corpus
from llm_summ.score.metric import COMPETITION, PACKAGES, Metric

VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")
TOKENS: tuple[TokenizerName, ...] = ("mecab", "space", "character", "rouge-score", "rouge-score-stem")
AGGREGATES: tuple[Aggregate, ...] = ("mean", "max")
ALL = [Metric(*way) for way in product(VARIANTS, TOKENS, AGGREGATES)]

SUMMARIES = ["의사는 매년 건강검진을 권장합니다.", "#Person1#은 10시에 만난다. Tom was running."]
REFERENCES = [
    ["의사가 해마다 건강검진을 권장합니다.", "의사는 검진을 권한다."],
    ["#Person1#은 내일 10시에 친구를 만난다. Tom runs."],
]


def test_the_competitions_score_is_what_one_gets_unasked() -> None:
    assert Metric() == COMPETITION == Metric("rouge", "mecab", "mean")
    assert COMPETITION.score(SUMMARIES, REFERENCES) == score_corpus(SUMMARIES, REFERENCES)


@pytest.mark.parametrize("metric", ALL)
def test_a_metric_scores_by_its_settings(metric: Metric) -> None:
    score = metric.score(SUMMARIES, REFERENCES)
    assert score == score_corpus(
        SUMMARIES,
        REFERENCES,
        variant=metric.variant,
        aggregate=metric.aggregate,
        tokenizer=tokenizer_named(metric.tokens),
    )
    name = tokenizer_named(metric.tokens).name
    assert score.signature.startswith(f"variant:{metric.variant}|tok:{name}|nrefs:1-2|refs:{metric.aggregate}|")


def test_no_two_metrics_have_one_signature() -> None:
    assert len({metric.score(SUMMARIES, REFERENCES).signature for metric in ALL}) == len(ALL) == 20


@pytest.mark.parametrize("metric", ALL)
def test_the_other_variant_changes_the_package_alone(metric: Metric) -> None:
    other = metric.other_variant()
    assert {metric.variant, other.variant} == set(VARIANTS) == set(PACKAGES)
    assert (other.tokens, other.aggregate) == (metric.tokens, metric.aggregate)
    assert other.other_variant() == metric


WORDS = [
    "The",
    "doctors",
    "doctor",
    "was",
    "meeting",
    "meets",
    "cities",
    "10",
    "o'clock,",
    "Tom's",
    "re-run.",
    "İ",
    "네",
]
english = st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=30))


@pytest.mark.parametrize("stem", [False, True])
@settings(deadline=None)
@given(summary=english, references=st.lists(english, min_size=1, max_size=3))
@example(summary="The doctors' meetings", references=["the doctor meets", "", "의사"])
def test_with_its_own_tokens_it_is_rouge_score_itself(summary: str, references: list[str], stem: bool) -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
    tokens: TokenizerName = "rouge-score-stem" if stem else "rouge-score"
    best = Metric("rouge-score", tokens, "max").score([summary], [references])
    theirs = scorer.score_multi(references, summary)
    mean = Metric("rouge-score", tokens, "mean").score([summary], [references])
    each = [scorer.score(reference, summary) for reference in references]
    for name in ("rouge1", "rouge2", "rougeL"):
        assert getattr(best, name) == pytest.approx(100 * theirs[name].fmeasure, abs=1e-9)
        expected = sum(one[name].fmeasure for one in each) / len(each)
        assert getattr(mean, name) == pytest.approx(100 * expected, abs=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(
    ("texts", "hangul"),
    [
        ([], False),
        (["They meet at 10.", ""], False),
        (["They meet at 10.", "10시"], True),
        (["힣"], True),
    ],
)
def test_tokens_that_drop_hangul_are_warned_of(
    variant: Variant, tokens: TokenizerName, texts: list[str], hangul: bool
) -> None:
    expected = [
        f"--tokens {tokens} drops every Hangul letter: only digits and Latin words are compared; use mecab for "
        "Korean"
    ]
    own = tokens in ("rouge-score", "rouge-score-stem")
    assert Metric(variant, tokens).warnings(texts) == (expected if own and hangul else [])


def test_white_space_that_the_package_itself_would_count_is_reported() -> None:
    from rouge import Rouge

    texts = ["회의는 내일 열립니다. ", "점심을 먹습니다.", " 우산이 없습니다.\n"]
    references = [["회의는 내일 열립니다."], ["점심을 먹습니다. ", "밥을 먹습니다."], ["우산이 없습니다."]]
    metric = Metric(tokens="space")
    pairs = [(text, one) for text, row in zip(texts, references, strict=True) for one in row]
    raw = [sum(one["f"] for one in Rouge().get_scores(*pair)[0].values()) / 3 for pair in pairs]
    package = 100 * (raw[0] + (raw[1] + raw[2]) / 2 + raw[3]) / 3
    [warning] = metric.warnings(texts, references)
    assert f"scores {package:.2f}, not {metric.score(texts, references).final:.2f} (3 of 3 rows differ)" in warning
    stripped = [[one.strip() for one in row] for row in references]
    assert metric.warnings([text.strip() for text in texts], stripped) == []
    # White space at the beginning, or within, changes nothing for the package.
    assert metric.warnings([f" \t{text.strip()}" for text in texts], stripped) == []
    assert Metric().warnings(texts, references) == Metric("rouge-score", "space").warnings(texts, references) == []


@settings(max_examples=60)
@given(*(st.text("가나 .\n\t", min_size=1, max_size=12) for _ in range(2)))
def test_a_text_as_written_is_scored_as_the_package_scores_it(text: str, reference: str) -> None:
    from rouge import Rouge

    found = score_corpus([text], [[reference]], tokenizer=AsWrittenTokenizer())
    try:
        [expected] = Rouge().get_scores(text, reference)
    except ValueError:  # an empty text
        return
    assert found.final == pytest.approx(100 * sum(one["f"] for one in expected.values()) / 3, abs=1e-6)
