"""Measure what windows are worth for long dialogues: ROUGE of each `--long`, with a run.

    python scripts/bench_long.py dev.csv [--run latest] [--dialogues N] [--joined 8]

Dialogues of the file are joined to long ones, and their first references to long references. Each way of
`llm-summ summarize --long` writes a summary of every long dialogue with the same model; recall of ROUGE-1, the
score and the lengths are compared.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import fmean

from llm_summ import Dialogue, Summarizer, read_dialogues, score_corpus
from llm_summ.core.word_tokenizers import mecab_tokenizer
from llm_summ.generate.long_dialogues import LONG
from llm_summ.models.device import cpu_name
from llm_summ.score.rouge import rouge


def main() -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data file with references")
    parser.add_argument("--run", default=None, help="name of the run; the latest by default")
    parser.add_argument(
        "--dialogues", type=int, help="number of long dialogues; as many as the file has by default"
    )
    parser.add_argument("--joined", type=int, default=8, help="number of dialogues in each")
    arguments = parser.parse_args()
    rows = read_dialogues(arguments.data, references=True)
    number = arguments.dialogues or len(rows) // arguments.joined
    needed = number * arguments.joined
    if not 0 < needed <= len(rows):
        parser.error(f"{arguments.data}: found {len(rows)} dialogues, expected {max(needed, arguments.joined)}")
    long = [joined(rows[start : start + arguments.joined]) for start in range(0, needed, arguments.joined)]
    references = [dialogue.references for dialogue in long]
    print(f"{cpu_name()}, {os.cpu_count()} cores; {len(long)} dialogues of {arguments.joined} joined")
    print(
        f"{fmean(len(dialogue.text) for dialogue in long):,.0f} characters each, references "
        f"{fmean(len(texts[0]) for texts in references):,.0f}"
    )
    print(f"{'--long':10}{'R-1 recall':>12}{'score':>8}{'characters':>12}{'seconds':>9}{'windows':>9}")
    tokenize = mecab_tokenizer()
    with Summarizer.open(arguments.run, expected=needed) as summarizer:
        for way in LONG:
            before = time.perf_counter()
            summaries = summarizer.summarize(long, long=way)
            taken = time.perf_counter() - before
            texts = [summary.text for summary in summaries]
            recall = fmean(
                rouge(tokenize(text), tokenize(one[0])).rouge1.recall
                for text, one in zip(texts, references, strict=True)
            )
            print(
                f"{way:10}{100 * recall:12.2f}{score_corpus(texts, references).final:8.2f}"
                f"{fmean(map(len, texts)):12,.0f}{taken:9.0f}{sum(max(1, len(s.parts)) for s in summaries):9}"
            )
    return 0


def joined(dialogues: list[Dialogue]) -> Dialogue:
    """Return one dialogue of several; its reference is their first references."""
    text = "\n".join(dialogue.text for dialogue in dialogues)
    return Dialogue(dialogues[0].id, text, references=("\n".join(one.references[0] for one in dialogues),))


if __name__ == "__main__":
    raise SystemExit(main())
