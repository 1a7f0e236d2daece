"""Summaries of dialogues that are too long for one prompt: their windows are summarised, and the texts joined.

``list`` puts the texts of the windows one below the other. ``merge`` summarises them, again in windows if they are
too long for one prompt, until one text is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from llm_summ.core.progress import Progress, say
from llm_summ.data import Dialogue, Turn, dialogue_hash
from llm_summ.generate.summary import Part, Summary
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer
from llm_summ.prompt.windows import Window, cut_windows

__all__ = ["LONG", "Long", "LongSettings", "Merging", "Place", "Watcher", "stream_long"]

Long = Literal["truncate", "list", "merge"]
"""What is done about a dialogue that is too long for one prompt; ``truncate`` drops turns."""

LONG: tuple[Long, ...] = get_args(Long)

Summarize = Callable[[Sequence[Dialogue]], Iterator[tuple[int, Summary]]]
"""Yields summaries with the index of their dialogue, in any order."""


Place = tuple[int, int | None]
"""What a text is for: the index of a dialogue, and that of its window; None: its windows' summaries are merged."""


class Watcher(Protocol):
    """Follows the summaries while they are made."""

    def begins(self, places: Sequence[Place]) -> None:
        """Learn what the texts that the engine generates next are for, in the order of its requests."""

    def finished(self, place: Place, window: Window, summary: Summary) -> None:
        """Learn the finished summary of a window."""


@dataclass(frozen=True, slots=True)
class Merging:
    """How summaries become one; they are the turns of a dialogue.

    Attributes:
        summarize: summarises dialogues of summaries.
        groups: returns the groups of summaries that can be merged at a time.
    """

    summarize: Summarize
    groups: Callable[[Dialogue], list[Window]]


@dataclass(frozen=True, slots=True)
class LongSettings:
    """How long dialogues are cut, and their summaries merged.

    Attributes:
        max_prompt_tokens: of a window.
        characters: a window ends when it has so many, the length of a usual training dialogue: then its summary is
            like those of the training. None: only the tokens limit it.
        merge: returns the renderer of the prompt that merges summaries, the same one for all threads. It is called
            by the first merge. None: the prompt of the dialogues is used.
        overlap: how many turns of the window before a window begins with.
    """

    max_prompt_tokens: int
    characters: int | None = None
    merge: Callable[[], Renderer] | None = None
    overlap: int = 1

    def windows(
        self, dialogue: Dialogue, renderer: Renderer, check: Callable[[], None] = lambda: None
    ) -> list[Window]:
        """Return the windows of a dialogue; what `check` raises ends the work.

        Raises:
            PromptError: the instruction alone is too long.
        """
        return cut_windows(
            dialogue,
            renderer.count_prompt_tokens,
            self.max_prompt_tokens,
            characters=self.characters,
            overlap=self.overlap,
            check=check,
        )

    def groups(self, summaries: Dialogue, renderer: Renderer) -> list[Window]:
        """Return the groups of summaries, the turns of a dialogue, that one prompt can merge."""
        count, most = renderer.count_prompt_tokens, self.max_prompt_tokens
        return cut_windows(summaries, count, most, overlap=0, by_topic=False)

    @contextmanager
    def merging(
        self, own: Renderer, finished: Callable[[Sequence[Dialogue], Renderer], Iterator[tuple[int, Summary]]]
    ) -> Iterator[Merging]:
        """Provide the way to merge summaries; after the block, the renderer keeps none of them.

        Args:
            own: the renderer of the dialogues.
            finished: summarises dialogues with a renderer.
        """
        used: list[Renderer] = []

        def renderer() -> Renderer:
            if not used:
                used.append(own if self.merge is None else self.merge())
            return used[0]

        try:
            yield Merging(lambda texts: finished(texts, renderer()), lambda texts: self.groups(texts, renderer()))
        finally:
            for shared in used:
                shared.forget()


def stream_long(
    dialogues: Sequence[Dialogue],
    windows: Sequence[Sequence[Window]],
    summarize: Summarize,
    merge: Merging | None = None,
    watcher: Watcher | None = None,
) -> Iterator[tuple[int, Summary]]:
    """Yield a summary of each dialogue with its index, as soon as it is finished, in any order.

    Args:
        dialogues: shape (n,).
        windows: of each dialogue, shape (n, *).
        summarize: summarises windows.
        merge: merges the summaries of windows. None: they are put one below the other.
        watcher: learns what is generated, and the windows' summaries.
    """
    parts: dict[int, list[Summary]] = {}
    waiting: list[tuple[int, Summary]] = []
    if watcher is not None:
        watcher.begins([(index, position) for index, row in enumerate(windows) for position in range(len(row))])
    for index, found in _in_order("Summarizing", windows, summarize, watcher):
        if len(found) == 1:
            yield index, found[0]
            continue
        parts[index] = found
        joined = _joined(dialogues[index], windows[index], found)
        if merge is None:
            yield index, joined
        else:
            waiting.append((index, joined))
    if merge is None:
        return
    while waiting:
        groups = [merge.groups(_as_dialogue(dialogues[index].id, parts[index])) for index, _ in waiting]
        stuck = {place for place, group in enumerate(groups) if len(group) >= len(parts[waiting[place][0]])}
        for place in stuck:
            say(f"{dialogues[waiting[place][0]].id}: its parts are too long to merge; they are listed")
            yield waiting[place]
        going = [place for place in range(len(waiting)) if place not in stuck]
        left = []
        if watcher is not None:
            watcher.begins([(waiting[place][0], None) for place in going for _ in groups[place]])
        for number, found in _in_order("Merging", [groups[place] for place in going], merge.summarize):
            index, joined = waiting[going[number]]
            if len(found) == 1:
                yield index, _merged(joined, found[0])
            else:
                parts[index] = found
                left.append((index, _counted(joined, found)))
        waiting = left


def _in_order(
    label: str,
    windows: Sequence[Sequence[Window]],
    summarize: Summarize,
    watcher: Watcher | None = None,
) -> Iterator[tuple[int, list[Summary]]]:
    """Yield the summaries of all windows of a dialogue, in order, as soon as the last one is finished."""
    places = [(index, position) for index, row in enumerate(windows) for position in range(len(row))]
    finished: dict[int, dict[int, Summary]] = {}
    if not places:
        return
    with Progress(label, len(places)) as progress:
        for place, summary in summarize([windows[index][position].dialogue for index, position in places]):
            progress.advance()
            index, position = places[place]
            if watcher is not None:
                watcher.finished((index, position), windows[index][position], summary)
            row = finished.setdefault(index, {})
            row[position] = summary
            if len(row) == len(windows[index]):
                yield index, [row[position] for position in range(len(row))]
                del finished[index]


def _joined(dialogue: Dialogue, windows: Sequence[Window], found: Sequence[Summary]) -> Summary:
    """Return the summary that consists of the summaries of all windows."""
    parts = tuple(
        Part(
            window.first,
            window.last,
            window.start,
            window.end,
            summary.text,
            summary.tokens,
            summary.finish_reason,
            window.divided,
        )
        for window, summary in zip(windows, found, strict=True)
    )
    whole = Prediction(
        dialogue.id,
        dialogue_hash(dialogue.text),
        "\n".join(summary.raw for summary in found),
        sum(summary.tokens for summary in found),
        "length" if any(summary.finish_reason == "length" for summary in found) else "stop",
    )
    changed_by = tuple(dict.fromkeys(step for summary in found for step in summary.changed_by))
    return Summary("\n".join(summary.text for summary in found), whole, changed_by, parts)


def _as_dialogue(identity: str, found: Sequence[Summary]) -> Dialogue:
    """Return summaries as the turns of a dialogue."""
    return Dialogue.of_turns(identity, [Turn(None, summary.text) for summary in found])


def _counted(joined: Summary, found: Sequence[Summary]) -> Summary:
    """Return the summary of all windows with the tokens of further summaries."""
    tokens = joined.tokens + sum(summary.tokens for summary in found)
    return replace(joined, prediction=replace(joined.prediction, tokens=tokens))


def _merged(joined: Summary, last: Summary) -> Summary:
    """Return the summary into which all windows' summaries were merged."""
    whole = replace(
        joined.prediction,
        summary=last.raw,
        tokens=joined.tokens + last.tokens,
        finish_reason=last.finish_reason,
    )
    return Summary(last.text, whole, last.changed_by, joined.parts)
