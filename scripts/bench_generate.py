"""Measure the engines, compared with a plain loop over transformers' pipeline: same weights, greedy decoding.

    python scripts/bench_generate.py --data test.csv                      # the latest run, its adapter merged
    python scripts/bench_generate.py --run hour --data test.csv --rows 100 --sides plain hf vllm

Each side is a process of its own, one after the other; the plain loop is `plain_generate.py`. The time is that of
the generation, without loading the model. Prompts are those of the run, of which the plain loop gets the text.
Exit 1 if a side does not give the texts of `hf`: on a GPU, and in 16 bits, rounding may decide otherwise
(--tolerance, a share of the texts).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llm_summ.core.errors import LlmSummError
from llm_summ.core.files import write_text
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.data import read_dialogues
from llm_summ.generate.engine import greedy_requests
from llm_summ.models.adapter import merged_folder
from llm_summ.models.base import base_location, load_tokenizer, pick_dtype
from llm_summ.models.device import find_device
from llm_summ.prompt.saved_prompt import trained_renderer
from llm_summ.runs.run import RUNS, open_run

SIDES = ("plain", "hf", "vllm")
PLAIN = Path(__file__).with_name("plain_generate.py")


def main() -> int:
    """Run the measurement; 1 if a side fails or its texts differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="by default the latest")
    parser.add_argument("--data", default="sample:test")
    parser.add_argument("--rows", type=int, default=100, help="how many of its dialogues, the first ones")
    parser.add_argument("--dtype", default="auto", choices=["auto", "bfloat16", "float16", "float32"])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--tolerance", type=float, default=0.0, help="share of texts that may differ")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quiet_libraries()
    if arguments.side is not None:
        generate(arguments.side, json.loads(arguments.settings.read_text(encoding="utf-8")))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        try:
            settings = prepare(arguments, Path(scratch))
            found = {side: measure(side, settings, Path(scratch)) for side in dict.fromkeys(arguments.sides)}
        except LlmSummError as error:
            print(f"bench_generate.py: {error}", file=sys.stderr)
            return error.exit_code
        except subprocess.CalledProcessError as error:
            print(f"bench_generate.py: it failed:\n{error.stderr}", file=sys.stderr)
            return 1
    lines, differing = table(found)
    print("\n".join(lines))
    return int(differing > arguments.tolerance)


def prepare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the input of all sides."""
    run = open_run(RUNS, arguments.run)
    recipe = run.recipe()
    location, device = base_location(recipe.model), find_device()
    tokenizer = load_tokenizer(recipe.model, str(run.adapter))
    renderer = trained_renderer(run, recipe.prompt, tokenizer)
    dialogues = read_dialogues(arguments.data)[: arguments.rows]
    renderer.prepare(dialogues)
    ids = [list(renderer.prompt(dialogue).prompt_ids) for dialogue in dialogues]
    # As text the beginning token is added by the tokenizer.
    bos = tokenizer.bos_token or ""
    prompts = [tokenizer.decode(one, clean_up_tokenization_spaces=False).removeprefix(bos) for one in ids]
    again = sum(tokenizer.encode(text) != one for text, one in zip(prompts, ids, strict=True))
    if again:
        say(f"{again} prompts have other ids as text: there the plain loop may differ")
    dtype = pick_dtype(recipe.model, location, device, arguments.dtype)
    return {
        "model": str(merged_folder(run, recipe.model, location, device, dtype, renderer.stop_id)),
        "dtype": dtype,
        "device": device.name,
        "ids": ids,
        "prompts": prompts,
        "stop_id": renderer.stop_id,
        "pad_id": renderer.pad_id,
        "max_new_tokens": recipe.generate.max_new_tokens,
        "batch_size": recipe.generate.batch_size,
        "gpu_memory": recipe.generate.gpu_memory,
        "out": str(folder / "out.json"),
    }


def measure(side: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one side; gives its seconds and texts."""
    path = folder / "settings.json"
    write_text(path, json.dumps(settings))
    command = [sys.executable, "-W", "ignore"]
    command += [str(PLAIN), str(path)] if side == "plain" else [__file__, "--side", side, "--settings", str(path)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(Path(settings["out"]).read_text(encoding="utf-8"))
    say(f"{side}: {len(found['texts']) / found['seconds']:.2f} outputs/s")
    return found


def generate(side: str, settings: dict[str, Any]) -> None:
    """One of our engines, in this process."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    longest = max(map(len, settings["ids"])) + settings["max_new_tokens"]
    engine: Any
    if side == "hf":
        import torch

        from llm_summ.generate.engines.hf import HfEngine

        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=settings["dtype"]).to(device)
        engine = HfEngine(model, pad_id=settings["pad_id"], batch_size=settings["batch_size"])
    else:
        from llm_summ.generate.engines.vllm import Limits, VllmEngine, VllmModel

        served = VllmModel(settings["model"], settings["dtype"])
        engine = VllmEngine(served, Limits(longest, settings["gpu_memory"]))
    requests = greedy_requests(settings["ids"], settings["max_new_tokens"])
    started = time.perf_counter()
    outputs = {output.index: output for output in engine.generate(requests, stop_id=settings["stop_id"])}
    seconds = time.perf_counter() - started
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    texts = [
        tokenizer.decode(outputs[index].token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for index in range(len(requests))
    ]
    write_text(Path(settings["out"]), json.dumps({"seconds": seconds, "texts": texts}))


def table(found: dict[str, dict[str, Any]]) -> tuple[list[str], float]:
    """Return the figures as a Markdown table, and the largest share of texts that differ from those of `hf`."""
    first = found.get("plain") or next(iter(found.values()))
    texts = (found.get("hf") or first)["texts"]
    lines = ["| side | outputs/s | times the first | texts as of hf |", "|---|---|---|---|"]
    differing = 0.0
    for side, one in found.items():
        same = sum(mine.strip() == other.strip() for mine, other in zip(one["texts"], texts, strict=True))
        differing = max(differing, 1 - same / len(texts))
        rate, times = len(texts) / one["seconds"], first["seconds"] / one["seconds"]
        lines.append(f"| {side} | {rate:.2f} | {times:.2f} | {same} of {len(texts)} |")
    return lines, differing


if __name__ == "__main__":
    with shown_on_stderr():
        sys.exit(main())
