"""Measure `llm-summ sft`, compared with a plain TRL script (`plain_trl.py`): speed, peak memory and loss curve.

    python scripts/bench_sft.py                                  # 200 rows of the sample
    python scripts/bench_sft.py --data train.csv --rows 96 --rounds 2
    python scripts/bench_sft.py --set train.packing=true --set train.micro_batch_size=2

Sides, one after the other, each a process of its own; every second round in reverse:

ours      `llm-summ sft` with the recipe
plain     strings as prompt and completion, and TRL's defaults
settings  the same script with our settings, as far as TRL has them: micro batch, dtype, checkpointing, optimizer
          (not packing: TRL's changes which rows make a step)

Model, rows, their order, quantization, LoRA, optimizer steps, batch size, learning rate and schedule are the same:
the plain script gets the rows in the order of our trainer, and does not shuffle them. Speed is in tokens of
prompts and completions, as our renderer counts them, without padding, over the time of the training without
loading and saving. Memory is the peak of the process (VmHWM), loading included, or on a GPU of what torch held
there. Exit 1 if the curves differ.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.check.job import check_recipe
from llm_summ.core.errors import InputError, LlmSummError, RecipeError
from llm_summ.core.files import write_text
from llm_summ.core.formatting import counted
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.data import read_dialogues
from llm_summ.plan.step_batches import draw_steps
from llm_summ.plan.training_plan import TrainingPlan, make_plan
from llm_summ.prompt.render import TokenizedExample
from llm_summ.recipe import dump_recipe, find_recipe, load_recipe

SIDES = ("ours", "plain", "settings")
PLAIN = Path(__file__).with_name("plain_trl.py")

# TRL cuts longer rows by default, and their completions with them.
_MAX_LENGTH = 1024
_WINDOW = 5  # steps of the moving mean

# Runs either side. VmHWM starts again with a program; a child's ru_maxrss starts with its parent's.
_CHILD = """
import json, re, runpy, sys
from pathlib import Path
out, program, *sys.argv[1:] = sys.argv[1:]
(runpy.run_module if program == "llm_summ" else runpy.run_path)(program, run_name="__main__")
import torch
kilobytes = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
gpu = torch.cuda.is_available()
peak = torch.cuda.max_memory_reserved() if gpu else kilobytes * 1024
Path(out).write_text(json.dumps({"peak": peak}))
"""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training came to.

    Attributes:
        losses: of each optimizer step: the mean over the batch's target tokens.
        seconds: from the first to the last optimizer step.
        peak: bytes.
    """

    losses: tuple[float, ...]
    seconds: float
    peak: int


def main() -> int:
    """Run the measurement; 1 if a training fails or the curves differ."""
    arguments = _arguments()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            bench = Bench(Path(scratch), arguments)
            found: dict[str, list[Training]] = {side: [] for side in arguments.sides}
            for number in range(arguments.rounds):
                for side in arguments.sides if number % 2 == 0 else arguments.sides[::-1]:
                    found[side].append(bench.train(side))
                    last = found[side][-1]
                    say(f"round {number + 1}, {side}: {bench.tokens / last.seconds:.0f} tokens/s")
        except LlmSummError as error:
            print(f"bench_sft.py: {error}", file=sys.stderr)
            return error.exit_code
        except subprocess.CalledProcessError as error:
            print(f"bench_sft.py: the training failed:\n{error.stderr}", file=sys.stderr)
            return 1
    if arguments.json:
        trainings = {
            side: [{"losses": each.losses, "seconds": each.seconds, "peak": each.peak} for each in rounds]
            for side, rounds in found.items()
        }
        write_text(Path(arguments.json), json.dumps({"tokens": bench.tokens, **trainings}) + "\n")
    print(f"{bench.steps} steps of {bench.recipe.train.batch_size} rows, {bench.tokens:,} tokens\n")
    print("\n".join(table(found, bench.tokens)))
    apart = [difference(found["ours"][0].losses, rounds[0].losses) for rounds in found.values()]
    return int(not all(one <= arguments.tolerance for one in apart))  # nan is not


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="qlora", help="by default recipes/qlora.yaml")
    parser.add_argument("--model", default="embedded:gemma-3-270m", help="model.base")
    parser.add_argument("--data", nargs="+", default=["sample:train", "sample:dev"], help="data with summaries")
    parser.add_argument("--rows", type=int, default=200, help="how many of its rows, the first ones; default 200")
    parser.add_argument("--batch", type=int, default=8, help="rows of an optimizer step; 8 is TRL's default")
    parser.add_argument("--steps", type=int, help="stop after so many optimizer steps")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES, help="ours must be among them")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side trains")
    parser.add_argument("--tolerance", type=float, default=0.05, help="of the curves' moving means")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    found = parser.parse_args()
    found.sides = list(dict.fromkeys(found.sides))
    if "ours" not in found.sides:
        parser.error("--sides: expected ours among them; the others are compared with it")
    if min(found.rows, found.batch, found.rounds, 1 if found.steps is None else found.steps) < 1:
        parser.error("--rows, --batch, --rounds and --steps: expected at least 1")
    if found.rows < found.batch:
        parser.error(f"--rows {found.rows}: expected at least --batch {found.batch}")
    return found


class Bench:
    """The common settings of the sides, and the training of each.

    Args:
        folder: for all files that are written; the caller removes it afterwards.
        arguments: the command's options.

    Raises:
        InputError: a recipe, data or a model that cannot be trained, or that the plain script cannot be given.
    """

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder = folder
        rows = folder / "rows.jsonl"
        fixed = [
            f"model.base={_whole_path(arguments.model)}",
            f"data.train={rows}",
            "data.dev=null",
            "data.test=null",
            "data.shuffle=false",
            "data.limit=null",
            "train.epochs=1",
            "train.log_every=1",
            "train.save_minutes=null",
            "evaluation.every=never",
            f"train.batch_size={arguments.batch}",
            f"train.max_steps={min(arguments.steps or arguments.rows, arguments.rows // arguments.batch)}",
        ]
        own = {line.partition("=")[0] for line in fixed}
        if found := [line for line in arguments.overrides if line.partition("=")[0].strip() in own]:
            raise RecipeError(f"--set {found[0]}: is the bench's own; see --help for its options")
        # Without it a plain script that is given the same rows would be spared most of its padding.
        settings = ["train.group_by_length=false", *arguments.overrides, *fixed]
        texts = [
            {"fname": f"{dialogue.id}/{number}", "dialogue": dialogue.text, "summary": reference}
            for dialogue in read_dialogues(arguments.data, references=True)
            for number, reference in enumerate(dialogue.references)
        ]
        _write_lines(rows, texts)
        plan = make_plan(load_recipe(find_recipe(arguments.recipe), settings))
        # One epoch, and only whole batches: every row is trained once.
        fit = {row.id for row in plan.rows if len(row) <= _MAX_LENGTH}
        kept = [text for text in texts if text["fname"] in fit][: arguments.rows]
        if len(kept) < arguments.rows:
            raise InputError(
                f"{' '.join(arguments.data)}: {len(kept)} rows of at most {_MAX_LENGTH} tokens, expected "
                f"{arguments.rows}; give more --data, or fewer --rows"
            )
        _write_lines(rows, kept)
        self.report = check_recipe(load_recipe(find_recipe(arguments.recipe), settings))
        self.plan = self.report.plan
        self.recipe, self.steps = self.plan.recipe, self.plan.steps
        self._check()
        trained = in_training_order(self.plan)
        self.tokens = sum(len(row) for row in trained)
        _write_lines(folder / "strings.jsonl", [self._strings(row) for row in trained])

    def train(self, side: str) -> Training:
        """Train one side in a process of its own.

        Raises:
            subprocess.CalledProcessError: it failed.
            InputError: its log cannot be read.
        """
        if side == "ours":
            recipe = self.folder / "recipe.yaml"
            write_text(recipe, dump_recipe(self.recipe))
            number = len(list(self.folder.glob("runs/ours-*")))
            peak = self._run("llm_summ", "sft", str(recipe), "--run", f"ours-{number}")
            lines = (self.folder / f"runs/ours-{number}/log.jsonl").read_text(encoding="utf-8").splitlines()
            losses, seconds = read_log(lines, self.steps)
        else:
            settings, state = self.folder / "settings.json", self.folder / "state.json"
            write_text(settings, json.dumps(self._settings(tuned=side == "settings") | {"state": str(state)}))
            peak = self._run(str(PLAIN), str(settings))
            losses, seconds = read_state(json.loads(state.read_text(encoding="utf-8")), self.steps)
        return Training(losses, seconds, peak)

    def _run(self, *command: str) -> int:
        """Run a program; gives its peak in bytes."""
        out = self.folder / "peak.json"
        line = [sys.executable, "-W", "ignore", "-c", _CHILD, str(out), *command]
        subprocess.run(line, cwd=self.folder, check=True, capture_output=True, text=True)
        return int(json.loads(out.read_text(encoding="utf-8"))["peak"])

    def _check(self) -> None:
        """Refuse what the plain script has no settings for, or trains otherwise."""
        if self.report.failures:
            raise InputError("\n".join(self.report.failures))
        model, train, lora = self.recipe.model, self.recipe.train, self.recipe.lora
        refused = {
            "model.quantization int8": model.quantization == "int8",
            "train.weights full": train.weights == "full",
            "train.neftune_alpha": train.neftune_alpha is not None,
            "train.label_smoothing": train.label_smoothing != 0,
            "lora.init eva": lora.init == "eva",
            "lora.learning_rate_ratio": lora.learning_rate_ratio is not None,
        }
        if found := [name for name, is_so in refused.items() if is_so]:
            raise RecipeError(f"{', '.join(found)}: the plain script has no such setting; leave it out")

    def _strings(self, row: TokenizedExample) -> dict[str, str]:
        """Return a row as a user would write it: TRL adds BOS and the end-of-sequence token by itself."""
        decode = self.plan.tokenizer.decode
        bos = self.plan.tokenizer.bos_token or ""
        prompt = decode(row.prompt_ids, clean_up_tokenization_spaces=False).removeprefix(bos)
        return {"prompt": prompt, "completion": decode(row.completion_ids, clean_up_tokenization_spaces=False)}

    def _settings(self, *, tuned: bool) -> dict[str, Any]:
        """Return the plain script's settings.

        Args:
            tuned: whether with the best that mere settings can do, or TRL's defaults.
        """
        train, lora, model = self.recipe.train, self.recipe.lora, self.recipe.model
        training: dict[str, Any] = {
            "output_dir": str(self.folder / "plain"),
            "per_device_train_batch_size": train.batch_size,
            "max_steps": self.steps,
            "learning_rate": train.learning_rate,
            "lr_scheduler_type": train.schedule,
            "warmup_steps": train.warmup_ratio,
            "weight_decay": train.weight_decay,
            "max_grad_norm": train.max_grad_norm,
            "seed": self.recipe.seed,
            # Not what makes it slower or faster: the order of our rows, a loss of every step, and no saving.
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }
        if tuned:
            on_gpu, dtype = self.plan.device.kind == "cuda", self.plan.dtype
            # Its accumulation knows whole micro batches only.
            rows_at_a_time = math.gcd(self.report.setup.micro_batch_size, train.batch_size)
            training |= {
                "per_device_train_batch_size": rows_at_a_time,
                "gradient_accumulation_steps": train.batch_size // rows_at_a_time,
                "gradient_checkpointing": train.checkpoints(on_gpu=on_gpu),
                "optim": train.optimizer_name(on_gpu=on_gpu),
                "bf16": dtype == "bfloat16",
                "fp16": dtype == "float16",
                "model_init_kwargs": {"dtype": dtype},
            }
        return {
            "model": self.plan.location,
            "data": str(self.folder / "strings.jsonl"),
            "quantization": None if model.quantization == "none" else model.quantization,
            "double_quantization": model.double_quantization,
            "compute_dtype": self.plan.dtype if tuned else "bfloat16",
            "lora": {
                "r": lora.r,
                "lora_alpha": lora.alpha,
                "lora_dropout": lora.dropout,
                "target_modules": lora.targets,
                "use_rslora": lora.rslora,
                "init_lora_weights": "gaussian" if lora.init == "gaussian" else True,
            },
            "training": training,
        }


def in_training_order(plan: TrainingPlan) -> list[TokenizedExample]:
    """Return the rows of the training, in the order in which our trainer takes them."""
    recipe = plan.recipe
    steps = draw_steps(
        [len(row) for row in plan.rows],
        recipe.train.batch_size,
        seed=recipe.seed,
        epoch=0,
        grouped=recipe.train.group_by_length,
    )
    return [plan.rows[at] for step in steps[: plan.steps] for at in step]


def read_log(lines: Sequence[str], steps: int) -> tuple[tuple[float, ...], float]:
    """Losses and seconds of ``log.jsonl``: of its training lines, which have a loss.

    Raises:
        InputError: it has not a line for every step.
    """
    entries = [entry for entry in map(json.loads, lines) if "loss" in entry]
    if [entry["step"] for entry in entries] != list(range(1, steps + 1)):
        raise InputError(
            f"log.jsonl: {counted(len(entries), 'line')} with a loss, expected one for each of {steps} steps"
        )
    return tuple(entry["loss"] for entry in entries), entries[-1]["seconds"]


def read_state(state: dict[str, Any], steps: int) -> tuple[tuple[float, ...], float]:
    """Losses and seconds of the Trainer's state.

    Raises:
        InputError: it has not a loss for every step, or did not end.
    """
    history = state["log_history"]
    losses = tuple(entry["loss"] for entry in history if "loss" in entry)
    seconds = [entry["train_runtime"] for entry in history if "train_runtime" in entry]
    if len(losses) != steps:
        raise InputError(f"plain_trl.py: {len(losses)} losses, expected one for each of {steps} steps")
    if not seconds:
        raise InputError("plain_trl.py: did not end, or its state lacks train_runtime")
    return losses, seconds[-1]


def moving_mean(values: Sequence[float], window: int = _WINDOW) -> list[float]:
    """Means of `window` values in a row; one mean of all if there are fewer."""
    window = min(window, len(values))
    return [statistics.fmean(values[at : at + window]) for at in range(len(values) - window + 1)]


def difference(one: Sequence[float], other: Sequence[float], window: int = _WINDOW) -> float:
    """Return the largest distance of the curves' moving means; nan if a loss is not a number."""
    means = zip(moving_mean(one, window), moving_mean(other, window), strict=True)
    far = [abs(first - second) for first, second in means]
    return math.nan if any(map(math.isnan, far)) else max(far)


def table(found: dict[str, list[Training]], tokens: int) -> list[str]:
    """Return the figures as a Markdown table: medians over the rounds; a ratio is ours to that side's.

    Args:
        found: the rounds of each side.
        tokens: of a training.
    """
    ours = found["ours"]
    lines = [
        "| side | tokens/s | ours is faster by | peak, GiB | loss: first, middle, last | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for side, rounds in found.items():
        # Round by round: what else a machine does changes more slowly than that.
        ratios = [other.seconds / own.seconds for own, other in zip(ours, rounds, strict=True)]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 and side != "ours" else ""
        speed = statistics.median(tokens / training.seconds for training in rounds)
        peak = max(training.peak for training in rounds) / 2**30
        losses = rounds[0].losses
        shown = ", ".join(f"{losses[at]:.3f}" for at in (0, len(losses) // 2, -1))
        far = difference(ours[0].losses, losses)
        faster = f"{statistics.median(ratios):.2f}{spread}"
        lines.append(f"| {side} | {speed:.0f} | {faster} | {peak:.2f} | {shown} | {far:.4f} |")
    return lines


def _whole_path(model: str) -> str:
    """Return a base by a name that is valid in any folder; the trainings run in their own."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _write_lines(path: Path, rows: Sequence[dict[str, str]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    with shown_on_stderr():
        sys.exit(main())
