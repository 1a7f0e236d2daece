"""Callbacks to copy: put this file next to your recipe, name the classes that you want, and change them.

    train:
      callbacks: [hooks.py:LogLearningRate, hooks.py:LogGradients, hooks.py:ShowRouge, hooks.py:SaveBestLoss]

A method takes what it needs by name, and the rest as **more. `run` is the run's folder. With several processes
each has callbacks of its own: the one with `rank` 0 writes. Every event: docs/training.md.
"""

import json
import logging
import re
from collections import defaultdict

from transformers import TrainerCallback


class LogLearningRate(TrainerCallback):
    """Write the learning rate of every step into learning_rate.jsonl."""

    def on_pre_optimizer_step(self, args, state, control, *, optimizer, run, rank, **more):
        if rank == 0:
            _append(run / "learning_rate.jsonl", state.global_step + 1, rate=optimizer.param_groups[0]["lr"])


class LogGradients(TrainerCallback):
    """Write the gradient norm of every layer, at every step, into gradients.jsonl."""

    def on_pre_optimizer_step(self, args, state, control, *, model, run, rank, **more):
        squares = defaultdict(float)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                layer = re.match(r".*?\.\d+(?=\.)|.*", name)[0]  # up to the first number, such as model.layers.7
                squares[layer] += float(parameter.grad.float().norm()) ** 2
        if rank == 0:
            norms = {layer: square**0.5 for layer, square in squares.items()}
            _append(run / "gradients.jsonl", state.global_step + 1, **norms)


class ShowRouge(TrainerCallback):
    """Print ROUGE after each evaluation."""

    def on_evaluate(self, args, state, control, *, metrics, **more):
        scores = ", ".join(f"{name} {metrics[f'dev_rouge{name}']:.2f}" for name in ("1", "2", "L"))
        # Messages of this logger are printed above the progress bar.
        logging.getLogger("llm_summ").info("step %d: ROUGE %s", state.global_step, scores)


class SaveBestLoss(TrainerCallback):
    """Keep the weights with the lowest dev loss in best_loss/, whichever checkpoint `evaluation.pick` keeps."""

    def on_evaluate(self, args, state, control, *, metrics, model, run, rank, **more):
        record = run / "best_loss.json"  # a file, so that a resumed training knows it
        best = json.loads(record.read_text())["dev_loss"] if record.is_file() else float("inf")
        if rank == 0 and metrics["dev_loss"] < best:
            model.save_pretrained(run / "best_loss")
            record.write_text(json.dumps({"step": state.global_step, "dev_loss": metrics["dev_loss"]}))


def _append(path, step, **values):
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")
