"""Measure an engine that many callers ask at the same time, compared with one generation of the same prompts.

    python scripts/bench_live.py                                   # the embedded model, 32 callers
    python scripts/bench_live.py --base DIR --clients 64 --rows 128 --engine vllm

Both sides get the same prompts with the same limits, of different lengths, and run `--rounds` times in turns. The
times are without loading the model. Exit 1 if a text differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from llm_summ.core.errors import LlmSummError
from llm_summ.data import read_dialogues
from llm_summ.generate.engine import Engine, Output, Request
from llm_summ.generate.live_process import EngineProcess
from llm_summ.generate.summarizer import Summarizer

SHORTEST, LONGEST = 6, 40  # tokens of a text


def main() -> int:
    """Run the measurement; 1 if a text differs or a side fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="embedded:gemma-3-270m")
    parser.add_argument("--engine", default="hf")
    parser.add_argument("--data", default="sample:train")
    parser.add_argument("--rows", type=int, default=64, help="how many of its dialogues, the first ones")
    parser.add_argument("--clients", type=int, default=32, help="requests at the same time")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    overrides = [f"generate.max_new_tokens={LONGEST}", "generate.dtype=float32", *arguments.overrides]
    dialogues = read_dialogues(arguments.data)[: arguments.rows]
    both = {"engine": arguments.engine, "overrides": overrides, "expected": len(dialogues)}
    try:
        with (
            Summarizer.open_base(arguments.base, **both) as usual,
            Summarizer.open_base(arguments.base, live=True, **both) as live,
        ):
            process = live.engine
            assert isinstance(process, EngineProcess)
            process.wait()
            requests = [
                Request(row.prompt_ids, SHORTEST + 7 * number % (LONGEST - SHORTEST), messages=())
                for number, row in enumerate(usual.render(dialogues))
            ]
            stop_id = usual.renderer.stop_id
            return measure(usual.engine, process, requests, stop_id, arguments)
    except LlmSummError as error:
        print(error, file=sys.stderr)
        return 1


def measure(
    usual: Engine, process: EngineProcess, requests: Sequence[Request], stop_id: int, arguments: argparse.Namespace
) -> int:
    """Run both sides in turns, and print their times."""
    first: list[float] = []

    def ask(request: Request) -> Output:
        began, seen = time.perf_counter(), []
        view = process.engine(lambda *_: seen.append(time.perf_counter() - began))
        [output] = view.generate([request], stop_id=stop_id)
        first.append(seen[0] if seen else time.perf_counter() - began)
        return output

    warm_up = [dataclasses.replace(request, max_new_tokens=2) for request in requests[:2]]
    list(usual.generate(warm_up, stop_id=stop_id))
    list(process.generate(warm_up, stop_id=stop_id))
    seconds: dict[str, list[float]] = {"usual": [], "live": []}
    texts: dict[str, list[tuple[int, ...]]] = {}
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        outputs = sorted(usual.generate(requests, stop_id=stop_id), key=lambda output: output.index)
        seconds["usual"].append(time.perf_counter() - began)
        texts["usual"] = [output.token_ids for output in outputs]
        began = time.perf_counter()
        with ThreadPoolExecutor(arguments.clients) as pool:
            texts["live"] = [output.token_ids for output in pool.map(ask, requests)]
        seconds["live"].append(time.perf_counter() - began)
    tokens = sum(map(len, texts["usual"]))
    for side, times in seconds.items():
        rates = ", ".join(f"{tokens / each:.1f}" for each in times)
        print(f"{side}: {rates} tokens/s ({tokens} tokens of {len(requests)} texts)")
    share = statistics.median(usual / live for usual, live in zip(*seconds.values(), strict=True))
    print(f"live / usual: {share:.0%}; the first token after {statistics.median(first):.1f} s (median)")
    differing = sum(one != other for one, other in zip(*texts.values(), strict=True))
    print(f"{differing} of {len(requests)} texts differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
