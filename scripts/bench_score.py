"""Measure the scoring of many pairs, compared with rouge-score, rouge and rouge-score-rs on the same tokens.

    python scripts/bench_score.py FILE... [--rounds 5] [--candidates 32] [--dialogues 100]

The FILEs are predictions for the same dialogues (CSV or JSONL with fname and summary), at least two: each summary
is scored with the other files' summary of the same dialogue as its reference. Without FILEs, the references of
sample:dev and sample:test are used.

Everything is in one process and on one core. A package is timed on a part of the pairs, a round of each after the
other, and the best round counts. Ours includes the preparation of the texts. rouge-score-rs is given the tokens as
words that its own tokenizer finds again, since only that one is native. Exit 1 if a figure differs by more than
1e-12 from the package's.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # rouge-score-rs, read when it is imported

import numpy as np
from rouge import Rouge  # type: ignore[import-untyped]
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from rouge_score_rs.rouge_scorer import RougeScorer as NativeScorer

from llm_summ.core.errors import LlmSummError
from llm_summ.core.word_tokenizers import MecabTokenizer
from llm_summ.data import read_dialogues, read_hypotheses
from llm_summ.score.batch import TextBatch
from llm_summ.score.rouge import Variant

METRICS = ["rouge1", "rouge2", "rougeL"]
Tokens = list[str]
Pair = tuple[int, int]


class Words(Tokenizer):
    """Gives rouge-score the tokens that it is given."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split(" ")


def main() -> int:
    """Run the measurement; 1 if figures differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="predictions for the same dialogues")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    parser.add_argument("--candidates", type=int, default=32, help="of a dialogue, for the matrix")
    parser.add_argument("--dialogues", type=int, default=100, help="for the matrix")
    arguments = parser.parse_args()
    if len(arguments.files) == 1:
        parser.error("one FILE: expected at least two, which are compared with one another")
    try:
        systems = read(arguments.files)
        tokenize = MecabTokenizer()
    except LlmSummError as error:
        print(f"bench_score.py: {error}", file=sys.stderr)
        return error.exit_code
    started = time.perf_counter()
    texts = [tokenize(text) for system in systems for text in system]
    mecab = (time.perf_counter() - started) / len(texts)
    rows = len(systems[0])
    pairs = [
        (one * rows + row, other * rows + row)
        for one, other in combinations(range(len(systems)), 2)
        for row in range(rows)
        if texts[one * rows + row] and texts[other * rows + row]
    ]
    length = sum(map(len, texts)) / len(texts)
    print(f"{len(pairs):,} pairs of {len(texts):,} texts, {length:.1f} tokens each")
    ours, theirs, differ = time_pairs(texts, pairs, arguments.rounds)
    print("\npairs per second, one core, R-1 + R-2 + R-L")
    for name, rate in ours.items():
        print(f"  llm-summ, as {name:20} {rate:12,.0f}")
    for name, rate in theirs.items():
        print(f"  {name:33} {rate:12,.0f}")
    print("ratio")
    show_ratios(ours, theirs)
    n = arguments.candidates
    matrices = time_matrices(mixed(systems, tokenize, arguments), arguments.rounds)
    print(f"\nevery ordered pair of {n} candidates, {arguments.dialogues} dialogues: pairs per second")
    for name, rate in matrices.items():
        print(f"  llm-summ, as {name:20} {rate:12,.0f}")
    print("ratio")
    show_ratios(matrices, theirs)
    print(f"\nmecab-ko: {mecab * 1e6:.0f} us a text; its share of the whole where no text was seen before")
    for name, rate in ours.items():
        print(f"  pairs, as {name:23} {share(mecab * len(texts), len(pairs) / rate):12.0%}")
    for name, rate in matrices.items():
        print(f"  candidates, as {name:18} {share(mecab * n, n * (n - 1) / rate):12.0%}")
    for name, difference in differ.items():
        print(f"largest difference from {name}: {difference:.1e}")
    return int(max(differ.values()) > 1e-12)


def show_ratios(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Print our rates relative to each package; pairs that compute the same figures are marked."""
    for name, rate in ours.items():
        for package, other in theirs.items():
            same = (
                "  the same figures" if package.startswith(name) and (name != "rouge" or package == name) else ""
            )
            print(f"  as {name:12} / {package:15} {rate / other:12.1f}{same}")


def share(part: float, rest: float) -> float:
    """Of the whole."""
    return part / (part + rest)


def read(files: Sequence[str]) -> list[list[str]]:
    """Return the summaries of each file, in the order of the first one's ids."""
    if not files:
        dialogues = read_dialogues(["sample:dev", "sample:test"], references=True)
        return [[row.references[place] for row in dialogues] for place in range(3)]
    found = [read_hypotheses(Path(file)) for file in files]
    return [
        [system[identity] for identity in found[0] if all(identity in one for one in found)] for system in found
    ]


def time_pairs(
    texts: list[Tokens], pairs: list[Pair], rounds: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Pairs per second of ours and of the packages; and the largest difference from each."""
    part = random.Random(0).sample(pairs, min(len(pairs), 500))
    joined = [" ".join(text) for text in texts]
    known = {
        token: f"w{number}"
        for number, token in enumerate(dict.fromkeys(token for text in texts for token in text))
    }
    renamed = [" ".join(map(known.__getitem__, text)) for text in texts]
    package = RougeScorer(METRICS, tokenizer=Words())
    native = NativeScorer(METRICS)
    rouge = Rouge()
    own, other = zip(*pairs, strict=True)
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "llm-summ rouge": (lambda: TextBatch(texts, "rouge").compare(own, other), len(pairs)),
        "llm-summ rouge-score": (lambda: TextBatch(texts, "rouge-score").compare(own, other), len(pairs)),
        "rouge-score": (lambda: [package.score(joined[j], joined[i]) for i, j in part], len(part)),
        "rouge": (lambda: [figures_of_rouge(rouge, joined[i], joined[j]) for i, j in part], len(part)),
        "rouge-score-rs": (
            lambda: native.score_batch([renamed[j] for _, j in pairs], [renamed[i] for i, _ in pairs]),
            len(pairs),
        ),
    }
    rates = best(jobs, rounds)
    expected = {
        "rouge": [figures_of_rouge(rouge, joined[i], joined[j]) for i, j in part],
        "rouge-score": [
            [value for name in METRICS for value in package.score(joined[j], joined[i])[name]] for i, j in part
        ],
    }
    differ = {name: difference(texts, part, variant, expected[name]) for name, variant in VARIANTS.items()}
    ours = {variant: rates.pop(f"llm-summ {variant}") for variant in VARIANTS}
    return ours, rates, differ


VARIANTS: dict[str, Variant] = {"rouge": "rouge", "rouge-score": "rouge-score"}


def figures_of_rouge(rouge: Rouge, hypothesis: str, reference: str) -> list[float]:
    """Return the nine figures of the package; zeros if it raises because a text has only full stops."""
    try:
        [found] = rouge.get_scores(hypothesis, reference)
    except ValueError:
        return [0.0] * 9
    return [found[metric][figure] for metric in ("rouge-1", "rouge-2", "rouge-l") for figure in ("p", "r", "f")]


def difference(texts: list[Tokens], pairs: list[Pair], variant: Variant, expected: list[list[float]]) -> float:
    """Return the largest difference of a figure."""
    found = TextBatch(texts, variant).compare([i for i, _ in pairs], [j for _, j in pairs])
    ours = np.stack([found.precision, found.recall, found.f1], axis=2).reshape(-1, 9)
    return float(abs(ours - np.array(expected)).max())


def mixed(
    systems: list[list[str]], tokenize: Callable[[str], Tokens], arguments: argparse.Namespace
) -> list[list[Tokens]]:
    """Candidates of some dialogues: what the systems wrote, and beginnings of one with the end of another."""
    rng = random.Random(0)
    found = []
    for row in rng.choices(range(len(systems[0])), k=arguments.dialogues):
        written = [tokenize(system[row]) for system in systems]
        candidates = written[: arguments.candidates]
        while len(candidates) < arguments.candidates:
            one, other = rng.sample(written, 2)
            cut = rng.random()
            candidates.append(one[: round(cut * len(one))] + other[round(cut * len(other)) :])
        found.append(candidates)
    return found


def time_matrices(dialogues: list[list[Tokens]], rounds: int) -> dict[str, float]:
    """Ordered pairs per second, each candidate with itself left out, of a matrix a dialogue."""
    n = len(dialogues[0])

    def job(variant: Variant) -> Callable[[], object]:
        return lambda: [TextBatch(texts, variant).matrix() for texts in dialogues]

    jobs = {name: (job(variant), n * (n - 1) * len(dialogues)) for name, variant in VARIANTS.items()}
    return best(jobs, rounds)


def best(jobs: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """Pairs per second of each job in its best round; a round is one of each after the other."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, (job, _) in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return {name: pairs / seconds[name] for name, (_, pairs) in jobs.items()}


if __name__ == "__main__":
    sys.exit(main())
