"""The one renderer: a dialogue becomes `prompt_ids`; with a summary, also `answer_ids`.

Training and every engine take these ids, so the prompt that was trained is the prompt that is asked.

Ids of a training row::

    [BOS] prompt ...... | answer ...... stop
    labels: -100 ...... | answer ...... stop

The prompt and the answer are tokenized apart: a token never spans the boundary, and the ids for training
begin with the ids for generation. A prompt that is too long loses whole turns, never the instruction, the
last turn or the answer. Special tokens come from the model's and our templates alone: a dialogue or summary
that holds ``<eos>`` holds five characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llm_summ.data import Dialogue
from llm_summ.errors import PromptError
from llm_summ.prompt.template import Template, load_template
from llm_summ.recipe import PromptFields

__all__ = ["IGNORED", "Renderer", "Row", "make_renderer"]

IGNORED = -100
"""The label of a token that is not learnt: PyTorch's default `ignore_index`."""

_SENTINEL = "\u2042answer\u2042"
_HIDDEN = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class Row:
    """A dialogue as token ids.

    Attributes:
        id: the dialogue's id.
        prompt_ids: shape (p,).
        answer_ids: shape (a,), without the stop id; empty for generation.
        stop_id: ends the answer.
        dropped_turns: how many turns the prompt lacks because it was too long.
    """

    id: str
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    stop_id: int
    dropped_turns: int = 0

    @property
    def input_ids(self) -> list[int]:
        """Prompt, answer and stop id; shape (p + a + 1,)."""
        return [*self.prompt_ids, *self.answer_ids, self.stop_id]

    @property
    def labels(self) -> list[int]:
        """`input_ids` with the prompt ignored; shape (p + a + 1,)."""
        return [IGNORED] * len(self.prompt_ids) + [*self.answer_ids, self.stop_id]


class Renderer:
    """Renders dialogues for one tokenizer and one template.

    Args:
        tokenizer: a transformers tokenizer.
        template: a prompt template.
        chat: whether to use the tokenizer's chat template: "auto" uses it if there is one.
        max_prompt_tokens: a longer prompt loses turns.
        max_answer_tokens: a longer answer is an error, since a cut one teaches to stop in mid-sentence.
        truncation: which turns go first; "error" refuses instead.

    Raises:
        PromptError: "always" without a chat template, or no token that could end an answer.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        *,
        chat: Literal["auto", "always", "never"] = "auto",
        max_prompt_tokens: int = 1024,
        max_answer_tokens: int = 256,
        truncation: Literal["middle", "head", "tail", "error"] = "middle",
    ) -> None:
        self._tokenizer = tokenizer
        self.template = template
        self._max_prompt, self._max_answer, self._truncation = (
            max_prompt_tokens,
            max_answer_tokens,
            truncation,
        )
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not has_template:
            raise PromptError(
                "prompt.chat is always, but this model's tokenizer has no chat template; set it to auto"
            )
        self.uses_chat = has_template and chat != "never"
        self._bos = self._leading_bos()
        pad_id = tokenizer.pad_token_id
        self.stop_id = self._find_stop_id()
        self.pad_id = int(pad_id) if pad_id is not None else self.stop_id
        self._to_hide = self._special_text()
        # Some tokenizers put a space before any text, and not all of them take it away again.
        self._prefix = self._decode(self._encode("a", special_tokens=False)).removesuffix("a")

    def prompt(self, dialogue: Dialogue) -> Row:
        """The row for generation: no answer.

        Raises:
            PromptError: the prompt is too long, and `truncation` is "error" or one turn alone does not fit.
        """
        ids = self._prompt_ids(dialogue)
        if len(ids) <= self._max_prompt:
            return Row(dialogue.id, ids, (), self.stop_id)
        if self._truncation == "error":
            raise PromptError(
                f"{dialogue.id}: prompt of {len(ids)} tokens, at most {self._max_prompt} allowed; "
                "raise prompt.max_prompt_tokens or set prompt.truncation to middle"
            )
        # Blank lines say nothing: they go first, and none of them passes for the last turn.
        turns = tuple(turn for turn in dialogue.turns if turn.strip())
        # The more turns are kept the longer the prompt: find the largest number that fits.
        fits, too_many, best = 0, len(turns) + 1, ids
        while too_many - fits > 1:
            kept = (fits + too_many) // 2
            candidate = self._prompt_ids(replace(dialogue, text="\n".join(self._keep(turns, kept))))
            if len(candidate) <= self._max_prompt:
                fits, best = kept, candidate
            else:
                too_many = kept
        if not fits:
            raise PromptError(
                f"{dialogue.id}: the instruction and one turn are over {self._max_prompt} tokens; "
                "raise prompt.max_prompt_tokens"
            )
        return Row(dialogue.id, best, (), self.stop_id, len(turns) - fits)

    def example(self, dialogue: Dialogue, summary: str) -> Row:
        """The row for training.

        Raises:
            PromptError: as `prompt`, or the answer has more than `max_answer_tokens` tokens.
        """
        answer = tuple(self._encode(self.template.answer(summary), special_tokens=False))
        if len(answer) >= self._max_answer:
            raise PromptError(
                f"{dialogue.id}: answer of {len(answer) + 1} tokens, at most {self._max_answer} allowed; "
                "raise prompt.max_answer_tokens or shorten the summary"
            )
        return replace(self.prompt(dialogue), answer_ids=answer)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, up to the stop id, without special tokens.

        The tokenizer's clean-up stays off: it breaks ``#Person1#`` into pieces.
        """
        ids = list(ids)
        if self.stop_id in ids:
            ids = ids[: ids.index(self.stop_id)]
        return self._decode(ids).removeprefix(self._prefix)

    def _keep(self, turns: tuple[str, ...], kept: int) -> tuple[str, ...]:
        """`kept` of the turns; the last always stays."""
        if self._truncation == "head":
            return turns[len(turns) - kept :]
        front = kept - 1 if self._truncation == "tail" else kept // 2
        return turns[:front] + turns[len(turns) - (kept - front) :]

    def _prompt_ids(self, dialogue: Dialogue) -> tuple[int, ...]:
        hidden: list[str] = []

        def hide(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue000{len(hidden) - 1}\ue001"

        messages = self.template.messages(dialogue, lambda text: self._to_hide.sub(hide, text))
        if not self.uses_chat:
            text = "\n\n".join(message["content"] for message in messages) + "\n"
        else:
            text = self._chat(messages, add_generation_prompt=True)
        # Only a text with something hidden comes in several parts. (Tokenizers that put a space before any text
        # then put one before each part.)
        ids: list[int] = []
        for position, part in enumerate(_HIDDEN.split(text)):  # text, number, text, number, …, text
            is_number = position % 2 == 1
            ids += self._encode(hidden[int(part)] if is_number else part, special_tokens=not is_number)
        # A chat template may write BOS itself; there is exactly one either way.
        if self._bos is not None and ids[:1] != [self._bos]:
            ids.insert(0, self._bos)
        return tuple(ids)

    def _encode(self, text: str, *, special_tokens: bool) -> list[int]:
        """Token ids of `text`; without `special_tokens`, what looks like one is text as any other."""
        return list(
            self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special_tokens)
        )

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _chat(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        # `enable_thinking` is read by Qwen3's template, and ignored by those that do not know it.
        options: dict[str, Any] = {
            "tokenize": False,
            "add_generation_prompt": add_generation_prompt,
            "enable_thinking": False,
        }
        try:
            return str(self._tokenizer.apply_chat_template(messages, **options))
        except TemplateError as error:
            if messages[0]["role"] != "system":
                raise PromptError(f"the model's chat template refuses this prompt: {error.message}") from error
        # Some models (Gemma 2) have no system role: the instruction then opens the user's message.
        system, user, *rest = messages
        joined = {"role": "user", "content": f"{system['content']}\n\n{user['content']}"}
        return self._chat([joined, *rest], add_generation_prompt=add_generation_prompt)

    def _leading_bos(self) -> int | None:
        bos = self._tokenizer.bos_token_id
        return (
            bos if bos is not None and self._tokenizer.encode("", add_special_tokens=True)[:1] == [bos] else None
        )

    def _find_stop_id(self) -> int:
        """What ends an assistant's turn: the first special token that the chat template writes behind it."""
        if self.uses_chat:
            special = set(self._tokenizer.all_special_ids)
            # White space can be an added token too (Gemma's line feeds); it ends nothing.
            special |= {token for token, added in self._added_tokens().items() if added.content.strip()}
            turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SENTINEL}]
            after = self._chat(turn, add_generation_prompt=False).partition(_SENTINEL)[2]
            for token in self._encode(after, special_tokens=True):
                if token in special:
                    return token
        if self._tokenizer.eos_token_id is None:
            raise PromptError("this model's tokenizer has no end-of-sequence token; an answer could never end")
        return int(self._tokenizer.eos_token_id)

    def _special_text(self) -> re.Pattern[str]:
        """Finds what a dialogue must not smuggle in: special tokens, and the mark that stands for one."""
        texts = {added.content for added in self._added_tokens().values() if added.special}
        texts |= {"\ue000", *self._tokenizer.all_special_tokens}
        return re.compile("|".join(map(re.escape, sorted(filter(str.strip, texts), key=len, reverse=True))))

    def _added_tokens(self) -> dict[int, Any]:
        return dict(getattr(self._tokenizer, "added_tokens_decoder", {}))


def make_renderer(fields: PromptFields, tokenizer: Any) -> Renderer:
    """The renderer that a recipe describes.

    Raises:
        PromptError: the template cannot be had, or not be used with this tokenizer.
    """
    return Renderer(
        tokenizer,
        load_template(fields.template),
        chat=fields.chat,
        max_prompt_tokens=fields.max_prompt_tokens,
        max_answer_tokens=fields.max_answer_tokens,
        truncation=fields.truncation,
    )
