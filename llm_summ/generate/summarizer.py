"""The pipeline from dialogues to finished summaries: render, generate, decode, choose a candidate, post-process.

::

    with Summarizer.open("runs/latest") as summarizer:
        for summary in summarizer.summarize(dialogues):
            print(summary.text)

`predict` stops before the choice and yields raw texts, for callers that store them. Messages are not printed, but
sent to the logger ``llm_summ``.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.generate.engine import Engine, Key, Request
from llm_summ.generate.long_dialogues import Long, LongSettings, Merging, stream_long
from llm_summ.generate.opening import ModelChecks, Opened, opened_base, opened_run
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, WORTH_PROVING
from llm_summ.generate.settings import GenerationSettings, request_seed
from llm_summ.generate.summary import Summary, best_candidate
from llm_summ.post.limits import LengthLimits
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample, render_rows
from llm_summ.prompt.windows import Window
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run

__all__ = ["Summarizer"]

_LOGPROB_DECIMALS = 2  # further decimals depend on the rest of the batch


class Summarizer:
    """An engine, the prompt that its model was trained on, and the post-processing of its texts.

    Args:
        engine: already started. `close` closes it.
        renderer: renders the prompts, and decodes what is generated.
        settings: how texts are generated.
        post: the steps of post-processing.
        limits: of the step ``cut_to_limit``.
        checks: of the prompts, and of the engine: once, before many texts are generated.
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
        self.engine, self.renderer, self.settings = engine, renderer, settings
        self._long = long or LongSettings(renderer.max_prompt_tokens)
        self._post, self._limits = tuple(post), limits
        checks = checks or ModelChecks()
        self._unreadable, self._prove = checks.unreadable, checks.prove

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
        return cls(
            opened.engine,
            opened.renderer,
            opened.settings,
            post=opened.post,
            limits=opened.limits,
            checks=opened.checks,
            long=opened.long,
        )

    def predict(
        self,
        dialogues: Sequence[Dialogue],
        rows: Sequence[TokenizedExample] | None = None,
        done: Collection[Key] = (),
    ) -> Iterator[tuple[int, Prediction]]:
        """Yield raw predictions with the index of their dialogue, as soon as they are finished, in any order.

        Args:
            dialogues: shape (n,).
            rows: their prompts, shape (n,); None renders them.
            done: candidates that exist already.

        Raises:
            PromptError: prompts do not fit; a line for each reason.
            GenerationError: the engine failed.
        """
        yield from self._predict(dialogues, self.render(dialogues) if rows is None else rows, done, self.renderer)

    def _predict(
        self,
        dialogues: Sequence[Dialogue],
        rows: Sequence[TokenizedExample],
        done: Collection[Key],
        renderer: Renderer,
    ) -> Iterator[tuple[int, Prediction]]:
        settings = self.settings
        requests = [
            Request(
                row.prompt_ids,
                settings.max_new_tokens(dialogue),
                request_seed(settings.seed, dialogue.id),
                renderer.messages(dialogue) if settings.by_messages else (),
                dialogue.text,
            )
            for dialogue, row in zip(dialogues, rows, strict=True)
        ]
        stop_id = renderer.stop_id
        for output in self.engine.generate(requests, stop_id=stop_id, decoding=settings.decoding, done=done):
            if (output.index, output.sample) in done:
                continue
            dialogue = dialogues[output.index]
            yield (
                output.index,
                Prediction(
                    dialogue.id,
                    dialogue_hash(dialogue.text),
                    renderer.decode(output.token_ids) if output.text is None else output.text,
                    len(output.token_ids) or output.tokens,
                    output.finish_reason,
                    output.sample,
                    None if output.logprob is None else round(output.logprob, _LOGPROB_DECIMALS),
                ),
            )

    def stream(
        self, dialogues: Sequence[Dialogue], *, long: Long = "truncate", length: int | None = None
    ) -> Iterator[tuple[int, Summary]]:
        """Yield summaries with the index of their dialogue, as soon as they are finished, in any order.

        Of several candidates, the one that agrees best with the others is chosen (minimum Bayes risk, by the
        competition's score).

        Args:
            dialogues: shape (n,).
            long: a dialogue that is too long for the prompt loses turns (``truncate``), as in the training; or its
                windows are summarised, and their summaries listed or merged. Then `Summary.parts` has them.
            length: the length to ask for, of a summary or of each part, see `asking_for`.

        Raises:
            PromptError: prompts do not fit, a line for each reason; or the prompt asks for no length. Nothing was
                generated.
            GenerationError: the engine failed.
        """
        if length is not None:
            yield from self.asking_for(length).stream(dialogues, long=long)
            return
        if long == "truncate":
            yield from self._stream(dialogues, self.renderer)
            return
        merge = None
        if long == "merge":
            renderer = self.renderer if self._long.merge is None else self._long.merge()
            merge = Merging(
                lambda texts: self._stream(texts, renderer), lambda texts: self._long.groups(texts, renderer)
            )
        windows = [self.windows(dialogue) for dialogue in dialogues]
        yield from stream_long(dialogues, windows, lambda parts: self._stream(parts, self.renderer), merge)

    def summarize(
        self, dialogues: Sequence[Dialogue], *, long: Long = "truncate", length: int | None = None
    ) -> list[Summary]:
        """Return the summaries of all dialogues in their order, shape (n,); arguments as for `stream`."""
        by_index = dict(self.stream(dialogues, long=long, length=length))
        return [by_index[index] for index in range(len(dialogues))]

    def windows(self, dialogue: Dialogue) -> list[Window]:
        """Return the windows in which a dialogue is summarised unless it is truncated; one if it fits.

        Raises:
            PromptError: the instruction alone is too long.
        """
        return self._long.windows(dialogue, self.renderer)

    def asking_for(self, length: int) -> Self:
        """Return a summarizer with the same engine, whose prompt asks for a length; close only one of both.

        Args:
            length: in characters. The nearest one that the model was trained on is used.

        Raises:
            PromptError: the prompt does not ask for a length.
        """
        other = copy.copy(self)
        other.renderer = self.renderer.asking_for(length)
        return other

    def using(self, engine: Engine) -> Self:
        """Return a summarizer with another engine, such as a view of a live engine; this one keeps its own."""
        other = copy.copy(self)
        other.engine = engine
        return other

    def render(self, dialogues: Sequence[Dialogue]) -> list[TokenizedExample]:
        """Return the prompts of dialogues, shape (n,).

        Raises:
            PromptError: some do not fit, or the model cannot read them; a line for each reason.
        """
        return self._render(dialogues, self.renderer)

    def _stream(self, dialogues: Sequence[Dialogue], renderer: Renderer) -> Iterator[tuple[int, Summary]]:
        rows = self._render(dialogues, renderer)
        if self._prove is not None and len(rows) * self.settings.decoding.n >= WORTH_PROVING:
            self._prove([row.prompt_ids for row in rows[:PROMPTS_OF_A_PROOF]])
            self._prove = None
        candidates: dict[int, list[Prediction]] = {}
        for index, prediction in self._predict(dialogues, rows, (), renderer):
            predictions = candidates.setdefault(index, [])
            predictions.append(prediction)
            if len(predictions) == self.settings.decoding.n:
                predictions.sort(key=lambda candidate: candidate.sample)
                repeated = [dialogues[index]] * len(predictions)
                finished = RawTexts.of(predictions, repeated).finish(self._post, self._limits)
                best = best_candidate(finished.texts)
                yield index, Summary(finished.texts[best], predictions[best], finished.changed_by(best))
                del candidates[index]

    def _render(self, dialogues: Sequence[Dialogue], renderer: Renderer) -> list[TokenizedExample]:
        renderer.prepare(dialogues)
        rows, refused = render_rows(renderer, ((dialogue, None) for dialogue in dialogues))
        if lines := [reason.line() for reason in refused] or self._unreadable(rows):
            raise PromptError("\n".join(lines))
        return rows

    def close(self) -> None:
        """Free memory and end processes.

        Raises:
            GenerationError: a server gave no answer for some dialogues.
        """
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
