"""Many pairs at once: every figure equals that of one pair at a time, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.word_tokenizers import mecab_tokenizer, rouge_score_tokenizer, whitespace_tokenizer
from llm_summ.score import candidate_scores, score_corpus
from llm_summ.score.batch import PairScores, TextBatch, _vocabulary
from llm_summ.score.rouge import Variant, compare, prepare
from llm_summ.score.union_lcs import MOST_DISTINCT, MOST_SENTENCES, MOST_WORDS

VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")


def one_by_one(texts: Sequence[Sequence[str]], pairs: Sequence[tuple[int, int]], variant: Variant) -> np.ndarray:
    """Shape [3, pairs, 3]: precision, recall and F1 of ROUGE-1, -2, -L."""
    prepared = [prepare(text, variant) for text in texts]
    scores = [compare(prepared[own], prepared[other]) for own, other in pairs]
    return np.array(
        [
            [[getattr(prf, figure) for prf in (score.rouge1, score.rouge2, score.rougeL)] for score in scores]
            for figure in ("precision", "recall", "f1")
        ]
    ).reshape(3, len(pairs), 3)


def stacked(comparison: PairScores) -> np.ndarray:
    return np.stack([comparison.precision, comparison.recall, comparison.f1])


# A small alphabet makes ties between subsequences; the odd tokens are those that `rouge` splits or drops.
odd = st.sampled_from(["..", ". .", " ", "", "a.", ".b", "a.b", "\u3000", "\x1c", "c d", "e\u2003f"])
short = st.lists(st.sampled_from(["a", "b", "c", "."]), max_size=24)
varied = st.lists(st.one_of(st.sampled_from(["a", "b", ".", "은"]), odd, st.text(max_size=3)), max_size=20)
long = st.lists(st.sampled_from("abcdefgh"), min_size=MOST_WORDS - 3, max_size=MOST_WORDS + 3)
many_words = st.lists(st.integers(0, 400).map(str), min_size=100, max_size=2 * MOST_DISTINCT)
# Texts of about as many sentences as are compared at once; most of the sentences are duplicates.
sentences = st.lists(st.lists(st.sampled_from("abc"), max_size=3), min_size=MOST_SENTENCES - 2, max_size=40)
many_sentences = sentences.map(lambda found: [token for words in found for token in (*words, "x", ".")])
texts = st.lists(st.one_of(short, varied, long, many_words, many_sentences), max_size=6)

ONE_TO_MANY = [[*"ab."] * count for count in (1, MOST_SENTENCES, MOST_SENTENCES + 1, 200)]
DISTINCT = [[token for n in range(count) for token in (str(n % 9), str(n), ".")] for count in (32, 33, 60)]


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None, max_examples=300)
@given(data=texts)
@example(data=[])
@example(data=[[], []])
@example(data=[["."], ["a"], [".", "."], [". ."], ["a", ".", ".", "b"]])
@example(data=[["w"] * 64, ["w"] * 65, [str(i) for i in range(128)], [str(i) for i in range(129)]])
@example(data=[*ONE_TO_MANY, [*"ba."]])
@example(data=[*DISTINCT, *(text[::-1] for text in DISTINCT), [*"0.1.0.1."]])
@example(data=[["a"] * 63 + ["."] + ["b"] * 64 + ["."] + ["a"], ["b"] * 64 + ["."] + ["a"] * 64])
def test_a_batch_equals_single_pairs(data: list[list[str]], variant: Variant) -> None:
    batch = TextBatch(data, variant)
    pairs = [(own, other) for own in range(len(data)) for other in range(len(data))]
    expected = one_by_one(data, pairs, variant)
    assert np.array_equal(stacked(batch.matrix()), expected)
    backwards = pairs[::-1]
    found = batch.compare([own for own, _ in backwards], [other for _, other in backwards])
    assert np.array_equal(stacked(found), expected[:, ::-1])
    assert batch.empty.tolist() == [prepare(text, variant).empty for text in data]


@pytest.mark.parametrize("variant", VARIANTS)
def test_more_pairs_than_are_worked_on_together(variant: Variant) -> None:
    rng = np.random.default_rng(0)
    words = np.array([*"abcdefghij", "."])
    data = [rng.choice(words, rng.integers(0, 40)).tolist() for _ in range(700)]
    own, other = rng.integers(0, len(data), (2, 6000))
    found = stacked(TextBatch(data, variant).compare(own, other))
    assert np.array_equal(found, one_by_one(data, list(zip(own.tolist(), other.tolist(), strict=True)), variant))


def test_more_words_than_there_are_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    data = [["a", "b", "c", "a"], ["c", "a", "b"]]
    expected = stacked(TextBatch(data, "rouge-score").matrix())
    monkeypatch.setattr("sys.maxunicode", 0)
    assert np.array_equal(stacked(TextBatch(data, "rouge-score").matrix()), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sentence_that_is_repeated_adds_nothing_to_a_longest_common_subsequence(variant: Variant) -> None:
    data = [[*"ab."], [*"ab."] * 40, [*"bac."]]
    found = TextBatch(data, variant).compare([0, 1], [2, 2]).recall[:, 2]
    # a and b are both common, but not in one order: of three words, or of four tokens, two.
    assert found.tolist() == ([1 / 3, 1 / 3] if variant == "rouge" else [2 / 4, 3 / 4])


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_are_forgotten_where_they_are_very_many(monkeypatch: pytest.MonkeyPatch, variant: Variant) -> None:
    words = variant == "rouge"
    rng = np.random.default_rng(2)
    vocabularies = [[f"{letter}{n}" for n in range(40)] + ["."] for letter in "abc"]
    batches = [[rng.choice(known, rng.integers(0, 30)).tolist() for _ in range(12)] for known in vocabularies]
    expected = [stacked(TextBatch(data, variant).matrix()) for data in batches]
    monkeypatch.setattr("llm_summ.score.batch._MOST_TOKENS", 60)
    kept = TextBatch(batches[0], variant)
    assert len(_vocabulary(words)) <= 2 * 60
    for _ in range(3):
        for data, figures in zip(batches, expected, strict=True):
            assert np.array_equal(stacked(TextBatch(data, variant).matrix()), figures)
            assert "." in _vocabulary(words)
            assert len(_vocabulary(words)) <= 60 + 41
    # An earlier batch can still be compared.
    assert np.array_equal(stacked(kept.matrix()), expected[0])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        ([0, 1], [1], snapshot("2 hypotheses, 1 references: expected pairs")),
        ([], [0], snapshot("0 hypotheses, 1 references: expected pairs")),
        ([0, 3], [1, 1], snapshot("found an index that is not one of 0 to 2")),
        ([0, 1], [3, 1], snapshot("found an index that is not one of 0 to 2")),
        ([-1], [0], snapshot("found an index that is not one of 0 to 2")),
        ([0], [-3], snapshot("found an index that is not one of 0 to 2")),
    ],
)
def test_unequal_or_unknown_indexes_are_refused(
    variant: Variant, own: list[int], other: list[int], message: str
) -> None:
    batch = TextBatch([["a"], ["b"], []], variant)
    with raises(ValueError) as error:
        batch.compare(own, other)
    assert error.message == message
    assert batch.compare([], []).f1.shape == (0, 3)


def test_an_unknown_variant_is_refused() -> None:
    with raises(ValueError) as error:
        TextBatch([["a"]], "bleu")  # type: ignore[arg-type]
    assert error.message == snapshot("unknown ROUGE variant 'bleu': expected 'rouge' or 'rouge-score'")


CANDIDATES = [
    ["톰은 지쳤습니다.", "톰은 3.5킬로미터를 달려서 지쳤습니다.", "톰은 지쳤습니다.", ""],
    ["#Person1#은 커피를 마십니다.", "#Person2#는 커피를 마십니다."],
    ["회의는 세 시입니다."],
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_candidates_are_compared_with_one_another(variant: Variant) -> None:
    for texts, found in zip(CANDIDATES, candidate_scores(CANDIDATES, variant=variant), strict=True):
        assert found.shape == (len(texts), len(texts), 3)
        for i, hypothesis in enumerate(texts):
            for j, reference in enumerate(texts):
                score = score_corpus([hypothesis], [[reference]], variant=variant)
                row = (score.rouge1, score.rouge2, score.rougeL)
                assert (100 * found[i, j]).tolist() == pytest.approx(row, abs=1e-10)


def test_workers_change_nothing() -> None:
    """Two processes, each with a mecab-ko of its own."""
    alone = list(candidate_scores(CANDIDATES))
    shared = list(candidate_scores(CANDIDATES, workers=2))
    assert all(np.array_equal(one, other) for one, other in zip(alone, shared, strict=True))
    hypotheses = [f"회의는 {hour} 시입니다." for hour in range(1100)]
    references = [[f"회의는 {hour} 시에 시작합니다."] * (1 + hour % 3) for hour in range(1100)]
    assert score_corpus(hypotheses, references, workers=2) == score_corpus(hypotheses, references)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_corpus_is_scored_as_its_rows_are(variant: Variant) -> None:
    """Blocks of rows, references of different numbers, empty hypotheses."""
    rng = np.random.default_rng(1)
    hypotheses = [" ".join(rng.choice([*"abcd", "."], rng.integers(0, 12))) for _ in range(2100)]
    references = [[f"a b . {i % 7} c", "d a"][: 1 + i % 2] for i in range(2100)]
    found = score_corpus(hypotheses, references, variant=variant, tokenizer=whitespace_tokenizer())
    rows = [
        score_corpus([text], [row], variant=variant, tokenizer=whitespace_tokenizer())
        for text, row in zip(hypotheses, references, strict=True)
    ]
    assert found.per_row == tuple(row.per_row[0] for row in rows)
    assert found.empty == tuple(index for index, row in enumerate(rows) if row.empty)
    assert found.rouge2 == pytest.approx(math.fsum(row.rouge2 for row in rows) / 2100, abs=1e-10)


def test_tokenizers_go_to_other_processes() -> None:
    import pickle

    for tokenizer in (mecab_tokenizer(), rouge_score_tokenizer(True)):
        again = pickle.loads(pickle.dumps(tokenizer))
        assert again is tokenizer
