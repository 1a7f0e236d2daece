"""The single renderer: converts a dialogue into `prompt_ids`, and a summary into `completion_ids`.

Training and every engine use these ids, so generation uses exactly the prompt of the training.

Ids of a training row (the targets are the completion's ids and the stop id)::

    [BOS] prompt ...... | completion ...... stop

An encoder-decoder has other tokens around both texts: `llm_summ.prompt.frame`. The model's family makes its inputs
from them (one sequence, labels, padding): `llm_summ.models.families`.

The prompt and the completion are tokenized separately: a token never spans the boundary, and the ids for training
begin with the ids for generation. A prompt that is too long loses its examples, then whole turns, but never the
instruction, the last turn or the completion. Special tokens come only from the model's template and ours:
``<eos>`` in a dialogue or summary is encoded as five characters.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.frame import Frame
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.shortening import kept_turns, most_that_fit
from llm_summ.prompt.template import Template, load_template
from llm_summ.prompt.template_variables import check_variables
from llm_summ.prompt.tokenization import PromptTokenizer
from llm_summ.prompt.tokenized_example import TokenizedExample
from llm_summ.recipe import PromptFields

__all__ = ["Renderer", "make_renderer"]


class Renderer:
    """Renders dialogues for one tokenizer and one template; equal arguments always give equal rows.

    Args:
        tokenizer: a transformers tokenizer.
        template: a prompt template; the one that `fields` names is not read.
        fields: the recipe's section `prompt`. A prompt that is longer than `max_prompt_tokens` loses examples (the
            least similar first), then turns, as `truncation` says. A completion that is longer than
            `max_answer_tokens` with its stop id is an error, since a cut one would train the model to stop in
            mid-sentence.
        examples: the pool of examples.
        length: predicts the length that the prompt asks for.
        frame: the tokens around source and target of an encoder-decoder; None: a decoder.

    Raises:
        PromptError: `chat` is "always" without a chat template, no token could end a completion, or the template
            uses examples or a length without the arguments for them, or the reverse.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        fields: PromptFields | None = None,
        *,
        examples: ExamplePool | None = None,
        length: LengthTarget | None = None,
        frame: Frame | None = None,
    ) -> None:
        fields = fields or PromptFields()
        self.template, self.frame = template, frame
        self.max_prompt_tokens, self.max_answer_tokens = fields.max_prompt_tokens, fields.max_answer_tokens
        self._truncation = fields.truncation
        check_variables(template, examples, fields.examples, length)
        self._pool = examples if fields.examples else None
        self._example_count, self._max_examples_tokens = fields.examples, fields.max_examples_tokens
        self._length = length if template.uses("length") else None
        self._tokenizer = PromptTokenizer(tokenizer, fields.chat, frame)
        self.uses_chat = self._tokenizer.uses_chat
        self.stop_id, self.pad_id = self._tokenizer.stop_id, self._tokenizer.pad_id
        self.before_completion = self._tokenizer.before_completion
        # Caches: they save repeated work and change no row.
        self._similar: dict[Dialogue, list[Dialogue]] = {}
        self._example_tokens: dict[Dialogue, int] = {}

    def prepare(self, dialogues: Sequence[Dialogue]) -> None:
        """Find the examples of many dialogues at once, with a progress bar; without it `prompt` finds them.

        It changes no row, and does nothing for a prompt without examples.
        """
        new = [dialogue for dialogue in dialogues if dialogue not in self._similar]
        if self._pool is not None and new:
            self._similar.update(zip(new, self._pool.similar_all(new, self._example_count), strict=True))

    def prompt(self, dialogue: Dialogue, *, target_length: int | None = None) -> TokenizedExample:
        """Return the row for generation, without a completion.

        Args:
            dialogue: its references are not used.
            target_length: the length to ask for in characters; by default what the length target predicts.

        Raises:
            PromptError: the prompt is too long, and `truncation` is "error" or one turn alone does not fit; or our
                template or the model's fails with this dialogue. The message begins with the dialogue's id.
        """
        if target_length is None and self._length is not None:
            target_length = self._length.predict(dialogue)  # of the whole dialogue, before turns are dropped
        examples = self._examples(dialogue)

        def shorter(count: int) -> tuple[int, ...]:
            # The most similar example is last, next to the dialogue to summarise.
            return self._prompt_ids(dialogue, target_length, examples[:count][::-1])

        ids = shorter(len(examples))
        if len(ids) <= self.max_prompt_tokens:
            return self._row(dialogue, ids, examples=len(examples))
        if examples:
            ids = shorter(0)
            if len(ids) <= self.max_prompt_tokens:
                # All were too many; search from one less than all.
                count, fitting = most_that_fit(len(examples) - 1, shorter, self.max_prompt_tokens) or (0, ids)
                return self._row(dialogue, fitting, examples=count)
        if self._truncation == "error":
            raise PromptError(
                f"{dialogue.id}: prompt of {len(ids)} tokens, at most {self.max_prompt_tokens} allowed; "
                "raise prompt.max_prompt_tokens or set prompt.truncation to middle"
            )
        # Blank lines have no content: drop them first, so that none of them counts as the last turn.
        turns = tuple(turn for turn in dialogue.turns if str(turn).strip())

        def with_turns(count: int) -> tuple[int, ...]:
            kept = kept_turns(turns, count, self._truncation)
            return self._prompt_ids(dialogue.with_turns(kept), target_length, ())

        best = most_that_fit(len(turns), with_turns, self.max_prompt_tokens)
        if best is None:
            raise PromptError(
                f"{dialogue.id}: the instruction and one turn have more than {self.max_prompt_tokens} tokens; "
                "raise prompt.max_prompt_tokens"
            )
        return self._row(dialogue, best[1], dropped_turns=len(turns) - best[0])

    def count_prompt_tokens(self, dialogue: Dialogue) -> int:
        """Return the number of tokens of the prompt with every turn and without examples, however many they are.

        Raises:
            PromptError: our template or the model's fails with this dialogue; the message begins with its id.
        """
        length = self._length.predict(dialogue) if self._length is not None else None
        return len(self._prompt_ids(dialogue, length, ()))

    @property
    def target_lengths(self) -> tuple[int, ...]:
        """The lengths in characters that the prompt can ask for; empty: it asks for none."""
        return () if self._length is None else self._length.targets

    def asking_for(self, length: int) -> Renderer:
        """Return this renderer with a prompt that asks for the same length for every dialogue.

        Args:
            length: in characters; the nearest one that the model was trained on is used, see `LengthTarget`.

        Raises:
            PromptError: the prompt does not ask for a length.
        """
        if self._length is None:
            raise PromptError(
                f"{self.template.path}: does not ask for a length, so none can be chosen; leave the length out, "
                "or train a run with prompt.template length"
            )
        other = copy.copy(self)
        other._length = self._length.only(length)
        return other

    def messages(self, dialogue: Dialogue) -> tuple[tuple[str, str], ...]:
        """Return the prompt as (role, text) pairs, for a server with its own tokenizer and chat template.

        No turn is dropped, no matter how long the prompt is: its number of tokens on the server is unknown.

        Raises:
            PromptError: our template fails with this dialogue; the message begins with its id.
        """
        length = self._length.predict(dialogue) if self._length is not None else None
        made = self.template.messages(dialogue, length=length, examples=self._examples(dialogue)[::-1])
        return tuple((message["role"], message["content"]) for message in made)

    def example(self, dialogue: Dialogue, summary: str) -> TokenizedExample:
        """Return the row for training; the prompt asks for the length of `summary`.

        Raises:
            PromptError: as `prompt`, or the completion has over `max_answer_tokens` tokens or contains the stop
                token.
        """
        try:
            completion = self._completion_ids(summary)
        except PromptError as error:
            raise PromptError(f"{dialogue.id}: {error}") from error
        if len(completion) >= self.max_answer_tokens:
            raise PromptError(
                f"{dialogue.id}: completion of {len(completion) + 1} tokens, at most {self.max_answer_tokens} "
                "allowed; raise prompt.max_answer_tokens or shorten the summary"
            )
        target_length = self._length.of_summary(summary) if self._length is not None else None
        return replace(self.prompt(dialogue, target_length=target_length), completion_ids=completion)

    def completion_tokens(self, summary: str) -> int:
        """Return a summary's number of target tokens, stop id included; `example` limits it."""
        return len(self._completion_ids(summary)) + 1

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, up to the stop id, without special tokens."""
        return self._tokenizer.decode(ids)

    def prompt_text(self, row: TokenizedExample) -> str:
        """Return a row's prompt as text, with the chat template's special tokens.

        A BOS that the tokenizer adds to every text is left out: encoding the text gives the row's ids again.
        """
        return self._tokenizer.written(row.prompt_ids)

    def forget(self) -> None:
        """Drop the dialogues that are kept to save work; a process that never ends would keep too many."""
        self._similar.clear()
        self._tokenizer.forget()

    def _row(
        self, dialogue: Dialogue, ids: tuple[int, ...], *, dropped_turns: int = 0, examples: int = 0
    ) -> TokenizedExample:
        start = None if self.frame is None else self.frame.start_id
        return TokenizedExample(dialogue.id, ids, (), self.stop_id, dropped_turns, examples, start)

    def _examples(self, dialogue: Dialogue) -> list[Dialogue]:
        """Return the examples of a dialogue within `max_examples_tokens`, the most similar first."""
        if self._pool is None:
            return []
        similar = self._similar.get(dialogue)
        if similar is None:
            similar = self._pool.similar(dialogue, self._example_count)
        left = self._max_examples_tokens
        for count, example in enumerate(similar):
            left -= self._count_tokens(example)
            if left < 0:
                return similar[:count]
        return similar

    def _count_tokens(self, example: Dialogue) -> int:
        if example not in self._example_tokens:
            texts = (example.text, example.references[0].strip())
            self._example_tokens[example] = sum(len(self._tokenizer.encode(text)) for text in texts)
        return self._example_tokens[example]

    def _prompt_ids(self, dialogue: Dialogue, length: int | None, examples: Sequence[Dialogue]) -> tuple[int, ...]:
        return self._tokenizer.prompt(
            dialogue.id,
            lambda escape: self.template.messages(dialogue, escape, length=length, examples=examples),
        )

    def _completion_ids(self, summary: str) -> tuple[int, ...]:
        ids = self._tokenizer.completion(self.template.completion(summary))
        if self.stop_id in ids:
            raise PromptError(
                "the completion contains the stop token, and this tokenizer cannot encode it as plain text; "
                "remove it from the summary or the prompt's section answer"
            )
        return ids


def make_renderer(
    fields: PromptFields,
    tokenizer: Any,
    *,
    template: Template | None = None,
    examples: ExamplePool | None = None,
    length: LengthTarget | None = None,
    frame: Frame | None = None,
) -> Renderer:
    """Return the renderer that a recipe describes.

    Args:
        fields: the recipe's section `prompt`.
        tokenizer: a transformers tokenizer.
        template: the template, if it was already read; None reads `fields.template`.
        examples: needed if `fields.examples` is above 0.
        length: needed if the template uses `length`.
        frame: of an encoder-decoder.

    Raises:
        PromptError: the template is unavailable, or cannot be used with this tokenizer and these arguments.
    """
    return Renderer(
        tokenizer,
        template or load_template(fields.template),
        fields,
        examples=examples,
        length=length,
        frame=frame,
    )
