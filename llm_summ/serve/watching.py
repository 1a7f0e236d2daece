"""What happens while a request is summarised: pieces of texts, finished parts, and numbers of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.core.records import as_json
from llm_summ.data.preparation import Prepared, Restored
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request
from llm_summ.generate.long_dialogues import Place
from llm_summ.generate.summary import Part, Summary
from llm_summ.prompt import Renderer
from llm_summ.prompt.windows import Window

__all__ = ["Emit", "Usage", "Watch", "part_fields"]

Emit = Callable[[str, dict[str, Any]], None]
"""Takes the name of an event and its data, from any thread."""

_HALF = "\ufffd"  # what a decoder gives for a character whose last bytes are in the next token


@dataclass(slots=True)
class Usage:
    """Numbers of tokens of a request."""

    prompt: int = 0
    generated: int = 0


class Watch:
    """Reports pieces and parts as events; it is a `Watcher`.

    Args:
        renderer: decodes tokens.
        emit: takes the events.
        usage: is counted.
        prepared: the dialogues that are summarised, each with its index in the request.
    """

    def __init__(
        self, renderer: Renderer, emit: Emit, usage: Usage, prepared: Sequence[tuple[int, Prepared]]
    ) -> None:
        self._renderer, self._emit, self.usage, self._prepared = renderer, emit, usage, prepared
        self._places: Sequence[Place] = ()
        self._merged: Counter[Place] = Counter()
        self._texts: dict[int, _Text] = {}
        self._shows = True

    def begins(self, places: Sequence[Place]) -> None:
        """Note what the next texts are for."""
        self._places, self._texts = places, {}
        self._merged = Counter(place for place in places if place[1] is None)

    def asks(self, tokens: int, candidates: int) -> None:
        """Count the tokens of prompts; of several candidates, none is shown before one is chosen."""
        self.usage.prompt += tokens
        self._shows = candidates == 1

    def finished(self, place: Place, window: Window, summary: Summary) -> None:
        """Report the summary of a window."""
        position, number = place
        index, prepared = self._prepared[position]
        part = Part(
            window.first,
            window.last,
            window.start,
            window.end,
            summary.text,
            summary.tokens,
            summary.finish_reason,
            window.divided,
        )
        fields = part_fields(part, prepared.restore(part.text))
        self._emit("part", {"dialogue": index, "part": number, **fields})

    def on_tokens(self, number: int, sample: int, new: tuple[int, ...] | str) -> None:
        """Report a piece of a text; not of the groups of a merge, which are no part of the answer."""
        place = self._places[number]
        if not self._shows or self._merged[place] > 1:
            return
        text = self._texts.setdefault(number, _Text())
        if piece := text.added(new, self._renderer):
            self._emit("delta", {"dialogue": self._prepared[place[0]][0], "part": place[1], "text": piece})

    def counted(self, engine: Engine, check: Callable[[], None]) -> Engine:
        """Return an engine that counts the tokens of the prompts that it gets, and of the texts that it finishes.

        Args:
            engine: a view of an engine's process.
            check: is called before prompts are sent; it raises if the engine does not work now.
        """
        return _Counted(engine, self, check)


def part_fields(part: Part, restored: Restored) -> dict[str, Any]:
    """Return a part as an answer has it, with names and values in its text."""
    return {**as_json(part), "text": restored.text}


class _Text:
    """A text that grows."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._sent = 0

    def added(self, new: tuple[int, ...] | str, renderer: Renderer) -> str:
        """Return what some tokens add to the text; nothing while the last character is incomplete."""
        if isinstance(new, str):
            return new
        self._ids += new
        text = renderer.decode(self._ids).removesuffix(_HALF)
        piece, self._sent = text[self._sent :], len(text)
        return piece


@dataclass(frozen=True, slots=True)
class _Counted:
    engine: Engine
    watch: Watch
    check: Callable[[], None]

    @property
    def name(self) -> str:
        return self.engine.name

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        self.check()
        self.watch.asks(sum(len(request.prompt_ids) for request in requests), decoding.n)
        for output in self.engine.generate(requests, stop_id=stop_id, decoding=decoding, done=done):
            self.watch.usage.generated += len(output.token_ids) or output.tokens
            yield output

    def close(self) -> None:
        self.engine.close()
