"""The engine echo: the lead baseline, without a model. A quick baseline and test engine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from llm_summ.generate.engine import GREEDY, Decoding, Key, Output, Request, unfinished
from llm_summ.generate.model_source import EngineLoader, ModelSource, saved_tokenizer
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = ["EchoEngine", "EchoLoader", "lead"]

_CHARACTERS = 85  # of a mean summary


class EchoEngine:
    """Answers with the beginning of the dialogue."""

    name = "echo"

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield the leads in order."""
        for index in unfinished(len(requests), decoding.n, done):
            for sample in range(decoding.n):
                yield Output(index, (), "stop", sample, text=lead(requests[index].dialogue))

    def close(self) -> None:
        """Do nothing: the engine holds no resources."""


class EchoLoader(EngineLoader):
    """Finds no model, since the engine needs none."""

    def source(self, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
        """Return a source without a model; its tokenizer is needed to find prompts that do not fit."""
        return ModelSource(saved_tokenizer(run, recipe), {"adapter": None}, lambda *_: EchoEngine())


def lead(dialogue: str) -> str:
    """Return the first turns of a dialogue on one line, up to about a summary's length, but at least one turn."""
    kept = ""
    for turn in dialogue.splitlines():
        longer = f"{kept} {turn.strip()}".strip()
        if kept and len(longer) > _CHARACTERS:
            break
        kept = longer
    return kept
