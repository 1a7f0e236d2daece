"""The interface of an engine: token ids in, candidates out. It does not depend on data or files."""

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
        top_k: a token is drawn from the `top_k` likeliest ones; 0: from all.
        beams: number of texts that beam search keeps; 1: no beam search.
        no_repeat_ngram: no run of this many tokens is repeated in a completion; 0: no restriction.
        length_penalty: beam search divides a text's log-probability by its length to this power. 0: the sum
            counts, 1: the mean; the higher, the longer the texts.
        min_new_tokens: a text does not end before it has this many tokens.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    no_repeat_ngram: int = 0
    length_penalty: float = 1.0
    min_new_tokens: int = 0

    @property
    def label(self) -> str:
        """Short name for file names; empty for plain greedy decoding."""
        parts = [f"n{self.n}"] if self.n > 1 else []
        if self.temperature:
            parts += [f"t{self.temperature:g}"]
            parts += [f"p{self.top_p:g}"] if self.top_p < 1 else []
            parts += [f"k{self.top_k}"] if self.top_k else []
        parts += [f"beam{self.beams}"] if self.beams > 1 else []
        parts += [f"ngram{self.no_repeat_ngram}"] if self.no_repeat_ngram else []
        parts += [f"lp{self.length_penalty:g}"] if self.length_penalty != 1 else []
        parts += [f"min{self.min_new_tokens}"] if self.min_new_tokens else []
        return "-".join(parts)


Key = tuple[int, int]
"""Index of a request, and number of its candidate."""

GREEDY = Decoding()
"""The likeliest token at every step."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to generate for.

    Attributes:
        prompt_ids: shape (p,).
        max_new_tokens: maximum number of generated tokens.
        seed: sampling for this prompt depends on it alone, and not on the other prompts. Candidate i has the seed
            `seed` + i.
        messages: the prompt as role and text, for a server that takes messages instead of ids.
        dialogue: the dialogue's text, for an engine without a model.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    seed: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    dialogue: str = ""


def greedy_requests(prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Request]:
    """Return a request for each prompt, all with the same limit."""
    return [Request(prompt, max_new_tokens) for prompt in prompts]


def unfinished(prompts: int, n: int, done: Collection[Key]) -> list[int]:
    """Return the indexes of the prompts that lack one or more of their n candidates."""
    return [index for index in range(prompts) if any((index, sample) not in done for sample in range(n))]


@dataclass(frozen=True, slots=True)
class Output:
    """A candidate that an engine generated.

    Attributes:
        index: of the request, in the order of the input.
        token_ids: generated ids, the stop id included; shape (g,). Empty where a server gives the text alone.
        finish_reason: "stop" or "length".
        sample: from 0 to n - 1; with beam search the best has 0.
        logprob: the sum of the natural logarithms of the tokens' probabilities under the model, at temperature 1
            and without top_p and top_k; None if the engine gives none.
        text: the generated text, if the engine gives no ids.
        tokens: number of generated tokens, if the engine gives no ids.
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
        """The engine's name in a recipe, and in the names of prediction files."""

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
            decoding: how the next token is chosen.
            done: candidates that exist already. Some of them may be yielded again, if they are generated together
                with missing ones.
        """

    def close(self) -> None:
        """Free memory and end processes."""
