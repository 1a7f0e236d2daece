"""Measure an evaluation during a training, compared with the plain way: the losses first, then a generation.

    python scripts/bench_evaluation.py                    # 16 dialogues, with the latest run's adapter
    python scripts/bench_evaluation.py --run hour --rows 32

The plain way computes the loss of each reference together with its prompt, lets transformers' `generate` run
until the last text of a batch has ended, and dequantizes 4-bit weights at every product. Both ways run in one
process, on the same weights, one after the other. Exit 1 if losses differ by more than rounding, or if scores
differ. In 16 bits another order of sums gives other texts, so only the losses count there.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from llm_summ.check.job import check_recipe
from llm_summ.core.errors import LlmSummError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.generate.engines.sampling import LogProbs
from llm_summ.models.dequantized import dequantized_bytes, keep_dequantized
from llm_summ.models.device import cpu_name
from llm_summ.post.steps import post_process
from llm_summ.recipe import load_recipe
from llm_summ.runs.run import RUNS, Run, open_run
from llm_summ.score.metric import COMPETITION
from llm_summ.train.checkpoint import checkpoints
from llm_summ.train.evaluation import DevSet, make_dev_set
from llm_summ.train.model_and_trainer import load_trained, make_trainer


def main() -> int:
    """Compare the two ways, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="whose last checkpoint is evaluated; by default the latest run")
    parser.add_argument("--rows", type=int, default=16)
    arguments = parser.parse_args()
    quiet_libraries()
    try:
        run = open_run(RUNS, arguments.run)
        return compare(run, arguments.rows)
    except LlmSummError as error:
        print(f"bench_evaluation.py: {error}", file=sys.stderr)
        return error.exit_code


def compare(run: Run, rows: int) -> int:
    """Evaluate a run's last checkpoint both ways; return the exit status."""
    checked = check_recipe(load_recipe(run.recipe_path, [f"evaluation.rows={rows}"])).setup
    setup = dataclasses.replace(checked, dequantized=0)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make_trainer(setup, load_trained(setup), [], Path(scratch))
        trainer.restore_checkpoint(checkpoints(run.checkpoints)[-1])
        dev_set = make_dev_set(setup.plan)
        assert dev_set is not None
        plain = timed(lambda: plainly(trainer, dev_set))
        keep_dequantized(trainer.model, dequantized_bytes(trainer.model))
        path = Path(scratch) / "evaluation.jsonl"
        ours = timed(lambda: as_in_a_training(trainer, dev_set, path))
    print(f"{cpu_name()}, {torch.get_num_threads()} threads; {run.path.name}, {len(dev_set.dialogues)} dialogues")
    for name, (seconds, loss, score) in (("plain", plain), ("here", ours)):
        print(f"{name:<6} {seconds:7.1f} s   dev loss {loss:.6f}   dev score {score:.4f}")
    print(f"ratio  {plain[0] / ours[0]:.2f}")
    if setup.plan.dtype != "float32":  # another rounding, and with it other texts
        return 0 if abs(plain[1] - ours[1]) < 2e-3 * plain[1] else 1
    same = abs(plain[1] - ours[1]) < 1e-4 * plain[1] and abs(plain[2] - ours[2]) < 1e-9
    return 0 if same else 1


def timed(work: Any) -> tuple[float, float, float]:
    """Return seconds, dev loss and dev score."""
    began = time.perf_counter()
    loss, score = work()
    return time.perf_counter() - began, loss, score


def as_in_a_training(trainer: Any, dev_set: DevSet, path: Path) -> tuple[float, float]:
    """Evaluate as a training does."""
    found = dev_set.evaluate(trainer, path, lambda: False)
    assert found is not None
    return found[0]["dev_loss"], found[0]["dev_score"]


def plainly(trainer: Any, dev_set: DevSet) -> tuple[float, float]:
    """Evaluate without anything that saves time."""
    from transformers import GenerationConfig, LogitsProcessorList

    from llm_summ.generate.prompt_states import padded_prompts

    recipe, renderer = dev_set.recipe, dev_set.renderer
    loss = trainer.mean_loss([row for rows in dev_set.completions for row in rows])
    model = trainer.model.eval()
    order = sorted(range(len(dev_set.prompts)), key=lambda index: -len(dev_set.prompts[index].prompt_ids))
    config = GenerationConfig(
        max_new_tokens=recipe.generate.max_new_tokens,
        do_sample=False,
        eos_token_id=renderer.stop_id,
        pad_token_id=renderer.pad_id,
    )
    texts, cut_off = [""] * len(order), [False] * len(order)
    for start in range(0, len(order), recipe.evaluation.batch_size):
        batch = order[start : start + recipe.evaluation.batch_size]
        ids, mask = padded_prompts([dev_set.prompts[index].prompt_ids for index in batch], renderer.pad_id)
        with torch.inference_mode(), trainer.accelerator.autocast():
            made = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([LogProbs()]),
                return_dict_in_generate=False,
            )
        for index, row in zip(batch, made[:, ids.shape[1] :].tolist(), strict=True):
            cut_off[index] = renderer.stop_id not in row
            texts[index] = renderer.decode(row if cut_off[index] else row[: row.index(renderer.stop_id) + 1])
    spoken = [dialogue.text for dialogue in dev_set.dialogues]
    finished = post_process(texts, cut_off, recipe.post, spoken).texts
    return loss, COMPETITION.score(finished, [dialogue.references for dialogue in dev_set.dialogues]).final


if __name__ == "__main__":
    sys.exit(main())
