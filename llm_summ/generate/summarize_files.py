"""Summaries of files with one start of an engine; a file that cannot be used does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from llm_summ.core.errors import DataError, PromptError, listed
from llm_summ.core.formatting import counted
from llm_summ.core.progress import Progress, say
from llm_summ.core.records import JsonRecord
from llm_summ.data import Dialogue
from llm_summ.data.inputs import Input
from llm_summ.data.preparation import Handling, Prepared, preparation_lines, prepare
from llm_summ.generate.length_choice import Length
from llm_summ.generate.long_dialogues import Long
from llm_summ.generate.summarizer import Summarizer
from llm_summ.generate.summary import Part, Summary

__all__ = ["FileSummaries", "SummarizedDialogue", "summarize_inputs"]


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
        masked: how many values of each kind the model did not see.
        unsupported: tags in the summary that the dialogue does not have.
        unresolved: masks in the summary that stand for nothing in the dialogue, or for one of several values.
    """

    id: str
    turns: int
    summary: str
    tokens: int
    finish_reason: str
    parts: tuple[Part, ...]
    is_listed: bool = False
    masked: Mapping[str, int] = field(default_factory=dict)
    unsupported: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()

    @classmethod
    def of(cls, prepared: Prepared, summary: Summary) -> Self:
        """Return the summary of a prepared dialogue, with names and values in it and its parts."""
        turns = prepared.dialogue.turns
        end = turns[-1].start if turns[-1].end is None else turns[-1].end
        whole = Part(1, len(turns), turns[0].start, end, summary.text, summary.tokens, summary.finish_reason)
        restored = prepared.restore(summary.text)
        return cls(
            prepared.dialogue.id,
            len(turns),
            restored.text,
            summary.tokens,
            summary.finish_reason,
            tuple(replace(part, text=prepared.restore(part.text).text) for part in summary.parts or (whole,)),
            bool(summary.parts) and "\n".join(part.text for part in summary.parts) == summary.text,
            prepared.masked,
            restored.unsupported,
            restored.unresolved,
        )

    @property
    def notices(self) -> list[str]:
        """What nothing in the dialogue supports: a line for each tag and mask."""
        return [
            *(f"no turn supports the speaker {tag}; it stays in the summary" for tag in self.unsupported),
            *(
                f"{mask} stands for no value, or for one of several; it stays in the summary"
                for mask in self.unresolved
            ),
        ]

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


class _Work(NamedTuple):
    """A file, and its dialogues as the model reads them."""

    name: str
    prepared: list[Prepared]

    @property
    def dialogues(self) -> list[Dialogue]:
        return [prepared.dialogue for prepared in self.prepared]


def summarize_inputs(
    inputs: Sequence[Input],
    start: Callable[[int], Summarizer],
    *,
    long: Long,
    length: Length | None = None,
    handling: Handling | None = None,
) -> Iterator[FileSummaries]:
    """Yield the summaries of files as soon as all of a file are finished, in any order; those with errors first.

    Args:
        inputs: the files.
        start: starts a summarizer for a number of dialogues; not called if no file can be used.
        long: what is done about long dialogues.
        length: the length to ask for, see `Summarizer.asking_for`.
        handling: what is done with names and personal data; None: nothing.

    Raises:
        InputError: no file can be used, or the model cannot.
        GenerationError: the engine failed.
    """
    handling = handling or Handling()
    usable = [item for item in inputs if not item.error]
    if not usable:
        raise DataError("\n".join(item.error for item in inputs))
    for item in inputs:
        if item.error:
            yield FileSummaries(item.name, error=item.error)
    work = [_Work(item.name, [prepare(dialogue, handling) for dialogue in item.dialogues]) for item in usable]
    for line in preparation_lines([prepared for file in work for prepared in file.prepared]):
        say(line)
    with ExitStack() as stack:
        summarizer = stack.enter_context(start(sum(len(file.prepared) for file in work)))
        if length is not None:
            summarizer = summarizer.asking_for(length)
            say(summarizer.length_line)
        fitting = []
        for file in work:
            try:
                for line in _notes(summarizer, file, long):
                    say(line)
                fitting.append(file)
            except PromptError as error:
                lines = "\n".join(f"{file.name}: {line}" for line in str(error).splitlines())
                yield FileSummaries(file.name, error=lines)
        if fitting:
            yield from _summarized(summarizer, fitting, long)


def _summarized(summarizer: Summarizer, work: Sequence[_Work], long: Long) -> Iterator[FileSummaries]:
    places = [(number, position) for number, file in enumerate(work) for position in range(len(file.prepared))]
    finished: dict[int, dict[int, SummarizedDialogue]] = {}
    with ExitStack() as stack:
        # Windows have a progress of their own.
        progress = stack.enter_context(Progress("Summarizing", len(places))) if long == "truncate" else None
        dialogues = [work[number].prepared[position].dialogue for number, position in places]
        for index, summary in summarizer.stream(dialogues, long=long):
            if progress is not None:
                progress.advance()
            number, position = places[index]
            file, of_file = work[number], finished.setdefault(number, {})
            of_file[position] = SummarizedDialogue.of(file.prepared[position], summary)
            for line in of_file[position].notices:
                say(f"{file.name}: {of_file[position].id}: {line}")
            if len(of_file) == len(file.prepared):
                yield FileSummaries(file.name, tuple(of_file[place] for place in range(len(of_file))))
                del finished[number]


def _notes(summarizer: Summarizer, item: _Work, long: Long) -> Iterator[str]:
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


def _range(part: Part) -> str:
    """Return the turns and times of a part: ``12–34, 5:10–9:30``."""
    turns = f"{part.first}–{part.last}" if part.last > part.first else str(part.first)
    times = [_clock(time) for time in (part.start, part.end) if time is not None]
    return f"{turns}, {'–'.join(times)}" if times else turns


def _clock(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
