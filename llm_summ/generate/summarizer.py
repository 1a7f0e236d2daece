"""From dialogues of any length to finished summaries, with the model of a run or a base model.

::

    with Summarizer.open("runs/latest") as summarizer:
        for summary in summarizer.summarize(dialogues):
            print(summary.text)

Messages are not printed, but sent to the logger ``llm_summ``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from llm_summ.core.engine_registry import engine_spec
from llm_summ.core.errors import PromptError
from llm_summ.core.progress import say
from llm_summ.data import Dialogue
from llm_summ.generate.engine import Engine
from llm_summ.generate.length_choice import (
    SAMPLING,
    Length,
    NearestLength,
    check_candidates,
    several_candidates,
    trained_length,
    writes_candidates,
)
from llm_summ.generate.long_dialogues import Long, LongSettings, Watcher, stream_long
from llm_summ.generate.opening import ModelChecks, Opened, opened_base, opened_run
from llm_summ.generate.pipeline import Pipeline
from llm_summ.generate.prompt_choice import PromptChoice
from llm_summ.generate.settings import GenerationSettings
from llm_summ.generate.summary import Summary
from llm_summ.post.limits import LengthLimits
from llm_summ.prompt import Renderer
from llm_summ.prompt.windows import Window
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run

__all__ = ["Summarizer"]


class Summarizer(Pipeline):
    """A pipeline for dialogues of any length, with the ways to open it and to change what is asked for.

    Args:
        engine: as for `Pipeline`, like the following ones.
        renderer: renders the prompts.
        settings: how texts are generated.
        post: the steps of post-processing.
        limits: of the step ``cut_to_limit``.
        checks: before texts are generated.
        long: how long dialogues are cut; None: into windows that fill the prompt.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        settings: GenerationSettings,
        *,
        post: Sequence[PostStep] = (),
        limits: LengthLimits | None = None,
        checks: ModelChecks | None = None,
        long: LongSettings | None = None,
    ) -> None:
        super().__init__(engine, renderer, settings, post=post, limits=limits, checks=checks)
        self._long = long or LongSettings(renderer.max_prompt_tokens)
        self._merger: Summarizer | None = None  # if merged summaries get their length in another way
        self._prompts: PromptChoice | None = None
        self.length_line = ""
        """How the length of `asking_for` is reached, for people."""

    @classmethod
    def open(
        cls,
        where: Run | Path | str | None = None,
        *,
        engine: str | None = None,
        overrides: Sequence[str] = (),
        prompt: str | None = None,
        expected: int = 1,
        live: bool = False,
    ) -> Self:
        """Load the model of a run, or a folder that `llm-summ merge` has written, into an engine.

        Args:
            where: a run, its name or folder, or a merged folder. None: the latest run.
            engine: the engine's name; None takes the recipe's.
            overrides: ``generate.KEY=VALUE`` or ``post=[…]``, instead of the recipe's values.
            prompt: the name or file of a prompt to use instead of the trained one.
            expected: number of dialogues: ``auto`` chooses an engine that is fast for that many, and there are at
                most as many workers as candidates.
            live: many threads use the engine at the same time. It starts in a process of its own, for which
                `EngineProcess.wait` waits, and is started again when it ends.

        Raises:
            InputError: the run, its model or the engine is unavailable, or they do not work together.
            GenerationError: the engine does not start.
        """
        return cls._of(
            opened_run(where, engine=engine, overrides=overrides, prompt=prompt, expected=expected, live=live)
        )

    @classmethod
    def open_base(
        cls,
        base: str,
        *,
        prompt: str = "chat",
        engine: str | None = None,
        overrides: Sequence[str] = (),
        expected: int = 1,
        live: bool = False,
    ) -> Self:
        """Load a model that was not trained here, to summarise by its prompt alone.

        Args:
            base: ``embedded:gemma-3-270m``, a folder of a transformers model, or a hub id.
            prompt: the name or file of a prompt; it cannot use `length`, and `examples` are those of the
                bundled sample.
            engine: the engine's name; None: ``auto``.
            overrides: ``generate.KEY=VALUE``, ``prompt.KEY=VALUE``, ``model.KEY=VALUE`` or ``post=[…]``.
            expected: as for `open`.
            live: as for `open`.

        Raises:
            InputError: the model or the engine is unavailable, or they do not work together.
            GenerationError: the engine does not start.
        """
        return cls._of(
            opened_base(base, prompt=prompt, engine=engine, overrides=overrides, expected=expected, live=live)
        )

    @classmethod
    def _of(cls, opened: Opened) -> Self:
        made = cls(
            opened.engine,
            opened.renderer,
            opened.settings,
            post=opened.post,
            limits=opened.limits,
            checks=opened.checks,
            long=opened.long,
        )
        made._prompts = opened.prompts
        return made

    def stream(
        self,
        dialogues: Sequence[Dialogue],
        *,
        long: Long = "truncate",
        length: Length | None = None,
        watcher: Watcher | None = None,
        windows: Sequence[Sequence[Window]] | None = None,
    ) -> Iterator[tuple[int, Summary]]:
        """Yield summaries with the index of their dialogue, as soon as they are finished, in any order.

        Of several candidates, the one that agrees best with the others is chosen (minimum Bayes risk, by the
        competition's score).

        Args:
            dialogues: shape (n,).
            long: a dialogue that is too long for the prompt loses turns (``truncate``), as in the training; or its
                windows are summarised, and their summaries listed or merged. Then `Summary.parts` has them.
            length: of a summary or of each part: characters, or short, medium or long; see `asking_for`.
            watcher: follows the windows of the dialogues; not used with ``truncate``.
            windows: of each dialogue, if they were cut before; not used with ``truncate`` or a `length`.

        Raises:
            PromptError: prompts do not fit, a line for each reason; or there is no way to the length. Nothing was
                generated.
            GenerationError: the engine failed.
        """
        if length is not None:
            yield from self.asking_for(length).stream(dialogues, long=long, watcher=watcher)
            return
        if long == "truncate":
            yield from self.finished(dialogues, self.renderer)
            return
        if windows is None:
            windows = [self.windows(dialogue) for dialogue in dialogues]
        usual = None if self.length_line else self.settings.summary_characters
        if long == "merge" and usual is not None and any(len(row) > 1 for row in windows):
            say(
                f"Merged summaries are as short as those of the training: about {usual[1]} characters; "
                "long list keeps the summary of each part"
            )
        with self._long.merging(self.renderer, (self._merger or self).finished) as merging:
            merge = merging if long == "merge" else None
            yield from stream_long(
                dialogues, windows, lambda parts: self.finished(parts, self.renderer), merge, watcher
            )

    def summarize(
        self, dialogues: Sequence[Dialogue], *, long: Long = "truncate", length: Length | None = None
    ) -> list[Summary]:
        """Return the summaries of all dialogues in their order, shape (n,); arguments as for `stream`."""
        by_index = dict(self.stream(dialogues, long=long, length=length))
        return [by_index[index] for index in range(len(dialogues))]

    def windows(self, dialogue: Dialogue, check: Callable[[], None] = lambda: None) -> list[Window]:
        """Return the windows in which a dialogue is summarised unless it is truncated; one if it fits.

        Args:
            dialogue: the dialogue.
            check: is called again and again; what it raises ends the work.

        Raises:
            PromptError: the instruction alone is too long.
        """
        return self._long.windows(dialogue, self.renderer, check)

    def asking_for(self, length: Length) -> Self:
        """Return a summarizer with the same engine, for summaries of a length; close only one of both.

        If the prompt asks for a length, it asks for this one. Otherwise several candidates are generated, and the
        one with the nearest length is chosen, see `llm_summ.generate.length_choice`.

        Args:
            length: in characters: of those that the prompt was trained with, the nearest is asked for. Or a name.

        Raises:
            PromptError: the prompt asks for no length, and the engine writes one text for each dialogue.
        """
        if not (targets := self.renderer.target_lengths):
            check_candidates(self.engine.name, length, self.renderer.template.path.name)
            return self._choosing(length)
        other = copy.copy(self)
        target = trained_length(length, targets)
        other.renderer = self.renderer.asking_for(target)
        other.length_line = f"Length: about {target} characters by the prompt, the nearest that was trained"
        if self._long.merge is not None and writes_candidates(self.engine.name):
            other._merger = self._choosing(length)  # the prompt that merges asks for no length
        return other

    def _choosing(self, length: Length) -> Self:
        other = copy.copy(self)
        other.settings = several_candidates(self.settings)
        other.nearest = NearestLength(length, self.settings.summary_characters)
        other.length_line = other.nearest.line(other.settings.decoding.n)
        return other

    @property
    def prompts(self) -> tuple[str, ...]:
        """The names of the prompts that can be used, see `with_prompt`; the one that was opened first."""
        return (self.renderer.template.name,) if self._prompts is None else self._prompts.names

    def with_prompt(self, name: str) -> Self:
        """Return a summarizer with the same engine and another prompt; close only one of both.

        Args:
            name: one of `prompts`.

        Raises:
            PromptError: there is no such prompt.
        """
        if name == self.prompts[0]:
            return self
        if self._prompts is None:
            raise PromptError(f"prompt {name}: unknown; expected {self.prompts[0]}")
        other = copy.copy(self)
        other.renderer = self._prompts.renderer(name)
        return other

    def best_of(self, n: int) -> Self:
        """Return a summarizer with the same engine that chooses among n sampled candidates; 1 changes nothing.

        Raises:
            PromptError: the engine writes one text for each dialogue.
        """
        if n == 1:
            return self
        if not engine_spec(self.engine.name).can("candidates"):
            raise PromptError(f"{n} candidates: the engine {self.engine.name} writes one text for each dialogue")
        other = copy.copy(self)
        other.settings = replace(self.settings, decoding=replace(self.settings.decoding, n=n, **SAMPLING))
        return other

    def using(self, engine: Engine) -> Self:
        """Return a summarizer with another engine, such as a view of a live engine; this one keeps its own."""
        other = copy.copy(self)
        other.engine = engine
        other._merger = None if self._merger is None else self._merger.using(engine)
        return other
