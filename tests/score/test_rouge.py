"""ROUGE over tokens: literal tables worked out by hand, and equality with the two packages."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from rouge import Rouge  # type: ignore[import-untyped]
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer as RougeScoreTokenizer

from llm_summ.score.rouge import PRF, RougeScores, Variant, compare, prepare, rouge

EXACT = 1e-12
VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")
ZERO = PRF(0.0, 0.0, 0.0)


def figures(scores: RougeScores) -> list[float]:
    return [
        figure
        for prf in (scores.rouge1, scores.rouge2, scores.rougeL)
        for figure in (prf.precision, prf.recall, prf.f1)
    ]


def package_rouge(hypothesis: Sequence[str], reference: Sequence[str]) -> list[float]:
    """Return the figures of rouge 1.0.1, and zeros where it raises because a text has no words."""
    texts = [" ".join(hypothesis), " ".join(reference)]
    if not all(text.strip(".") for text in texts):
        with pytest.raises(ValueError, match=r"(Hypothesis|Reference) is empty\."):  # the package's words
            Rouge().get_scores(*texts)
        return [0.0] * 9
    [scores] = Rouge().get_scores(*texts)
    return [scores[metric][key] for metric in ("rouge-1", "rouge-2", "rouge-l") for key in ("p", "r", "f")]


class _TokensAsTheyAre(RougeScoreTokenizer):
    def tokenize(self, text: Sequence[str]) -> Sequence[str]:
        return text


def package_rouge_score(hypothesis: Sequence[str], reference: Sequence[str]) -> list[float]:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_TokensAsTheyAre())
    scores = scorer.score(reference, hypothesis)
    return [
        figure
        for metric in ("rouge1", "rouge2", "rougeL")
        for figure in (scores[metric].precision, scores[metric].recall, scores[metric].fmeasure)
    ]


# Each row: hypothesis, reference, then (words in common, in the hypothesis, in the reference) of ROUGE-1, -2, -L.
Counts = tuple[int, int, int]
ROUGE_TABLE: list[tuple[str, str, Counts, Counts, Counts]] = [
    # Equal texts; the last full stop does not begin a sentence.
    ("a b c .", "a b c .", (3, 3, 3), (2, 2, 2), (3, 3, 3)),
    # Nothing in common.
    ("a b", "c d e", (0, 2, 3), (0, 1, 2), (0, 2, 3)),
    # One word has no bigram.
    ("a", "a b", (1, 1, 2), (0, 0, 1), (1, 1, 2)),
    # Sets: the repeated word and the repeated bigram count once.
    ("a b a b", "a b", (2, 2, 2), (1, 2, 1), (2, 2, 2)),
    # The full stop is not a word, but the bigram "b c" crosses it.
    ("a b . c", "a b c", (3, 3, 3), (2, 2, 2), (3, 3, 3)),
    # Summary level: sentences in another order cost ROUGE-L nothing, ROUGE-2 the bigram between them.
    ("c d . a b", "a b . c d", (4, 4, 4), (2, 3, 3), (4, 4, 4)),
    # Within one sentence the order counts: "a b" or "c d" is the longest common subsequence.
    ("c d a b", "a b c d", (4, 4, 4), (2, 3, 3), (2, 4, 4)),
    # The number breaks at its point into the words 3 and 5.
    ("3.5 a", "3 b", (1, 3, 2), (0, 2, 1), (1, 3, 2)),
    # White space alone between two full stops is the word "".
    (". . a", ". . b", (1, 2, 2), (0, 1, 1), (1, 2, 2)),
    ("#Person1# 은 간다 .", "#Person1# 이 간다 .", (2, 3, 3), (0, 2, 2), (2, 3, 3)),
    # "a b" and "b a" have two longest common subsequences, "a" and "b": the one read out is "a", so a second
    # sentence "a" adds nothing to the union, and a second sentence "b" does.
    ("a b . a", "b a", (2, 2, 2), (1, 2, 1), (1, 2, 2)),
    ("a b . b", "b a", (2, 2, 2), (0, 2, 1), (2, 2, 2)),
]
ROUGE_SCORE_TABLE: list[tuple[str, str, Counts, Counts, Counts]] = [
    # The full stop is a token.
    ("a b c .", "a b c .", (4, 4, 4), (3, 3, 3), (4, 4, 4)),
    ("a b", "c d e", (0, 2, 3), (0, 1, 2), (0, 2, 3)),
    ("a", "a b", (1, 1, 2), (0, 0, 1), (1, 1, 2)),
    # Multiplicity: the smaller of the two counts.
    ("a b a b", "a b", (2, 4, 2), (1, 3, 1), (2, 4, 2)),
    ("a a a", "a a", (2, 3, 2), (1, 2, 1), (2, 3, 2)),
    ("a b . c", "a b c", (3, 4, 3), (1, 3, 2), (3, 4, 3)),
    # Sentences in another order: ROUGE-L is over the whole text.
    ("c d . a b", "a b . c d", (5, 5, 5), (2, 4, 4), (2, 5, 5)),
    # A number is one token, also with a point or comma in it.
    ("3.5 a", "3 b", (0, 2, 2), (0, 1, 1), (0, 2, 2)),
    ("#Person1# 은 간다 .", "#Person1# 이 간다 .", (3, 4, 4), (1, 3, 3), (3, 4, 4)),
]


@pytest.mark.parametrize(("hypothesis", "reference", "one", "two", "lcs"), ROUGE_TABLE)
def test_rouge_by_hand(hypothesis: str, reference: str, one: Counts, two: Counts, lcs: Counts) -> None:
    scores = rouge(hypothesis.split(), reference.split(), "rouge")
    for prf, (common, in_hypothesis, in_reference) in zip(
        (scores.rouge1, scores.rouge2, scores.rougeL), (one, two, lcs), strict=True
    ):
        precision, recall = common / max(in_hypothesis, 1), common / max(in_reference, 1)
        assert prf.precision == precision
        assert prf.recall == recall
        assert prf.f1 == pytest.approx(2 * precision * recall / (precision + recall + 1e-8), abs=EXACT)


@pytest.mark.parametrize(("hypothesis", "reference", "one", "two", "lcs"), ROUGE_SCORE_TABLE)
def test_rouge_score_by_hand(hypothesis: str, reference: str, one: Counts, two: Counts, lcs: Counts) -> None:
    scores = rouge(hypothesis.split(), reference.split(), "rouge-score")
    for prf, (common, in_hypothesis, in_reference) in zip(
        (scores.rouge1, scores.rouge2, scores.rougeL), (one, two, lcs), strict=True
    ):
        assert prf.precision == common / max(in_hypothesis, 1)
        assert prf.recall == common / max(in_reference, 1)
        assert prf.f1 == pytest.approx(2 * common / max(in_hypothesis + in_reference, 1), abs=EXACT)


def test_the_constants_of_the_formulas() -> None:
    same = ["a", "b"]
    assert rouge(same, same, "rouge").rouge1.f1 == pytest.approx(0.999999995, abs=EXACT)
    assert rouge(same, same, "rouge-score").rouge1.f1 == 1.0
    assert rouge(same, ["a", "c", "d"], "rouge-score").rouge1.f1 == pytest.approx(0.4, abs=EXACT)
    # 2 * (1/2 * 1/3) / (5/6 + 1e-8)
    assert rouge(same, ["a", "c", "d"], "rouge").rouge1.f1 == pytest.approx(0.3999999952, abs=1e-15)


def test_final_is_the_mean_of_the_three_f1() -> None:
    scores = rouge(["a", "b", "x"], ["a", "b", "y"], "rouge-score")
    assert [scores.rouge1.f1, scores.rouge2.f1, scores.rougeL.f1] == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert scores.final == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3, abs=EXACT)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("hypothesis", "reference"), [([], ["a"]), (["a"], []), ([], [])])
def test_an_empty_text_scores_zero(hypothesis: list[str], reference: list[str], variant: Variant) -> None:
    assert rouge(hypothesis, reference, variant) == RougeScores(ZERO, ZERO, ZERO)


def test_only_a_full_stop_is_empty_for_rouge_and_a_token_for_rouge_score() -> None:
    with raises(ValueError) as error:
        Rouge().get_scores(".", "a .")
    assert error.message == snapshot("Hypothesis is empty.")
    assert rouge(["."], ["a", "."], "rouge") == RougeScores(ZERO, ZERO, ZERO)
    assert prepare(["."], "rouge").empty
    assert not prepare([".", "."], "rouge").empty
    assert not prepare(["."], "rouge-score").empty
    assert rouge(["."], ["a", "."], "rouge-score").rouge1 == PRF(1.0, 0.5, pytest.approx(2 / 3))


def test_long_texts_do_not_exhaust_the_stack() -> None:
    hypothesis = [f"h{index}" for index in range(3000)]
    reference = [f"r{index}" for index in range(3000)] + ["h0"]
    scores = rouge(hypothesis, reference, "rouge")
    assert scores.rougeL.precision == 1 / 3000
    assert scores.rougeL.recall == 1 / 3001


def test_an_unknown_variant_is_refused() -> None:
    with raises(ValueError) as error:
        prepare(["a"], "rouge_score")  # type: ignore[arg-type]
    assert error.message == snapshot("unknown ROUGE variant 'rouge_score': expected 'rouge' or 'rouge-score'")


def test_texts_prepared_by_different_variants_are_not_compared() -> None:
    with raises(ValueError) as error:
        compare(prepare(["a"], "rouge"), prepare(["a"], "rouge-score"))
    assert error.message == snapshot("the hypothesis was prepared for 'rouge', the reference for 'rouge-score'")


# A small alphabet makes ties between subsequences, where implementations differ.
words = st.sampled_from(["a", "b", "c", ".", "3.5", "은", "는", "#Person1#"])
any_token = st.one_of(words, st.text(max_size=4), st.sampled_from(["..", ". .", " ", "a.", "\u3000", "\x1c"]))
tiny_texts = st.lists(st.sampled_from(["a", "b", "."]), max_size=24)
texts = st.lists(words, max_size=60)
odd_texts = st.lists(any_token, max_size=16)
pairs = st.one_of(st.tuples(tiny_texts, tiny_texts), st.tuples(texts, texts), st.tuples(odd_texts, odd_texts))


@settings(deadline=None, max_examples=500)
@given(pairs)
@example((["."], ["a"]))
@example((["a"], ["."]))
@example(([".", "."], [".", "."]))
@example(([""], ["a"]))
def test_equal_to_the_package_rouge(pair: tuple[list[str], list[str]]) -> None:
    hypothesis, reference = pair
    ours = figures(rouge(hypothesis, reference, "rouge"))
    assert ours == pytest.approx(package_rouge(hypothesis, reference), rel=0, abs=EXACT)


@settings(deadline=None, max_examples=500)
@given(pairs)
def test_equal_to_the_package_rouge_score(pair: tuple[list[str], list[str]]) -> None:
    hypothesis, reference = pair
    ours = figures(rouge(hypothesis, reference, "rouge-score"))
    assert ours == pytest.approx(package_rouge_score(hypothesis, reference), rel=0, abs=EXACT)


@pytest.mark.parametrize("variant", VARIANTS)
@given(pair=pairs)
def test_every_figure_is_a_share(pair: tuple[list[str], list[str]], variant: Variant) -> None:
    scores = rouge(*pair, variant)
    assert all(0.0 <= figure <= 1.0 for figure in [*figures(scores), scores.final])
    for prf in (scores.rouge1, scores.rouge2, scores.rougeL):
        # An F1 is between the two means of its parts, except for the epsilon of `rouge`.
        assert min(prf.precision, prf.recall) - 1e-8 <= prf.f1 <= max(prf.precision, prf.recall) + EXACT


@pytest.mark.parametrize("variant", VARIANTS)
@given(pair=pairs)
def test_exchanging_the_texts_exchanges_precision_and_recall(
    pair: tuple[list[str], list[str]], variant: Variant
) -> None:
    hypothesis, reference = pair
    there, back = rouge(hypothesis, reference, variant), rouge(reference, hypothesis, variant)
    metrics = [(there.rouge1, back.rouge1), (there.rouge2, back.rouge2)]
    if variant == "rouge-score":
        # The subsequence that `rouge` reads out depends on which text is the reference.
        metrics.append((there.rougeL, back.rougeL))
    for one, other in metrics:
        assert (one.precision, one.recall) == (other.recall, other.precision)
        assert one.f1 == pytest.approx(other.f1, abs=EXACT)


@pytest.mark.parametrize("variant", VARIANTS)
@given(text=st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=30))
def test_a_text_against_itself_is_perfect(text: list[str], variant: Variant) -> None:
    assert figures(rouge(text, text, variant)) == pytest.approx([1.0] * 9, abs=1e-8)
