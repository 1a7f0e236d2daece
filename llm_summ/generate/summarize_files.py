"""Summaries of files with one start of an engine; a file that cannot be used does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from llm_summ.core.errors import DataError, PromptError, listed
from llm_summ.core.formatting import counted
from llm_summ.core.progress import Progress, say
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.data import Dialogue
from llm_summ.data.inputs import Input
from llm_summ.generate.long_dialogues import Long
from llm_summ.generate.summarizer import Summarizer
from llm_summ.generate.summary import Part, Summary

__all__ = ["FileSummaries", "SummarizedDialogue", "shown_summary", "summarize_inputs"]


@dataclass(frozen=True, slots=True)
class SummarizedDialogue(JsonRecord):
    """A dialogue's summary, as it is printed.

    Attributes:
        id: the dialogue's.
        turns: number of turns.
        summary: the text.
        tokens: number of generated tokens, of all parts.
        finish_reason: "stop" or "length".
        parts: the windows with their summaries; one if the dialogue was summarised whole.
        is_listed: whether `summary` consists of the summaries of the parts.
    """

    id: str
    turns: int
    summary: str
    tokens: int
    finish_reason: str
    parts: tuple[Part, ...]
    is_listed: bool = False

    def json_fields(self) -> Mapping[str, Any]:
        """Leave out what the other fields say."""
        return {name: value for name, value in field_values(self).items() if name != "is_listed"}

    @property
    def text(self) -> str:
        """The summary for people: if it is a list of parts, each with its turns and times."""
        if not self.is_listed:
            return self.summary
        return "\n".join(f"[{_range(part)}] {part.text}" for part in self.parts)


@dataclass(frozen=True, slots=True)
class FileSummaries(JsonRecord):
    """The summaries of a file, in the order of its dialogues.

    Attributes:
        file: its name on the command line.
        summaries: of its dialogues.
        error: why it has none; empty if it has.
    """

    file: str
    summaries: tuple[SummarizedDialogue, ...] = ()
    error: str = ""

    def json_fields(self) -> Mapping[str, Any]:
        """Leave out `error`, since such files are reported elsewhere."""
        return {"file": self.file, "summaries": self.summaries}


def summarize_inputs(
    inputs: Sequence[Input], start: Callable[[int], Summarizer], *, long: Long, length: int | None = None
) -> Iterator[FileSummaries]:
    """Yield the summaries of files as soon as all of a file are finished, in any order; those with errors first.

    Args:
        inputs: the files.
        start: starts a summarizer for a number of dialogues; not called if no file can be used.
        long: what is done about long dialogues.
        length: the length to ask for, in characters; it needs a model that was trained for lengths.

    Raises:
        InputError: no file can be used, or the model cannot.
        GenerationError: the engine failed.
    """
    usable = [item for item in inputs if not item.error]
    if not usable:
        raise DataError("\n".join(item.error for item in inputs))
    for item in inputs:
        if item.error:
            yield FileSummaries(item.name, error=item.error)
    with ExitStack() as stack:
        summarizer = stack.enter_context(start(sum(len(item.dialogues) for item in usable)))
        if length is not None:
            summarizer = summarizer.asking_for(length)
            [target] = summarizer.renderer.target_lengths
            say(f"Length: about {target} characters, the nearest that was trained")
        fitting = []
        for item in usable:
            try:
                for line in _notes(summarizer, item, long):
                    say(line)
                fitting.append(item)
            except PromptError as error:
                lines = "\n".join(f"{item.name}: {line}" for line in str(error).splitlines())
                yield FileSummaries(item.name, error=lines)
        if fitting:
            yield from _summarized(summarizer, fitting, long)


def _summarized(summarizer: Summarizer, inputs: Sequence[Input], long: Long) -> Iterator[FileSummaries]:
    places = [(item, position) for item in inputs for position in range(len(item.dialogues))]
    found: dict[int, dict[int, Summary]] = {}
    order = {id(item): number for number, item in enumerate(inputs)}
    with ExitStack() as stack:
        # Windows have a progress of their own.
        progress = stack.enter_context(Progress("Summarizing", len(places))) if long == "truncate" else None
        dialogues = [item.dialogues[position] for item, position in places]
        for index, summary in summarizer.stream(dialogues, long=long):
            if progress is not None:
                progress.advance()
            item, position = places[index]
            of_file = found.setdefault(order[id(item)], {})
            of_file[position] = summary
            if len(of_file) == len(item.dialogues):
                yield FileSummaries(
                    item.name,
                    tuple(
                        shown_summary(dialogue, of_file[position], long)
                        for position, dialogue in enumerate(item.dialogues)
                    ),
                )
                del found[order[id(item)]]


def _notes(summarizer: Summarizer, item: Input, long: Long) -> Iterator[str]:
    """Yield a line for each dialogue that is cut, or that loses turns.

    Raises:
        PromptError: a dialogue cannot be summarised.
    """
    if long == "truncate":
        lost = [row for row in summarizer.render(item.dialogues) if row.dropped_turns]
        for row in lost:
            turns = counted(row.dropped_turns, "turn")
            yield f"{item.name}: {row.id}: lost {turns} to fit; --long list drops none"
        return
    for dialogue in item.dialogues:
        windows = summarizer.windows(dialogue)
        if len(windows) > 1:
            yield f"{item.name}: {dialogue.id}: {counted(len(dialogue.turns), 'turn')} in {len(windows)} parts"
        if divided := sorted({number for window in windows for number in window.divided}):
            turns = listed(list(map(str, divided)))
            yield f"{item.name}: {dialogue.id}: divided between sentences, since longer than a part: turn {turns}"


def shown_summary(dialogue: Dialogue, summary: Summary, long: Long) -> SummarizedDialogue:
    """Return the summary of a dialogue with its parts; a dialogue that was summarised whole has one."""
    turns = dialogue.turns
    end = turns[-1].start if turns[-1].end is None else turns[-1].end
    whole = Part(1, len(turns), turns[0].start, end, summary.text, summary.tokens, summary.finish_reason)
    return SummarizedDialogue(
        dialogue.id,
        len(turns),
        summary.text,
        summary.tokens,
        summary.finish_reason,
        summary.parts or (whole,),
        is_listed=bool(summary.parts) and "\n".join(part.text for part in summary.parts) == summary.text,
    )


def _range(part: Part) -> str:
    """Return the turns and times of a part: ``12–34, 5:10–9:30``."""
    turns = f"{part.first}–{part.last}" if part.last > part.first else str(part.first)
    times = [_clock(time) for time in (part.start, part.end) if time is not None]
    return f"{turns}, {'–'.join(times)}" if times else turns


def _clock(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
