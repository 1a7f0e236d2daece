"""Which of several texts is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from pools import WORDS, chosen, pool_of, single
from rouge import Rouge  # type: ignore[import-untyped]
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from llm_summ.core.errors import InputError
from llm_summ.score.metric import Metric
from llm_summ.score.rouge import Variant
from llm_summ.select.mbr import Method, Settings

# and R-L of A and B are 3/4, 2/3 and 3/4; of A and C 1/2, 1/3 and 1/2; of B and C nothing but R-1 1/4.
A, B, C = "가 나 다 라", "마 나 다 라", "가 나 바 라"
FAR = "하 파 타 카"
METHODS: tuple[Method, ...] = get_args(Method)


class Words(Tokenizer):  # type: ignore[misc]
    def tokenize(self, text: str) -> list[str]:
        return text.split(" ")


def naive(texts: list[str], variant: Variant, weights: Sequence[float] | None = None) -> list[float]:
    """Compute the expected utility with the packages themselves."""
    heard = weights or [1.0] * len(texts)
    package, rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words()), Rouge()

    def utility(hypothesis: str, reference: str) -> float:
        if variant == "rouge":
            [found] = rouge.get_scores(hypothesis, reference)
            return sum(found[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")) / 3
        return sum(one.fmeasure for one in package.score(reference, hypothesis).values()) / 3

    others = [[place for place in range(len(texts)) if place != own] for own in range(len(texts))]
    return [
        sum(heard[other] * utility(text, texts[other]) for other in rest) / sum(heard[other] for other in rest)
        for text, rest in zip(texts, others, strict=True)
    ]


sentence = st.lists(st.sampled_from("가나다라마"), min_size=1, max_size=5).map(" ".join)
text = st.lists(sentence, min_size=1, max_size=3).map(" . ".join)
several = st.lists(text, min_size=2, max_size=6)


@pytest.mark.parametrize("variant", ["rouge", "rouge-score"])
@settings(deadline=None, max_examples=20)
@given(texts=several)
def test_mbr_equals_that_of_the_packages(texts: list[str], variant: Variant) -> None:
    _, choices = chosen(single(*texts), Settings.equal(len(texts)), Metric(variant, "space"))
    expected = naive(texts, variant)
    index = int(choices.index[0])
    assert choices.score[0] == pytest.approx(expected[index], abs=1e-12)
    assert expected[index] >= max(expected) - 1e-9
    # Of equally good texts the first is taken; differences within rounding count as equal.
    assert all(score < max(expected) - 1e-10 for score in expected[:index])


def test_mbr_of_a_pool_by_hand() -> None:
    texts, choices = chosen(single(B, A, C, FAR), Settings.equal(4))
    assert texts == [A]
    # With B: 3/4, 2/3, 3/4; with C: 3/4, 1/3, 3/4; with FAR nothing.
    assert choices.score[0] == pytest.approx(((3 / 4 + 2 / 3 + 3 / 4) + (3 / 4 + 1 / 3 + 3 / 4)) / 9)
    assert not choices.tied[0]


@pytest.mark.parametrize(
    ("method", "text"), [("mbr", A), ("medoid", A), ("vote", FAR), ("longest", FAR), ("shortest", B)]
)
def test_every_method(method: Method, text: str) -> None:
    # FAR occurs twice, once with other white space; it agrees with itself, and A with B and C.
    pool = single("마 나 다", A, C, f"{FAR} 차", f" {FAR}  차")
    found, _ = chosen(pool, Settings.equal(5, method))
    assert " ".join(found[0].split()) == {FAR: f"{FAR} 차", B: "마 나 다"}.get(text, text)


def test_an_undecided_vote_is_reported_and_takes_the_medoid() -> None:
    pool = pool_of([[B], [FAR]], [[A], [A]], [[C], [FAR]])
    texts, choices = chosen(pool, Settings.equal(3, "vote"))
    assert texts == [A, FAR]
    assert choices.undecided.tolist() == [True, False]
    assert chosen(pool, Settings.equal(3, "medoid"))[0][0] == A


def test_votes_are_weighed() -> None:
    pool = single(A, FAR, FAR)
    assert chosen(pool, Settings((1, 1, 1), "vote"))[0] == [FAR]
    assert chosen(pool, Settings((3, 1, 1), "vote"))[0] == [A]


def test_a_single_text_is_chosen_and_is_not_an_undecided_vote() -> None:
    for method in METHODS:
        texts, choices = chosen(single(A), Settings.equal(1, method))  # type: ignore[arg-type]
        assert texts == [A]
        assert not choices.tied[0]
        assert not choices.undecided[0]


def test_of_equal_scores_the_first_is_taken_and_the_tie_is_reported() -> None:
    for first, second in ((A, FAR), (FAR, A)):
        texts, choices = chosen(single(first, second), Settings.equal(2))
        assert texts == [first]
        assert choices.tied[0]
    # Equal texts are not a tie.
    assert not chosen(single(A, f"{A} ", FAR), Settings.equal(3))[1].tied[0]


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_text_is_neither_chosen_nor_a_reference(method: Method) -> None:
    with_empty = chosen(single("", ".", B, A, C), Settings.equal(5, method))
    without = chosen(single(B, A, C), Settings.equal(3, method))
    assert with_empty[0] == without[0]
    assert with_empty[1].score[0] == pytest.approx(without[1].score[0])
    with_null = chosen(single("nan", "nan", "None", B, A, C), Settings.equal(6, method))
    assert with_null[0] == without[0]
    assert with_null[1].score[0] == pytest.approx(without[1].score[0])
    assert chosen(single("nan", "nan", A), Settings.equal(3, method))[0] == [A]
    only, choices = chosen(single("nan", "nan"), Settings.equal(2, method))
    assert only == ["nan"]
    only, choices = chosen(single("", " . "), Settings.equal(2, method))
    assert only[0].strip() in ("", ".")
    assert not choices.undecided[0] or method == "vote"


@settings(deadline=None, max_examples=20)
@given(texts=several, data=st.data())
def test_the_order_of_files_changes_nothing_but_ties(texts: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    weights = data.draw(st.tuples(*(st.sampled_from([0.5, 1.0, 2.0]) for _ in texts)))
    for method in METHODS:
        one, choices = chosen(single(*texts), Settings(weights, method))
        turned = Settings(tuple(weights[at] for at in order), method)
        other, again = chosen(single(*(texts[at] for at in order)), turned)
        assert choices.tied.tolist() == again.tied.tolist()
        assert choices.score == pytest.approx(again.score)
        if not choices.tied[0]:
            assert one == other


@settings(deadline=None, max_examples=20)
@given(texts=several, place=st.integers(0, 5))
def test_a_weight_of_zero_leaves_a_file_out(texts: list[str], place: int) -> None:
    place %= len(texts)
    weights = tuple(float(at != place) for at in range(len(texts)))
    rest = [text for at, text in enumerate(texts) if at != place]
    for method in METHODS:
        one, choices = chosen(single(*texts), Settings(weights, method, length=0.1))
        other, again = chosen(single(*rest), Settings((1.0,) * len(rest), method, length=0.1))
        assert one == other
        assert choices.score == pytest.approx(again.score)


@settings(deadline=None, max_examples=20)
@given(texts=several)
def test_a_duplicate_of_the_choice_does_not_change_it(texts: list[str]) -> None:
    one, choices = chosen(single(*texts), Settings.equal(len(texts)))
    assume(not choices.tied[0])
    twice, _ = chosen(single(*texts, *one), Settings.equal(len(texts) + 1))
    assert twice == one


@settings(deadline=None, max_examples=20)
@given(texts=several, data=st.data())
def test_a_file_counts_as_a_reference_by_its_weight(texts: list[str], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.5, 1, 2, 3]), min_size=len(texts), max_size=len(texts)))
    _, choices = chosen(single(*texts), Settings(tuple(weights)), Metric("rouge", "space"))
    expected = naive(texts, "rouge", weights)
    assert choices.score[0] == pytest.approx(max(expected))
    assert expected[int(choices.index[0])] == pytest.approx(max(expected))


def test_weights_of_rouge() -> None:
    # FAR's words in another order agree in R-1 alone; A and B in a row of words.
    pool = single("하 카 타 파", A, "마 나 다 라 바 사", FAR)
    assert chosen(pool, Settings((1,) * 4, rouge=(1, 0, 0)))[0] == ["하 카 타 파"]
    assert chosen(pool, Settings((1,) * 4, rouge=(0, 1, 0)))[0] == [A]
    assert chosen(pool, Settings((1,) * 4, rouge=(0, 2, 0)))[1].score == pytest.approx(
        chosen(pool, Settings((1,) * 4, rouge=(0, 1, 0)))[1].score
    )


def test_the_length_prior() -> None:
    long = f"{A} 마 바 사 아"
    pool = single(A, long, "파 하")
    plain = chosen(pool, Settings.equal(3))
    assert plain[0] == [A]
    assert plain[1].tied[0]
    # 7, 15 and 3 characters: the target is 7, or what is asked for.
    assert chosen(pool, Settings((1,) * 3, length=0.1))[0] == [A]
    found = chosen(pool, Settings((1,) * 3, length=0.1, target=15))
    assert found[0] == [long]
    assert found[1].score[0] == pytest.approx(plain[1].score[0])
    near = chosen(pool, Settings((1,) * 3, length=0.1, target=14))
    assert near[1].score[0] == pytest.approx(plain[1].score[0] - 0.1 * math.log(15 / 14) ** 2)
    assert chosen(pool, Settings((1,) * 3, length=10, target=3))[0] == ["파 하"]


def test_texts_count_by_their_log_probability() -> None:
    # Four samples of a file: two agree on A and B, two on FAR; which two are likely decides.
    texts = [[A, B, FAR, f"{FAR} 차"]]
    likely = Settings((1,), temperature=0.1)
    for confidence, expected in (
        ([[-0.2, -0.2, -2.0, -2.0]], [A, B]),
        ([[-2.0, -2.0, -0.2, -0.2]], [FAR, f"{FAR} 차"]),
    ):
        found, choices = chosen(pool_of(texts, confidence=confidence), likely)
        assert found[0] in expected
        assert choices.score[0] > 0.7
    # Equal log-probabilities, and none, count alike.
    same = chosen(pool_of(texts, confidence=[[-1.0] * 4]), likely)[1].score
    assert same == pytest.approx(chosen(pool_of(texts), likely)[1].score)
    assert same == pytest.approx(chosen(pool_of(texts), Settings((1,)))[1].score)


def test_shares_by_hand() -> None:
    # exp(-ln 3) is a third of exp(0): of A's references, B counts three times FAR.
    pool = pool_of([[A, B, FAR]], confidence=[[-5.0, 0.0, -math.log(3)]])
    _, choices = chosen(pool, Settings((1,), temperature=1))
    assert choices.score[0] == pytest.approx((3 / 4 + 2 / 3 + 3 / 4) / 3 * 3 / 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": (0, 0)}, snapshot("--weights 0,0: expected numbers from 0 on, and one above it")),
        ({"weights": (1, -1)}, snapshot("--weights 1,-1: expected numbers from 0 on, and one above it")),
        ({"weights": (1, math.nan)}, snapshot("--weights 1,nan: expected numbers from 0 on, and one above it")),
        ({"rouge": (0, 0, 0)}, snapshot("--rouge 0,0,0: expected numbers from 0 on, and one above it")),
        ({"length": -1}, snapshot("--length -1: expected a number from 0 on")),
        ({"length": math.inf}, snapshot("--length inf: expected a number from 0 on")),
        ({"target": 0}, snapshot("--length-target 0: expected a number above 0")),
        ({"temperature": 0}, snapshot("--temperature 0: expected a number above 0")),
    ],
)
def test_settings_out_of_range_are_one_line(fields: dict[str, object], message: str) -> None:
    with raises(InputError) as error:
        replace(Settings((1, 1)), **fields)  # type: ignore[arg-type]
    assert error.message == message


def test_every_order_of_a_pool_without_ties_gives_the_same() -> None:
    for order in permutations([B, A, C, FAR]):
        assert chosen(single(*order), Settings.equal(4))[0] == [A]
    assert np.isfinite(chosen(single(B, A), Settings.equal(2), WORDS)[1].score).all()
