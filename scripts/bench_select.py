"""Measure the choice by minimum Bayes risk, compared with a plain one over rouge and rouge-score.

    python scripts/bench_select.py [--dialogues 499] [--candidates 32] [--workers 2] [--plain 3]

The candidates of a dialogue are one to three sentences of its own references and of two other dialogues of the
bundled sample, in any order. Ours is timed from the texts to the choices, mecab-ko and the start of the processes
included, on all dialogues; the plain one, in one process on tokens that are there already, on the first few. The
choices and their scores are compared on twenty dialogues, of eight candidates each. Exit 1 if a score differs by
more than 1e-9, or a choice does not have the best score.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import time
from pathlib import Path

from rouge import Rouge  # type: ignore[import-untyped]
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from llm_summ.core.word_tokenizers import mecab_tokenizer
from llm_summ.data import read_dialogues
from llm_summ.score.metric import Metric
from llm_summ.score.rouge import Variant
from llm_summ.select.mbr import Settings, choose, compare_candidates
from llm_summ.select.pool import Member, Pool

VARIANTS: tuple[Variant, ...] = ("rouge", "rouge-score")


class Words(Tokenizer):
    """Gives rouge-score the tokens that it is given."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split(" ")


def main() -> int:
    """Run the measurement; 1 if choices differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=499)
    parser.add_argument("--candidates", type=int, default=32, help="of a dialogue")
    parser.add_argument("--workers", type=int, default=2, help="processes of ours")
    parser.add_argument("--plain", type=int, default=3, help="dialogues for the plain choice")
    arguments = parser.parse_args()
    rows = mixed(arguments.dialogues, arguments.candidates)
    print(f"{len(rows):,} dialogues, {arguments.candidates} candidates each")
    differ = False
    for variant in VARIANTS:
        mecab_tokenizer.cache_clear()  # as if no text was seen before
        started, before = time.perf_counter(), processor_seconds()
        ours(rows, variant, arguments.workers)
        seconds, processor = time.perf_counter() - started, processor_seconds() - before
        part = [[" ".join(mecab_tokenizer()(text)) for text in texts] for texts in rows[: arguments.plain]]
        started = time.perf_counter()
        for texts in part:
            plain(texts, variant)
        each = (time.perf_counter() - started) / len(part)
        worst = difference([texts[:8] for texts in rows[:20]], variant)
        differ |= worst > 1e-9
        print(f"{variant}: {seconds:.2f} s in {arguments.workers} processes, {processor:.2f} s of CPU time")
        print(f"  plain: {each:.2f} s a dialogue, {each * len(rows):,.0f} s for all")
        print(f"  ratio {each * len(rows) / seconds:,.0f}; largest difference {worst:.1e}")
    return int(differ)


def processor_seconds() -> float:
    """CPU time of this process and of those that it started and that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def mixed(dialogues: int, candidates: int) -> list[list[str]]:
    """Candidates of dialogues, made of the sample's sentences."""
    sample = read_dialogues(["sample:dev", "sample:test", "sample:train"], references=True)
    sentences = [re.findall(r"[^.]+\.", " ".join(row.references)) for row in sample]
    rng = random.Random(0)
    found = []
    for number in range(dialogues):
        own = [one.strip() for at in (0, 0, 7, 11) for one in sentences[(number + at) % len(sentences)]]
        found.append([" ".join(rng.sample(own, rng.randint(1, min(3, len(own))))) for _ in range(candidates)])
    return found


def ours(rows: list[list[str]], variant: Variant, workers: int) -> tuple[list[int], list[float]]:
    """Return the choice for each dialogue and its score."""
    pool = Pool(tuple(map(str, range(len(rows)))), (Member("A", Path("a"), tuple(map(tuple, rows))),))
    found = choose(compare_candidates(pool, Metric(variant), workers), Settings.equal(1))
    return found.index.tolist(), found.score.tolist()


def plain(texts: list[str], variant: Variant) -> list[float]:
    """Return the mean score of each text with every other as its reference; tokens are words."""
    package = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
    rouge = Rouge()

    def score(hypothesis: str, reference: str) -> float:
        if variant == "rouge":
            [found] = rouge.get_scores(hypothesis, reference)
            return sum(found[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")) / 3
        return sum(one.fmeasure for one in package.score(reference, hypothesis).values()) / 3

    others = len(texts) - 1
    return [
        sum(score(text, other) for at, other in enumerate(texts) if at != place) / others
        for place, text in enumerate(texts)
    ]


def difference(rows: list[list[str]], variant: Variant) -> float:
    """Return the largest difference of a chosen text's score from its plain score or the best plain score."""
    tokenize = mecab_tokenizer()
    worst = 0.0
    for texts, index, score in zip(rows, *ours(rows, variant, 1), strict=True):
        expected = plain([" ".join(tokenize(text)) for text in texts], variant)
        worst = max(worst, abs(score - expected[index]), max(expected) - expected[index])
    return worst


if __name__ == "__main__":
    sys.exit(main())
