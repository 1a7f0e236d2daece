"""What an engine is: token ids in, candidates out. It knows nothing of data or files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_summ.predictions.prediction import FinishReason

__all__ = ["GREEDY", "Decoding", "Engine", "Key", "Output", "Request", "greedy_requests", "unfinished"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the next token is chosen.

    Attributes:
        n: candidates for each prompt.
        temperature: 0 takes the likeliest token; above it a token is drawn from softmax(logits / temperature).
        top_p: a token is drawn from the likeliest ones that together have this probability (nucleus sampling,
            Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).
        top_k: a token is drawn from so many of the likeliest ones; 0: from all.
        beams: so many texts are kept side by side (beam search); 1: one.
        no_repeat_ngram: no run of so many tokens comes twice in a completion; 0: they may.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    no_repeat_ngram: int = 0

    @property
    def label(self) -> str:
        """A short name for file names; empty for plain greedy decoding."""
        parts = [f"n{self.n}"] if self.n > 1 else []
        if self.temperature:
            parts += [f"t{self.temperature:g}"]
            parts += [f"p{self.top_p:g}"] if self.top_p < 1 else []
            parts += [f"k{self.top_k}"] if self.top_k else []
        parts += [f"beam{self.beams}"] if self.beams > 1 else []
        parts += [f"ngram{self.no_repeat_ngram}"] if self.no_repeat_ngram else []
        return "-".join(parts)


Key = tuple[int, int]
"""Index of a request, and number of its candidate."""

GREEDY = Decoding()
"""The likeliest token at every step."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for one prompt.

    Attributes:
        prompt_ids: shape (p,).
        max_new_tokens: cuts a generation off.
        seed: what sampling draws for this prompt depends on it alone, and not on the other prompts. Candidate i
            has the seed `seed` + i.
        messages: the prompt as role and text, for a server that is not given ids.
        dialogue: the dialogue's text, for what is no model.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    seed: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    dialogue: str = ""


def greedy_requests(prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Request]:
    """A request for each prompt, all with the same limit."""
    return [Request(prompt, max_new_tokens) for prompt in prompts]


def unfinished(prompts: int, n: int, done: Collection[Key]) -> list[int]:
    """Indexes of those of so many prompts that lack one or more of n candidates."""
    return [index for index in range(prompts) if any((index, sample) not in done for sample in range(n))]


@dataclass(frozen=True, slots=True)
class Output:
    """A candidate that an engine generated.

    Attributes:
        index: of the request, in the order in which they were given.
        token_ids: generated ids, the stop id included; shape (g,). Empty where a server gives the text alone.
        finish_reason: "stop" or "length".
        sample: from 0 to n - 1; with beam search the best has 0.
        logprob: the sum of the natural logarithms of the tokens' probabilities under the model, at temperature 1
            and whatever top_p and top_k leave out; None where the engine does not say.
        text: what was generated, where there are no ids.
        tokens: how many were generated, where there are no ids.
    """

    index: int
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    sample: int = 0
    logprob: float | None = None
    text: str | None = None
    tokens: int = 0


class Engine(Protocol):
    """Generates candidates."""

    @property
    def name(self) -> str:
        """Its name in a recipe, and in the names of prediction files."""

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield the candidates of every request as soon as they are finished, in any order.

        Args:
            requests: the prompts.
            stop_id: ends a generation.
            decoding: how.
            done: candidates that are there already. Some of them may come again, where they are made together with
                others that are not.
        """

    def close(self) -> None:
        """Give back memory and processes."""
