"""Compare the texts of the engines hf and vllm for one run, and say how many ended by themselves.

    python scripts/compare_engines.py [--run NAME] [--data sample:test]

Generates with both engines (what is there already is kept) and prints the share of equal texts, the share of
outputs that ended by themselves, and every pair of texts that differ. Greedy decoding in float32 should give
equal texts; in bfloat16 rounding decides many ties.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llm_summ.core.errors import LlmSummError
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.generate.job import prepare
from llm_summ.predictions.prediction import Prediction
from llm_summ.runs.run import open_run


def main() -> int:
    """Run the comparison; 1 if fewer than 90 % of the texts are equal or fewer than 95 % ended by themselves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="a run's name; by default the latest")
    parser.add_argument("--data", default="sample:test", help="a data file; by default sample:test")
    arguments = parser.parse_args()
    outputs: list[dict[str, Prediction]] = []
    try:
        run = open_run(Path("runs"), arguments.run)
        for engine in ("hf", "vllm"):
            (file,) = prepare(run, sources=[arguments.data], engine_name=engine).run()
            outputs.append({prediction.fname: prediction for prediction in file.read()})
    except LlmSummError as error:
        print(f"compare_engines.py: {error}", file=sys.stderr)
        return error.exit_code
    hf, vllm = outputs
    differ = [name for name in hf if hf[name].summary != vllm[name].summary]
    same = 1 - len(differ) / len(hf)
    print(f"equal texts: {len(hf) - len(differ)} of {len(hf)} ({same:.0%})")
    enough = same >= 0.9
    for engine, texts in (("hf", hf), ("vllm", vllm)):
        stopped = sum(prediction.finish_reason == "stop" for prediction in texts.values())
        print(f"ended by themselves, {engine}: {stopped} of {len(texts)} ({stopped / len(texts):.0%})")
        enough = enough and stopped / len(texts) >= 0.95
    for name in differ:
        print(f"\n{name}\n  hf    {hf[name].summary}\n  vllm  {vllm[name].summary}")
    return 0 if enough else 1


if __name__ == "__main__":
    with shown_on_stderr():
        sys.exit(main())
