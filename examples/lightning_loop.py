"""Fine-tune with the Trainer of Lightning, around the data, model, loss and score of llm-summ.

    pip install -e '.[examples]'
    python examples/lightning_loop.py recipes/qlora.yaml --steps 32 --set data.train=train.csv

To try a loop of your own, copy this file and change `training_step`.
"""

import argparse
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

import llm_summ


class Summarization(pl.LightningModule):
    """The training of a recipe, as Lightning sees it.

    Args:
        parts: of the recipe.
    """

    def __init__(self, parts: llm_summ.TrainingParts) -> None:
        super().__init__()
        self.parts, self.model, self.losses = parts, parts.model, []
        self.automatic_optimization = False  # a step is a whole batch, in micro batches of any size

    def train_dataloader(self):
        return self.parts.loader()

    def val_dataloader(self):
        # All dialogues at once. With a generator of its own it draws none of the numbers of dropout.
        return torch.utils.data.DataLoader([self.parts.dev], batch_size=None, generator=torch.Generator())

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch  # rows and dialogues; `parts` makes tensors of them, on the device

    def configure_optimizers(self):
        optimizer = self.parts.optimizer()
        return [optimizer], [self.parts.schedule(optimizer)]

    def on_train_epoch_start(self):
        self.trainer.train_dataloader.set_epoch(self.current_epoch)

    def training_step(self, examples, index):
        """Take one optimizer step; `examples` are its rows."""
        optimizer = self.optimizers()
        loss = self.parts.backward(examples)  # in micro batches; for another loss see `parts.collate`
        self.parts.clip_gradients()
        optimizer.step()
        self.lr_schedulers().step()
        optimizer.zero_grad()
        self.losses.append(loss)
        self.log("loss", loss, prog_bar=True, batch_size=len(examples))

    def validation_step(self, dialogues, index):
        metrics = evaluate(self.parts, dialogues)
        self.log_dict(metrics, prog_bar=True, batch_size=len(dialogues))

    def on_save_checkpoint(self, checkpoint):
        checkpoint["state_dict"] = self.parts.state_dict()  # without the frozen base


def train(parts: llm_summ.TrainingParts, folder: Path) -> list[float]:
    """Train, leave the best weights in the model, and return the loss of every step.

    Args:
        parts: of the recipe.
        folder: for checkpoints and logs.
    """
    fields = parts.recipe.evaluation
    best = ModelCheckpoint(
        folder / "checkpoints", "best-{step}-{dev_score:.2f}", monitor="dev_score", mode="max", save_top_k=1
    )
    callbacks = [best] if parts.dev else []
    if parts.dev and fields.patience:
        callbacks.append(
            EarlyStopping("dev_score", mode="max", patience=fields.patience, min_delta=fields.min_gain)
        )
    trainer = pl.Trainer(
        max_steps=parts.steps,
        accelerator="gpu" if parts.device.type == "cuda" else "cpu",
        devices=1,
        callbacks=callbacks,
        enable_checkpointing=bool(callbacks),
        limit_val_batches=None if parts.dev else 0,
        val_check_interval=parts.evaluation_interval or None,
        check_val_every_n_epoch=None,  # the steps are counted over all epochs; a rest at the end is not evaluated
        num_sanity_val_steps=0,
        logger=CSVLogger(folder),
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    module = Summarization(parts)
    trainer.fit(module)
    if parts.dev and best.best_model_path:
        parts.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    return module.losses


def evaluate(parts: llm_summ.TrainingParts, dialogues: list[llm_summ.Dialogue]) -> dict[str, float]:
    """Return the competition's score of generated summaries, and the dev loss."""
    with parts.summarizer() as summarizer:
        texts = [summary.text for summary in summarizer.summarize(dialogues)]
    score = llm_summ.score_corpus(texts, [dialogue.references for dialogue in dialogues])
    return {"dev_score": score.final, "dev_loss": parts.mean_loss(parts.dev_rows)}


def main() -> None:
    """Train by a recipe, and print the score of the best weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="a recipe, such as recipes/qlora.yaml")
    parser.add_argument("--steps", type=int, help="optimizer steps, instead of the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value in the recipe"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("lightning"), help="the folder for checkpoints and the result"
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
