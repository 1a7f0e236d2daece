"""Corpus scores: several references, empty hypotheses, the signature, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from rouge import Rouge  # type: ignore[import-untyped]

import llm_summ.score
from llm_summ import __version__
from llm_summ.score import (
    Aggregate,
    Variant,
    mecab_tokenizer,
    rouge,
    score_corpus,
    whitespace_tokenizer,
)

VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")
SPACES = whitespace_tokenizer()
# Against "a b c d" (F1 of ROUGE-1, -2, -L in rouge-score): equal 1, 1, 1; half 1/2, 1/3, 1/2; none 0.
HYPOTHESIS, EQUAL, HALF, NONE = "a b c d", "a b c d", "a b x y", "p q r s"


@pytest.mark.parametrize(
    ("references", "aggregate", "row"),
    [
        ([EQUAL], "mean", (100, 100, 100, 100)),
        ([HALF], "mean", (50, 100 / 3, 50, 400 / 9)),
        ([EQUAL, HALF, NONE], "mean", (50, 400 / 9, 50, 1300 / 27)),
        ([EQUAL, HALF, NONE], "max", (100, 100, 100, 100)),
        ([NONE, HALF], "max", (50, 100 / 3, 50, 400 / 9)),
        ([NONE, NONE], "max", (0, 0, 0, 0)),
        # Each metric has its own best reference: ROUGE-1 and -L the first, ROUGE-2 the second.
        (["a x b y c", "a b"], "max", (200 / 3, 50, 200 / 3, 550 / 9)),
    ],
)
def test_several_references(
    references: list[str], aggregate: Aggregate, row: tuple[float, float, float, float]
) -> None:
    score = score_corpus([HYPOTHESIS], [references], variant="rouge-score", aggregate=aggregate, tokenizer=SPACES)
    assert score.per_row[0] == pytest.approx(row, abs=1e-9)
    assert (score.rouge1, score.rouge2, score.rougeL, score.final) == pytest.approx(row, abs=1e-9)
    assert score.references_per_row == (len(references), len(references))


def test_a_dialogue_counts_once_however_many_references_it_has() -> None:
    score = score_corpus(
        [HYPOTHESIS, HYPOTHESIS],
        [[EQUAL], [NONE, NONE, NONE]],
        variant="rouge-score",
        tokenizer=SPACES,
    )
    assert [row.final for row in score.per_row] == [100, 0]
    assert (score.rouge1, score.rouge2, score.rougeL, score.final) == (50, 50, 50, 50)
    assert score.rows == 2
    assert score.references_per_row == (1, 3)


def test_the_organisers_baseline_gives_the_same_average() -> None:
    hypotheses = [
        "#Person1#은 아침에 커피를 마신다.",
        "톰은 3.5킬로미터를 달렸다. 그는 지쳤다.",
        "의사가 쉬라고 했다",
    ]
    references = [
        "#Person1#은 매일 아침 커피를 마신다고 한다.",
        "톰은 지쳤다. 3.5킬로미터를 달렸기 때문이다.",
        "의사는 #Person2#에게 쉬라고 말한다.",
    ]
    tokenize = mecab_tokenizer()
    expected = Rouge().get_scores(
        [" ".join(tokenize(text)) for text in hypotheses],
        [" ".join(tokenize(text)) for text in references],
        avg=True,
    )
    score = score_corpus(hypotheses, [[text] for text in references])
    assert score.rouge1 == pytest.approx(100 * expected["rouge-1"]["f"], abs=1e-10)
    assert score.rouge2 == pytest.approx(100 * expected["rouge-2"]["f"], abs=1e-10)
    assert score.rougeL == pytest.approx(100 * expected["rouge-l"]["f"], abs=1e-10)
    assert 20 < score.final < 90


@pytest.mark.parametrize(
    ("variant", "empty", "final"),
    [
        # Rows: a good one, nothing, white space, a full stop.
        ("rouge", (1, 2, 3), 25.0),
        ("rouge-score", (1, 2), 25.0),
    ],
)
def test_empty_hypotheses_score_zero_and_are_named(variant: Variant, empty: tuple[int, ...], final: float) -> None:
    score = score_corpus(
        ["a b", "", " \n", "."], [["a b"], ["a b"], ["a b"], ["a b"]], variant=variant, tokenizer=SPACES
    )
    assert score.empty == empty
    assert [row.final for row in score.per_row[1:]] == [0.0, 0.0, 0.0]
    assert score.final == pytest.approx(final, abs=1e-6)
    assert f"|empty:{len(empty)}|" in score.signature


@pytest.mark.parametrize("variant", VARIANTS)
def test_null_words_are_empty_where_they_are_worth_nothing(variant: Variant) -> None:
    hypotheses = ["a b", "nan", "None", "none", "<NA>", "N/A", "none of them"]
    references = [["a b"], ["a b"], ["a b", "c"], ["a b", "none"], ["a"], ["a"], ["a"]]
    score = score_corpus(hypotheses, references, variant=variant, tokenizer=SPACES)
    # The true answer "none" keeps its score, and so does a text that only begins with such a word.
    assert score.empty == (1, 2, 4, 5)
    assert score.per_row[3].rouge1 == pytest.approx(50, abs=1e-5)
    assert "|empty:4|" in score.signature


@pytest.mark.parametrize("variant", VARIANTS)
def test_empty_korean_hypotheses_are_named_by_mecab_too(variant: Variant) -> None:
    score = score_corpus(["\u200a ", "간다", "\t"], [["간다"]] * 3, variant=variant)
    # A hair space is a token for mecab-ko, so only the third row is without one.
    assert score.empty == (2,)


def test_signatures() -> None:
    mecab_name = mecab_tokenizer().name
    assert score_corpus(["간다"], [["간다"] * 3]).signature == (
        f"variant:rouge|tok:{mecab_name}|nrefs:3|refs:mean|empty:0|v:{__version__}"
    )
    varied = score_corpus(["a", ""], [["a"], ["a", "b"]], variant="rouge-score", aggregate="max", tokenizer=SPACES)
    assert varied.signature == (f"variant:rouge-score|tok:whitespace|nrefs:1-2|refs:max|empty:1|v:{__version__}")


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (
            ["a", "b"],
            [["a"]],
            snapshot("2 hypotheses, but references for 1 dialogues: expected one hypothesis per dialogue"),
        ),
        (
            ["a"],
            [["a"], ["b"]],
            snapshot("1 hypotheses, but references for 2 dialogues: expected one hypothesis per dialogue"),
        ),
        ([], [], snapshot("no hypotheses: expected at least one")),
        (["a", "b"], [["a"], []], snapshot("row 1 has no reference: expected at least one")),
        (["a"], ["a b"], snapshot("the references of row 0 are one string: expected a list of strings")),
    ],
)
def test_what_does_not_fit_is_refused(hypotheses: list[str], references: list[list[str]], message: str) -> None:
    with raises(ValueError) as error:
        score_corpus(hypotheses, references, tokenizer=SPACES)
    assert error.message == message


def test_unknown_options_are_refused() -> None:
    with raises(ValueError) as error:
        score_corpus(["a"], [["a"]], aggregate="best", tokenizer=SPACES)  # type: ignore[arg-type]
    assert error.message == snapshot("unknown aggregate 'best': expected 'mean' or 'max'")
    with raises(ValueError) as error:
        score_corpus(["a"], [["a"]], variant="bleu", tokenizer=SPACES)  # type: ignore[arg-type]
    assert error.message == snapshot("unknown ROUGE variant 'bleu': expected 'rouge' or 'rouge-score'")


sentences = st.lists(st.sampled_from(["a", "b", "c", "."]), max_size=8).map(" ".join)
rows = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=5)


@pytest.mark.parametrize("variant", VARIANTS)
@given(data=rows)
def test_the_corpus_is_the_mean_of_its_rows_and_max_is_never_below_mean(
    data: list[tuple[str, list[str]]], variant: Variant
) -> None:
    hypotheses, references = [row[0] for row in data], [row[1] for row in data]
    mean = score_corpus(hypotheses, references, variant=variant, tokenizer=SPACES)
    best = score_corpus(hypotheses, references, variant=variant, aggregate="max", tokenizer=SPACES)
    assert mean.final == pytest.approx(sum(row.final for row in mean.per_row) / len(data), abs=1e-9)
    expected = sum(
        100 * sum(rouge(hypothesis.split(), text.split(), variant).final for text in texts) / len(texts)
        for hypothesis, texts in data
    ) / len(data)
    assert mean.final == pytest.approx(expected, abs=1e-9)
    for low, high in zip(mean.per_row, best.per_row, strict=True):
        assert all(0 <= one <= other + 1e-9 and other <= 100 for one, other in zip(low, high, strict=True))


def test_the_names_of_the_room() -> None:
    assert sorted(llm_summ.score.__all__) == [
        "Aggregate",
        "CorpusScore",
        "PRF",
        "PairScores",
        "Prepared",
        "RougeScores",
        "RowScore",
        "TextBatch",
        "Tokenizer",
        "Variant",
        "candidate_scores",
        "compare",
        "mecab_tokenizer",
        "prepare",
        "rouge",
        "score_corpus",
        "whitespace_tokenizer",
    ]
    assert all(hasattr(llm_summ.score, name) for name in llm_summ.score.__all__)
