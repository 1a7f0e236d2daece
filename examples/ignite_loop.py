"""Fine-tune with a training loop of PyTorch-Ignite, around the data, model, loss and score of llm-summ.

    pip install -e '.[examples]'
    python examples/ignite_loop.py recipes/qlora.yaml --steps 32 --set data.train=train.csv

To try a loop of your own, copy this file and change `step`.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping, ModelCheckpoint, ProgressBar
from ignite.metrics import RunningAverage

import llm_summ


def train(parts: llm_summ.TrainingParts, folder: Path) -> list[float]:
    """Train, leave the best weights in the model, and return the loss of every step.

    Args:
        parts: of the recipe.
        folder: for checkpoints and logs.
    """
    optimizer = parts.optimizer()
    schedule = parts.schedule(optimizer)
    loader = parts.loader()
    losses = []

    def step(engine, examples):
        """Take one optimizer step; `examples` are its rows."""
        loss = parts.backward(examples)  # in micro batches; for another loss see `parts.collate`
        parts.clip_gradients()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss

    trainer = Engine(step)
    evaluator = Engine(lambda engine, dialogues: evaluate(parts, dialogues))

    @trainer.on(Events.EPOCH_STARTED)
    def shuffle():
        loader.set_epoch(trainer.state.epoch - 1)

    @trainer.on(Events.ITERATION_COMPLETED)
    def keep_loss():
        losses.append(trainer.state.output)

    @trainer.on(Events.ITERATION_COMPLETED)
    def run_evaluation():
        step, every = trainer.state.iteration, parts.evaluation_interval
        if every and (step % every == 0 or step == parts.steps):
            evaluator.run([parts.dev])

    @evaluator.on(Events.COMPLETED)
    def show_score():
        evaluator.state.metrics = evaluator.state.output
        shown = ", ".join(f"{name} {value:.3f}" for name, value in evaluator.state.metrics.items())
        print(f"step {trainer.state.iteration}: {shown}")

    @trainer.on(Events.EPOCH_COMPLETED)
    def show_epoch():
        print(f"epoch {trainer.state.epoch}: loss {trainer.state.metrics['loss']:.3f}")

    RunningAverage(output_transform=lambda loss: loss).attach(trainer, "loss")
    ProgressBar().attach(trainer, ["loss"])

    def score(engine):
        return engine.state.metrics["dev_score"]

    best = ModelCheckpoint(
        folder / "checkpoints",
        "best",
        n_saved=1,
        score_function=score,
        score_name="dev_score",
        require_empty=False,
    )
    evaluator.add_event_handler(Events.COMPLETED, best, {"weights": parts})
    fields = parts.recipe.evaluation
    if fields.patience:
        stop = EarlyStopping(fields.patience, score, trainer, min_delta=fields.min_gain)
        evaluator.add_event_handler(Events.COMPLETED, stop)
    if find_spec("tensorboard"):
        log_to_tensorboard(trainer, evaluator, optimizer, folder)

    @trainer.on(Events.COMPLETED)
    def load_best():
        if best.last_checkpoint:
            best.load_objects({"weights": parts}, best.last_checkpoint)

    trainer.run(loader, max_iters=parts.steps)
    return losses


def evaluate(parts: llm_summ.TrainingParts, dialogues: list[llm_summ.Dialogue]) -> dict[str, float]:
    """Return the competition's score of generated summaries, and the dev loss."""
    with parts.summarizer() as summarizer:
        texts = [summary.text for summary in summarizer.summarize(dialogues)]
    score = llm_summ.score_corpus(texts, [dialogue.references for dialogue in dialogues])
    return {"dev_score": score.final, "dev_loss": parts.mean_loss(parts.dev_rows)}


def log_to_tensorboard(trainer, evaluator, optimizer, folder):
    """Write loss, learning rate and scores for `tensorboard --logdir FOLDER`."""
    from ignite.handlers import TensorboardLogger, global_step_from_engine

    logger = TensorboardLogger(log_dir=folder / "tensorboard")
    every = Events.ITERATION_COMPLETED
    logger.attach_output_handler(trainer, every, "train", output_transform=lambda loss: {"loss": loss})
    logger.attach_opt_params_handler(trainer, every, optimizer, param_name="lr")
    steps = global_step_from_engine(trainer, Events.ITERATION_COMPLETED)
    logger.attach_output_handler(
        evaluator, Events.COMPLETED, "dev", metric_names="all", global_step_transform=steps
    )
    trainer.add_event_handler(Events.COMPLETED, lambda: logger.close())


def main() -> None:
    """Train by a recipe, and print the score of the best weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="a recipe, such as recipes/qlora.yaml")
    parser.add_argument("--steps", type=int, help="optimizer steps, instead of the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value in the recipe"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("ignite"), help="the folder for checkpoints and the result"
    )
    given = parser.parse_args()
    steps = [f"train.max_steps={given.steps}"] if given.steps else []
    recipe = llm_summ.load_recipe(llm_summ.find_recipe(given.recipe), [*given.set, *steps])
    parts = llm_summ.training_parts(recipe)
    train(parts, given.out)
    parts.save(given.out / "adapter")
    if parts.dev:
        print(f"final: {evaluate(parts, parts.dev)} -> {given.out}")


if __name__ == "__main__":
    main()
