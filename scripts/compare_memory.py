"""Compare the estimated with the measured peak memory of trainings on this machine.

    python scripts/compare_memory.py                       # the built-in list, a quarter of an hour on 2 CPU cores
    python scripts/compare_memory.py nf4 int8              # some of it
    python scripts/compare_memory.py --recipe qlora.yaml --set lora.r=8 --set train.micro_batch_size=2

Trains the longest rows of the recipe's data for a few steps, so that the worst micro batch is met, each time in
a process of its own, and prints both peaks and their ratio: on a CPU VmHWM of the process; on a GPU what torch
held at the most, and all other memory in use there at the end (the context; nothing else may run on it). Exits
with 1 if one is off by more than 15 %. Run it from a checkout: the small models are those of the tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llm_summ.check.memory import Memory, device_memory, fit_micro_batch
from llm_summ.check.meta_model import build_meta_model
from llm_summ.core.errors import LlmSummError
from llm_summ.core.files import write_text
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.data import read_dialogues
from llm_summ.models.base import pick_dtype
from llm_summ.models.device import find_device
from llm_summ.plan.training_plan import make_plan
from llm_summ.recipe import find_recipe, load_recipe

_TESTS = Path(__file__).parents[1] / "tests"
_TOLERANCE = 0.15

_FULL = ["model.quantization=none", "train.weights=full"]

# Names of trainings, with what they change in recipes/qlora.yaml; {tiny} and {llama} are random models.
BUILT_IN = {
    "nf4": [],
    "micro batch 2": ["train.micro_batch_size=2"],
    "micro batch 4": ["train.micro_batch_size=4"],
    "not quantized": ["model.quantization=none"],
    "int8": ["model.quantization=int8"],
    "checkpointing": ["train.gradient_checkpointing=on"],
    "checkpointing, micro batch 4": ["train.gradient_checkpointing=on", "train.micro_batch_size=4"],
    "r 64": ["lora.r=64"],
    "q and v only": ["lora.targets=[q_proj, v_proj]"],
    "dropout": ["lora.dropout=0.05"],
    "bfloat16": ["model.compute_dtype=bfloat16"],
    "float32": ["model.compute_dtype=float32"],
    "float32, micro batch 4": ["model.compute_dtype=float32", "train.micro_batch_size=4"],
    "packing, micro batch 4": ["train.packing=true", "train.micro_batch_size=4"],
    "label smoothing": ["train.label_smoothing=0.1"],
    "short prompts": ["prompt.max_prompt_tokens=200"],
    "tiny Llama, micro batch 8": [
        "model.base={tiny}",
        "train.micro_batch_size=8",
        "train.batch_size=8",
    ],
    "Llama 190M": ["model.base={llama}"],
    "Llama 190M, micro batch 4": ["model.base={llama}", "train.micro_batch_size=4"],
    "Llama 190M, float32, micro batch 4": [
        "model.base={llama}",
        "model.compute_dtype=float32",
        "train.micro_batch_size=4",
    ],
    "Llama 190M, all weights": ["model.base={llama}", *_FULL],
    "Llama 190M, all weights, Adafactor": ["model.base={llama}", *_FULL, "train.optimizer=adafactor"],
    "Llama 190M, all weights, 8-bit AdamW": ["model.base={llama}", *_FULL, "train.optimizer=adamw_8bit"],
}

# VmHWM starts again with a program; a child's ru_maxrss starts with its parent's.
_CHILD = """
import re
from pathlib import Path
from llm_summ.__main__ import main
try:
    main()
finally:
    import torch
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        peak = torch.cuda.max_memory_reserved() + total - free - torch.cuda.memory_reserved()
    Path({out!r}).write_text(str(peak))
"""


def main() -> int:
    """Compare; 1 if an estimate is off by more than 15 % or a training fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of the built-in list: {', '.join(BUILT_IN)}")
    parser.add_argument("--recipe", default="recipes/qlora.yaml", help="by default recipes/qlora.yaml")
    parser.add_argument(
        "--set", dest="overrides", action="append", metavar="KEY=VALUE", help="instead of the list"
    )
    parser.add_argument("--rows", type=int, default=8, help="how many of the longest rows are trained")
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BUILT_IN]
    if unknown:
        parser.error(f"no such configuration: {unknown[0]}; expected one of {', '.join(BUILT_IN)}")
    chosen = {name: BUILT_IN[name] for name in arguments.names or BUILT_IN}
    if arguments.overrides:
        chosen = {" ".join(arguments.overrides): arguments.overrides}
    quiet_libraries()
    good = True
    print("| training | estimated, GiB | measured, GiB | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            for name, overrides in chosen.items():
                models = {kind: str(folder / kind) for kind in ("tiny", "llama")}
                _make_models(folder, [kind for kind in models if any(f"{{{kind}}}" in line for line in overrides)])
                settings = [line.format(**models) if "{" in line else line for line in overrides]
                settings += ["data.dev=null", "data.test=null", f"train.max_steps={arguments.steps}"]
                settings += [f"data.train={_longest(arguments.recipe, settings, folder, arguments.rows)}"]
                estimate, seconds = _estimate(arguments.recipe, settings)
                measured = _measure(arguments.recipe, settings, folder)
                ratio = estimate.total / measured
                good = good and abs(ratio - 1) <= _TOLERANCE
                gib = f"{estimate.total / 2**30:.2f} | {measured / 2**30:.2f}"
                print(f"| {name} | {gib} | {ratio:.2f} |", flush=True)
                print(
                    f"{name}: estimated in {seconds:.1f} s: {estimate.parts_line()}", file=sys.stderr, flush=True
                )
        except LlmSummError as error:
            print(f"compare_memory.py: {error}", file=sys.stderr)
            return error.exit_code
        except subprocess.CalledProcessError as error:
            print(f"compare_memory.py: the training failed:\n{error.stderr}", file=sys.stderr)
            return 1
    return 0 if good else 1


def _longest(recipe: str, settings: list[str], folder: Path, rows: int) -> Path:
    """Return a file with the longest dialogues of the recipe's training data."""
    path = folder / "longest.jsonl"
    if not path.is_file():
        dialogues = read_dialogues(load_recipe(find_recipe(recipe), settings).data.train_sources, references=True)
        longest = sorted(dialogues, key=lambda d: len(d.text) + len(d.references[0]), reverse=True)[:rows]
        lines = [{"fname": d.id, "dialogue": d.text, "summary": d.references[0]} for d in longest]
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def _estimate(recipe: str, settings: list[str]) -> tuple[Memory, float]:
    """Return the estimate, and its duration without the preparation."""
    import peft  # noqa: F401  imported here, so that imports are not timed
    import transformers  # noqa: F401

    plan = make_plan(load_recipe(find_recipe(recipe), settings))
    device = find_device()
    fields = plan.recipe.model
    dtype = pick_dtype(fields, plan.location, device, fields.compute_dtype, training=True)
    started = time.perf_counter()
    meta_model = build_meta_model(plan.recipe, plan.location, dtype)
    _, memory = fit_micro_batch(plan.recipe, meta_model, plan.rows, device, dtype, device_memory(device))
    return memory, time.perf_counter() - started


def _measure(recipe: str, settings: list[str], folder: Path) -> int:
    """Train in a process of its own, and give its peak."""
    out = folder / "peak"
    command = [sys.executable, "-W", "ignore", "-c", _CHILD.format(out=str(out)), "sft"]
    command += [str(find_recipe(recipe).resolve())]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # makes its run there
    return int(out.read_text(encoding="utf-8"))


def _make_models(folder: Path, kinds: list[str]) -> None:
    """Random models with the tests' tokenizer: the tiny one, and a larger one with a vocabulary of 32,000."""
    sys.path.insert(0, str(_TESTS))
    from tiny import make_tiny_model

    for kind in kinds:
        if (folder / kind).is_dir():
            continue
        make_tiny_model(folder / kind)
        if kind == "llama":
            import torch
            from transformers import LlamaConfig, LlamaForCausalLM

            config = LlamaConfig(
                vocab_size=32000,
                hidden_size=1024,
                intermediate_size=2816,
                num_hidden_layers=12,
                num_attention_heads=16,
                num_key_value_heads=4,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
            )
            LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / kind)


if __name__ == "__main__":
    sys.exit(main())
