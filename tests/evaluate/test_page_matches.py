"""Which words a score counts as common, and their positions."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_summ.core.word_tokenizers import TokenizerName
from llm_summ.evaluate.page.matches import AGAIN, COUNTED, Matches, common, find_words
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.rouge import Variant, common_words, prepare, split_sentences

VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")
# Few words, so that many are common; full stops within words, alone, and with nothing between them.
TEXTS = st.lists(st.sampled_from(["가", "나", "다", "라", ".", "나.", "3.5", ".."]), max_size=14).map(" ".join)


def matches(summary: str, reference: str, metric: Metric) -> tuple[Matches, Matches]:
    return common(find_words(summary, metric), find_words(reference, metric), metric.variant)


def marked(text: str, metric: Metric, states: tuple[int, ...], state: int) -> list[str]:
    words = chain.from_iterable(find_words(text, metric))
    return [text[word.start : word.end] for word, found in zip(words, states, strict=True) if found == state]


@pytest.mark.parametrize("variant", VARIANTS)
@given(summary=TEXTS, reference=TEXTS)
def test_as_many_are_marked_as_the_score_counts(variant: Variant, summary: str, reference: str) -> None:
    one, other = prepare(summary.split(), variant), prepare(reference.split(), variant)
    expected = (
        len(one.unigrams & other.unigrams),
        len(one.bigrams & other.bigrams),
        0 if one.empty or other.empty else common_words(one, other),
    )
    for found in matches(summary, reference, Metric(variant, "space")):
        counted = tuple(states.count(COUNTED) for states in (found.unigrams, found.bigrams, found.longest))
        assert counted == expected


@pytest.mark.parametrize("variant", VARIANTS)
@given(summary=TEXTS, reference=TEXTS)
def test_marked_words_are_in_the_other_text(variant: Variant, summary: str, reference: str) -> None:
    metric = Metric(variant, "space")
    texts = [
        [word.word for word in chain.from_iterable(find_words(text, metric))] for text in (summary, reference)
    ]
    for words, other, found in zip(texts, texts[::-1], matches(summary, reference, metric), strict=True):
        assert [bool(state) for state in found.unigrams] == [word in other for word in words]
        pairs = [pair in list(pairwise(other)) for pair in pairwise(words)]
        assert [bool(state) for state in found.bigrams] == ([*pairs, False] if words else [])
        assert all(one or not longest for one, longest in zip(found.unigrams, found.longest, strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tokens", ["mecab", "space", "character", "rouge-score", "rouge-score-stem"])
@settings(deadline=None)  # a tokenizer is loaded when it is first used
@given(text=st.text(st.one_of(st.sampled_from("가나다#PersonİΣ1. \n\u3000\0😀"), st.characters(codec="utf-8"))))
def test_words_are_those_of_the_score_and_at_their_positions_in_the_text(
    tokens: TokenizerName, variant: Variant, text: str
) -> None:
    metric = Metric(variant, tokens)
    sentences = find_words(text, metric)
    split = metric.tokenizer(text)
    wanted = split_sentences(split) if variant == "rouge" else [split] if split else []
    assert [[word.word for word in sentence] for sentence in sentences] == wanted
    end = 0
    for word in chain.from_iterable(sentences):
        assert end <= word.start <= word.end <= len(text)
        if tokens in ("mecab", "space", "character"):
            assert text[word.start : word.end] == word.word
        else:
            assert text[word.start : word.end][:1].lower().startswith(word.word[:1])
        end = word.end


@pytest.mark.parametrize(
    ("summary", "reference", "counted", "again"),
    [
        # Morphemes, not words: the particle differs, the noun is common.
        ("수지는 학교에 간다.", "수지가 학교에서 온다.", ["수지", "학교"], []),
        # The baseline's ROUGE counts a word once, however often both texts have it.
        ("비가 오고 비가 온다.", "비가 와서 비가 싫다.", ["비", "가"], ["비", "가"]),
        ("#Person1#은 쉽니다.", "#Person2#는 쉽니다.", ["#", "Person", "쉽니다"], ["#"]),
        ("", "수지는 잔다.", [], []),
    ],
)
def test_morphemes_that_are_common(summary: str, reference: str, counted: list[str], again: list[str]) -> None:
    found, _ = matches(summary, reference, COMPETITION)
    assert marked(summary, COMPETITION, found.unigrams, COUNTED) == counted
    assert marked(summary, COMPETITION, found.unigrams, AGAIN) == again


def test_a_bigram_is_marked_at_its_first_word() -> None:
    metric = Metric("rouge", "space")
    found, other = matches("가 나 다 라 가 나", "가 나 라 다 라", metric)
    assert found.bigrams == (COUNTED, 0, COUNTED, 0, AGAIN, 0)
    assert other.bigrams == (COUNTED, 0, 0, COUNTED, 0)


def test_the_longest_common_subsequence_keeps_to_the_order() -> None:
    found, other = matches("나 가 다", "가 나 다 라", Metric("rouge-score", "space"))
    # Of two that are equally long, the package's walk reads only one.
    assert sum(found.longest) == sum(other.longest) == 2
    assert found.longest[2] == other.longest[2] == COUNTED
    assert found.unigrams == (COUNTED, COUNTED, COUNTED)


def test_an_english_stem_is_marked_to_the_end_of_its_word() -> None:
    metric = Metric("rouge-score", "rouge-score-stem")
    summary = "İn 10 MEETINGS, she cancelled."
    found, _ = matches(summary, "She cancels the 10th meeting", metric)
    assert marked(summary, metric, found.unigrams, COUNTED) == ["MEETINGS", "she", "cancelled"]
