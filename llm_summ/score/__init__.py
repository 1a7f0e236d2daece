"""Scores, as the competition's server would compute them.

Layers, each usable on its own: :mod:`~llm_summ.core.word_tokenizers` splits a text into the tokens that count,
:mod:`~llm_summ.score.rouge` compares two lists of tokens, :mod:`~llm_summ.score.batch` compares many pairs at
once, :mod:`~llm_summ.score.corpus` scores a file of summaries and signs the result,
:mod:`~llm_summ.score.significance` and :mod:`~llm_summ.score.leaderboard` measure how reliable it is::

    score = score_corpus(summaries, references)
    score.final, score.signature

Importing the package is cheap: mecab-ko is loaded when the first Korean text is tokenized.
"""

from llm_summ.core.word_tokenizers import Tokenizer, mecab_tokenizer, whitespace_tokenizer
from llm_summ.score.batch import PairScores, TextBatch
from llm_summ.score.candidates import candidate_scores
from llm_summ.score.corpus import Aggregate, CorpusScore, RowScore, score_corpus
from llm_summ.score.rouge import PRF, Prepared, RougeScores, Variant, compare, prepare, rouge

__all__ = [
    "PRF",
    "Aggregate",
    "CorpusScore",
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
