"""The pipeline from dialogues to summaries: render, generate, decode, choose a candidate, post-process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import Self

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue, dialogue_hash
from llm_summ.generate.engine import Engine, Key, Request
from llm_summ.generate.length_choice import NearestLength
from llm_summ.generate.opening import ModelChecks
from llm_summ.generate.proof import PROMPTS_OF_A_PROOF, WORTH_PROVING
from llm_summ.generate.settings import GenerationSettings, request_seed
from llm_summ.generate.summary import Summary, best_candidate
from llm_summ.post.limits import LengthLimits
from llm_summ.predictions.finished import RawTexts
from llm_summ.predictions.prediction import Prediction
from llm_summ.prompt import Renderer, TokenizedExample, render_rows
from llm_summ.recipe import PostStep

__all__ = ["Pipeline"]

_LOGPROB_DECIMALS = 2  # further decimals depend on the rest of the batch


class Pipeline:
    """An engine, the prompt that its model was trained on, and the post-processing of its texts.

    `predict` yields raw texts, for callers that store them; `finished` yields finished summaries.

    Args:
        engine: already started. `close` closes it.
        renderer: renders the prompts, and decodes what is generated.
        settings: how texts are generated.
        post: the steps of post-processing.
        limits: of the step ``cut_to_limit``.
        checks: of the prompts, and of the engine: once, before many texts are generated.
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
    ) -> None:
        self.engine, self.renderer, self.settings = engine, renderer, settings
        self._post, self._limits = tuple(post), limits
        checks = checks or ModelChecks()
        self._unreadable, self._prove = checks.unreadable, checks.prove
        self.nearest: NearestLength | None = None  # chooses among candidates; None: by agreement

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

    def render(self, dialogues: Sequence[Dialogue]) -> list[TokenizedExample]:
        """Return the prompts of dialogues, shape (n,).

        Raises:
            PromptError: some do not fit, or the model cannot read them; a line for each reason.
        """
        return self._render(dialogues, self.renderer)

    def finished(self, dialogues: Sequence[Dialogue], renderer: Renderer) -> Iterator[tuple[int, Summary]]:
        """Yield finished summaries with the index of their dialogue, in any order; windows are not made here.

        Args:
            dialogues: shape (n,).
            renderer: renders their prompts.

        Raises:
            PromptError: prompts do not fit; a line for each reason.
            GenerationError: the engine failed.
        """
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
                best = (
                    best_candidate(finished.texts)
                    if self.nearest is None
                    else self.nearest.choose(dialogues[index], predictions, finished.texts)
                )
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
