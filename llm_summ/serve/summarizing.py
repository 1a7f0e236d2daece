"""The summaries of one request, made in a thread by the pipeline; what happens is reported as events.

::

    delta    the next part of a text as the model writes it
    part     the finished summary of a window of a long dialogue
    summary  the finished summary of a dialogue
    error    a dialogue that cannot be summarised
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_summ.core.errors import AbandonedError, InputError
from llm_summ.core.progress import say
from llm_summ.data import Dialogue
from llm_summ.data.preparation import Prepared, prepare, unused_lines
from llm_summ.generate.summarize_files import SummarizedDialogue
from llm_summ.generate.summarizer import Summarizer
from llm_summ.prompt.windows import Window
from llm_summ.serve.bodies import Options
from llm_summ.serve.errors import as_http_error
from llm_summ.serve.reading import Check, InputDialogue
from llm_summ.serve.served_model import Asked, ServedModel
from llm_summ.serve.watching import Emit, Usage, Watch

__all__ = ["Summarizing", "check_of"]


def check_of(cancelled: threading.Event) -> Check:
    """Return a function that raises an `AbandonedError` when a request was stopped."""

    def check() -> None:
        if cancelled.is_set():
            raise AbandonedError("the request was stopped")

    return check


@dataclass(slots=True)
class Summarizing:
    """What is to be summarised, and how.

    Attributes:
        model: the model.
        options: how dialogues are summarised.
        read: returns the dialogues; those with an error are answered with it.
        on_end: is called when the work has ended, however that was.
        wants_deltas: whether texts are reported while they are written.
        usage: is counted while the work is done.
    """

    model: ServedModel
    options: Options
    read: Callable[[Check], Sequence[InputDialogue]]
    on_end: Callable[[Summarizing], None]
    wants_deltas: bool = False
    usage: Usage = field(default_factory=Usage)

    def run(self, emit: Emit, cancelled: threading.Event) -> list[dict[str, Any]]:
        """Summarise, and return what ``summaries`` of the answer has, in the order of the dialogues.

        Args:
            emit: takes the events.
            cancelled: stops the work, when the client has gone or the time is over.

        Raises:
            InputError: no dialogue can be summarised, or an option is not valid.
            GenerationError: the engine failed.
        """
        try:
            return self._summarized(emit, cancelled)
        finally:
            self.on_end(self)

    def _summarized(self, emit: Emit, cancelled: threading.Event) -> list[dict[str, Any]]:
        options = self.options
        summarizer = self.model.summarizer(Asked(options.prompt, options.length, options.best_of))
        renderer = summarizer.renderer
        if summarizer.length_line:
            say(summarizer.length_line)
        try:
            return self._run(summarizer, emit, cancelled)
        finally:
            renderer.forget()

    def _run(self, summarizer: Summarizer, emit: Emit, cancelled: threading.Event) -> list[dict[str, Any]]:
        check = check_of(cancelled)
        handling = self.options.handling(self.model.speakers(self.options.prompt))
        long = self.options.long
        found = self.read(check)
        answers: dict[int, dict[str, Any]] = {}
        usable: list[tuple[int, Prepared]] = []
        windows: list[list[Window]] = []
        for line in unused_lines(handling, [one.dialogue for one in found if one.error is None]):
            say(line.removeprefix("--"))
        for index, one in enumerate(found):
            check()
            try:
                if one.error is not None:
                    raise one.error
                prepared = prepare(one.dialogue, handling)
                if long == "truncate":
                    _say_what_is_lost(summarizer, prepared.dialogue)
                else:
                    windows.append(summarizer.windows(prepared.dialogue, check))
                usable.append((index, prepared))
            except InputError as error:
                if len(found) == 1:
                    raise
                answers[index] = {"id": one.dialogue.id, **as_http_error(error).body}
                emit("error", {"dialogue": index, **answers[index]})
        if usable:
            watch = Watch(summarizer.renderer, emit, self.usage, usable)
            # Of several candidates, the one that is taken is not known before all are finished.
            shows = self.wants_deltas and summarizer.settings.decoding.n == 1
            on_tokens = watch.on_tokens if shows else None
            view = summarizer.using(watch.counted(self.model.view(on_tokens, cancelled), self.model.check_state))
            dialogues = [prepared.dialogue for _, prepared in usable]
            if long == "truncate":
                watch.begins([(position, 0) for position in range(len(dialogues))])
            for position, summary in view.stream(dialogues, long=long, watcher=watch, windows=windows):
                index, prepared = usable[position]
                shown = SummarizedDialogue.of(prepared, summary)
                answers[index] = shown.to_json()
                for line in shown.notices:
                    say(f"{shown.id}: {line}")
                self.usage.summaries += 1
                emit("summary", {"dialogue": index, **answers[index]})
        return [answers[index] for index in range(len(found))]


def _say_what_is_lost(summarizer: Summarizer, dialogue: Dialogue) -> None:
    """Report how many turns a dialogue loses.

    Raises:
        PromptError: it cannot be summarised.
    """
    [row] = summarizer.render([dialogue])
    if row.dropped_turns:
        say(f"{dialogue.id}: lost {row.dropped_turns} turns to fit; long list drops none")
