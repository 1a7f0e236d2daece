"""Start of a live engine that generates on this machine, in its own process, with a proof of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from llm_summ.core.errors import PromptError
from llm_summ.data import read_dialogues
from llm_summ.generate.live import LiveEngine
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, LogProbs, prove
from llm_summ.prompt import Renderer

__all__ = ["LiveProof", "LiveProving", "prompts_of_a_proof"]

_DIALOGUES = "sample:dev"


@runtime_checkable
class LiveProving(Protocol):
    """A live engine that returns the probabilities of a next token."""

    async def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> LogProbs:
        """Return the likeliest next tokens after a prompt; without `adapter`, as if none were attached."""


@dataclass(frozen=True, slots=True)
class LiveProof:
    """A proof that a live engine computes with the trained weights, before its first request; picklable.

    Attributes:
        prompts: the ids of a few prompts; without any, nothing is proven.
        attached: whether the adapter is kept separate from the base's weights.
        dtype: the compute dtype.
        reference: makes transformers' model with the adapter; None: it would take too long, or too much memory.
        others: names of the engines to use instead, for the message.
    """

    prompts: Sequence[Sequence[int]]
    attached: bool
    dtype: str
    reference: Callable[[], Any] | None
    others: str

    async def check(self, engine: LiveEngine) -> None:
        """Raise if the engine does not compute with the trained weights; see `llm_summ.generate.proof.prove`."""
        if not isinstance(engine, LiveProving) or not self.prompts:
            return
        answers = {
            adapter: [await engine.next_token(prompt, adapter=adapter) for prompt in self.prompts]
            for adapter in ([True, False] if self.attached else [True])
        }
        if not all(answers[True]):
            return  # the engine behind it returns none
        known = _Answers(engine.name, answers)
        reference, others = self.reference, self.others
        prove(known, self.prompts, attached=self.attached, dtype=self.dtype, reference=reference, others=others)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What an engine answered; as `prove` asks several workers."""

    name: str
    answers: Mapping[bool, Sequence[LogProbs]]

    def next_tokens(
        self, prompts: Sequence[Sequence[int]], *, adapter: bool = True
    ) -> Mapping[str, Sequence[LogProbs]]:
        """Return the likeliest next tokens after each prompt, with or without the adapter."""
        return {self.name: self.answers[adapter]}


def prompts_of_a_proof(renderer: Renderer, longest: int) -> list[Sequence[int]]:
    """Return the ids of a few prompts of the bundled sample, if they have at most `longest` tokens."""
    prompts: list[Sequence[int]] = []
    for dialogue in read_dialogues(_DIALOGUES):
        with contextlib.suppress(PromptError):
            prompts.append(renderer.prompt(dialogue).prompt_ids)
        if len(prompts) == PROMPTS_OF_A_PROOF:
            break
    return [prompt for prompt in prompts if len(prompt) <= longest]
