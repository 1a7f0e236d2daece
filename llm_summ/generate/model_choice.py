"""The model that a command uses: a run's, a merged folder's, a base model's, or the embedded one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.progress import say
from llm_summ.generate.summarizer import Summarizer
from llm_summ.runs.run import RUNS, Run, open_run

__all__ = ["ModelChoice", "choose_model"]

_EMBEDDED = "embedded:gemma-3-270m"
_NO_RUN = (
    "No run here: the embedded model (Gemma 3 270M) summarises after a few examples, without a training. Expect "
    "mostly wrong summaries (20 points on sample:dev, where one sentence for all dialogues has 28). Train with "
    "`llm-summ sft recipes/qlora.yaml`, or name a chat model with --model"
)
_EMBEDDED_TOKENS = 100  # of a summary: without a training this model does not stop


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that is not loaded yet.

    Attributes:
        run: the run or merged folder; None for a model that was not trained here.
        base: the name of a model that was not trained here; empty for a run.
    """

    run: Run | None
    base: str = ""

    @property
    def name(self) -> str:
        """The name under which people know the model: the run's, the folder's or the hub id."""
        if self.run is not None:
            return self.run.name or str(self.run.path)
        base = self.base.removeprefix("embedded:")
        return Path(base).resolve().name if Path(base).is_dir() else base

    @property
    def prompt(self) -> str:
        """The prompt that it is used with by default: a name or a file."""
        if self.run is not None:
            return str(self.run.prompt_path)
        # The embedded model follows examples, but no instructions.
        return "few-shot" if self.base.startswith("embedded:") else "chat"

    def open(
        self,
        *,
        prompt: str | None = None,
        engine: str | None = None,
        overrides: Sequence[str] = (),
        expected: int = 1,
        live: bool = False,
    ) -> Summarizer:
        """Load the model; arguments and errors are those of `Summarizer.open` and `Summarizer.open_base`."""
        if self.run is not None:
            return Summarizer.open(
                self.run, engine=engine, overrides=overrides, prompt=prompt, expected=expected, live=live
            )
        if self.base.startswith("embedded:"):
            overrides = (f"generate.max_new_tokens={_EMBEDDED_TOKENS}", *overrides)
        return Summarizer.open_base(
            self.base,
            prompt=prompt or self.prompt,
            engine=engine,
            overrides=overrides,
            expected=expected,
            live=live,
        )


def choose_model(run_name: str | None = None, model: str | None = None) -> ModelChoice:
    """Return the model that options name; without any, the latest run's, or the embedded one if there is no run.

    Args:
        run_name: the value of ``--run``.
        model: the value of ``--model``: a merged folder, a folder of a transformers model, or a hub id.

    Raises:
        RunError: the run does not exist, or is not finished.
    """
    if model is not None:
        is_merged = (Path(model) / "recipe.yaml").is_file()
        return ModelChoice(Run(Path(model))) if is_merged else ModelChoice(None, model)
    if run_name is None and not any(RUNS.glob("*/recipe.yaml")):
        say(_NO_RUN)
        return ModelChoice(None, _EMBEDDED)
    run = open_run(RUNS, run_name)
    if run_name is None:
        say(f"Run: {run.path} (the latest)")
    return ModelChoice(run)
