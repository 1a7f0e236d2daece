"""The engine echo: the lead baseline, without any model. A floor, and quick to test with."""

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
        """Nothing is held."""


class EchoLoader(EngineLoader):
    """Loads nothing."""

    def source(self, run: Run, recipe: Recipe, *, untuned: bool) -> ModelSource:
        """Return no model; prompts are tokenized nevertheless, so that what does not fit is found."""
        return ModelSource(saved_tokenizer(run, recipe), {"adapter": None}, lambda *_: EchoEngine())


def lead(dialogue: str) -> str:
    """The first turns of a dialogue, up to about the length of a summary; at least one, on one line."""
    kept = ""
    for turn in dialogue.splitlines():
        longer = f"{kept} {turn.strip()}".strip()
        if kept and len(longer) > _CHARACTERS:
            break
        kept = longer
    return kept
