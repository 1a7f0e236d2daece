"""Scores: what the competition's server would say.

Three layers, each usable on its own: :mod:`~llm_summ.morphemes` splits a text into the tokens that
count, :mod:`~llm_summ.score.rouge` compares two lists of tokens, :mod:`~llm_summ.score.corpus` scores a file
of summaries and signs the result::

    score = score_corpus(summaries, references)
    score.final, score.signature

Importing the room costs next to nothing: mecab-ko is loaded when the first Korean text is tokenized.
"""

from llm_summ.morphemes import Tokenizer, mecab_tokenizer, whitespace_tokenizer
from llm_summ.score.corpus import Aggregate, CorpusScore, RowScore, score_corpus
from llm_summ.score.rouge import PRF, Prepared, RougeScores, Variant, compare, prepare, rouge

__all__ = [
    "PRF",
    "Aggregate",
    "CorpusScore",
    "Prepared",
    "RougeScores",
    "RowScore",
    "Tokenizer",
    "Variant",
    "compare",
    "mecab_tokenizer",
    "prepare",
    "rouge",
    "score_corpus",
    "whitespace_tokenizer",
]
