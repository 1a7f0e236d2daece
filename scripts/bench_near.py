"""Measure the search for near-duplicate dialogues, compared with a search over all pairs.

    python scripts/bench_near.py FILE... [--grow 12957] [--subset 2000] [--show 20]

Searches all rows of the files together, and prints time, memory and what was found. With --grow, copies of which
every twelfth word is replaced are added first, and it counts how many of them are found. Then it searches a random
subset twice, with near_duplicates and by measuring all pairs (rapidfuzz.process.cdist, one core), and prints the
ratio of the times and whether both found the same pairs.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from llm_summ.core.errors import LlmSummError
from llm_summ.data import read_dialogues
from llm_summ.data.near_duplicates import (
    NearPair,
    compared_text,
    duplicate_groups,
    least_similarity,
    near_duplicates,
)


def main() -> int:
    """Run the measurement; 1 if the two ways do not find the same pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="data files, or sample:train and the like")
    parser.add_argument("--threshold", type=float, default=0.5, help="the least similarity; by default 0.5")
    parser.add_argument(
        "--grow", type=int, default=0, metavar="ROWS", help="add changed copies up to so many rows"
    )
    parser.add_argument("--subset", type=int, default=2000, metavar="ROWS", help="rows measured both ways")
    parser.add_argument("--show", type=int, default=0, metavar="PAIRS", help="print so many pairs, nearest first")
    parser.add_argument("--seed", type=int, default=0, help="of the subset and of the changed copies")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    try:
        rows = [(f"{file} {row.id}", row.text) for file in arguments.files for row in read_dialogues(file)]
        texts = [text for _, text in rows]
        origins = [rng.randrange(len(rows)) for _ in range(arguments.grow - len(rows))]
        grown = texts + [replace_words(texts[origin], texts, rng) for origin in origins]
        near_duplicates(texts[:10], threshold=arguments.threshold)  # imports what it needs

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        pairs = near_duplicates(grown, threshold=arguments.threshold)
        seconds = time.perf_counter() - started
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        groups = duplicate_groups(grown, threshold=arguments.threshold)
    except LlmSummError as error:
        print(f"bench_near.py: {error}", file=sys.stderr)
        return error.exit_code
    mean = sum(map(len, grown)) / len(grown)
    print(f"all: {len(grown)} rows of {mean:.0f} characters: {seconds:.2f} s, {memory:.0f} MiB more at the peak")
    print(f"found: {len(pairs)} pairs, {len(groups)} groups, the largest of {max(map(len, groups), default=0)}")
    if origins:
        places = {(pair.first, pair.second) for pair in pairs}
        found = sum((origin, len(rows) + n) in places for n, origin in enumerate(origins))
        print(f"changed copies found: {found} of {len(origins)} ({found / len(origins):.2%})")
    own = [pair for pair in pairs if pair.second < len(rows)]
    for pair in sorted(own, key=lambda pair: -pair.similarity)[: arguments.show]:
        print(f"\n{pair.similarity:.3f}")
        for name, text in (rows[pair.first], rows[pair.second]):
            print(f"  {name}: {' / '.join(text.splitlines())}")

    distinct = list({compared_text(text): text for text in grown}.values())
    subset = rng.sample(distinct, min(arguments.subset, len(distinct)))
    started = time.perf_counter()
    fast = near_duplicates(subset, threshold=arguments.threshold)
    fast_seconds = time.perf_counter() - started
    started = time.perf_counter()
    slow = all_pairs(subset, arguments.threshold)
    slow_seconds = time.perf_counter() - started
    same = {(pair.first, pair.second): round(pair.similarity, 9) for pair in fast} == {
        (pair.first, pair.second): round(pair.similarity, 9) for pair in slow
    }
    print(
        f"subset: {len(subset)} distinct rows: near_duplicates {fast_seconds:.2f} s, "
        f"all pairs {slow_seconds:.2f} s ({slow_seconds / fast_seconds:.0f} times); "
        f"{len(fast)} and {len(slow)} pairs, {'the same' if same else 'NOT THE SAME'}"
    )
    return 0 if same else 1


def all_pairs(texts: Sequence[str], threshold: float) -> list[NearPair]:
    """Return the result of a search over all pairs, as near_duplicates should; equal texts apart."""
    words = [compared_text(text) for text in texts]
    scores = cdist(
        words, words, scorer=Indel.normalized_similarity, score_cutoff=threshold, dtype=np.float64, workers=1
    )
    pairs = []
    for first, second in np.argwhere(np.triu(scores, 1)).tolist():
        similarity = float(scores[first, second])
        if similarity >= least_similarity(min(len(words[first]), len(words[second])), threshold):
            pairs.append(NearPair(first, second, similarity))
    return pairs


def replace_words(text: str, texts: Sequence[str], rng: random.Random) -> str:
    """Replace every twelfth word, on average, by one of another dialogue."""
    words = text.split(" ")
    for place in rng.sample(range(len(words)), max(1, len(words) // 12)):
        words[place] = rng.choice(rng.choice(texts).split(" "))
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
