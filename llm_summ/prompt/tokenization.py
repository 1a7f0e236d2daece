"""Conversion of messages to token ids, and of ids to text, with a model's tokenizer and chat template."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

from llm_summ.core.compat.tokenizers import encode_ids, fast_backend, with_special_token
from llm_summ.core.errors import PromptError, first_line
from llm_summ.prompt.frame import Frame
from llm_summ.prompt.jinja_env import FAULTS

__all__ = ["CHAT_DATE", "PromptTokenizer"]

CHAT_DATE = dt.datetime(2024, 7, 26)
"""The date that chat templates get as today: the default of Llama 3's templates.

With the true date, prompts would change from day to day, and differ between training and generation."""

_SYSTEM, _USER, _COMPLETION = (f"\u2042{role}\u2042" for role in ("system", "user", "completion"))
_OPEN_THOUGHT = re.compile(r"<think>\s*\Z")
_HIDDEN = re.compile("\ue000(\\d+)\ue001")
_CACHED_TEXTS = 1 << 15
# Encoding changes settings of a tokenizer's backend, which must not happen while another thread uses it. Several
# renderers may have the same tokenizer, so the lock belongs to the tokenizer.
_LOCKS: weakref.WeakKeyDictionary[Any, threading.RLock] = weakref.WeakKeyDictionary()
_LOCK_OF_LOCKS = threading.Lock()
_PROBE = " 가  나\n\n#Person1#: a.😀"

Messages = list[dict[str, str]]


class PromptTokenizer:
    """Encodes prompts with one tokenizer, with or without its chat template.

    Args:
        tokenizer: a transformers tokenizer.
        chat: whether to use the tokenizer's chat template: "auto" uses it if there is one.
        frame: the tokens around source and target of an encoder-decoder; None: a decoder, which continues the
            prompt.

    Raises:
        PromptError: "always" without a chat template or with a frame, a chat template that fails or leaves out the
            user's message, or no token that could end a completion.
    """

    def __init__(
        self, tokenizer: Any, chat: Literal["auto", "always", "never"], frame: Frame | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self.frame = frame
        if frame is not None and chat == "always":
            raise PromptError(
                "prompt.chat is always, but an encoder-decoder reads a text and not a chat; set it to auto"
            )
        # All references of a dialogue have the same prompt, and augmented data repeat dialogues.
        self._cached = lru_cache(maxsize=_CACHED_TEXTS)(self._encode)
        with _LOCK_OF_LOCKS:
            self._lock = _LOCKS.setdefault(tokenizer, threading.RLock())
        with self._lock:
            self._examine(tokenizer, chat)

    def _examine(self, tokenizer: Any, chat: Literal["auto", "always", "never"]) -> None:
        """Find out how the tokenizer and its chat template work.

        Raises:
            PromptError: as the constructor.
        """
        self._backend = self._find_backend()
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "always" and not has_template:
            raise PromptError(
                "prompt.chat is always, but this model's tokenizer has no chat template; set it to auto"
            )
        self.uses_chat = has_template and chat != "never" and self.frame is None
        self._takes_system = self.uses_chat and self._find_takes_system()
        self._bos = self._leading_bos()
        pad_id = tokenizer.pad_token_id
        self.stop_id = self._find_stop_id()
        self._stop_text = str(tokenizer.convert_ids_to_tokens(self.stop_id))
        self._text_backend = self._find_text_backend()
        self.pad_id = int(pad_id) if pad_id is not None else self.stop_id
        self.before_completion = self._find_before_completion()
        """Text before a completion that is only in a prompt or only in a conversation; empty: no difference."""
        self._to_hide = self._special_text()
        # Some tokenizers add a space before every text, and not all of them remove it when decoding.
        self._prefix = self._decode(self.encode("a")).removesuffix("a")

    def prompt(self, identity: str, messages: Callable[[Callable[[str], str]], Messages]) -> tuple[int, ...]:
        """Return the ids of a prompt, up to the beginning of the completion; shape (p,).

        Args:
            identity: the dialogue's id, for error messages.
            messages: makes the messages. It gets a function that must be applied to every text of the data, to
                hide what would otherwise become a special token.

        Raises:
            PromptError: the model's chat template refuses the messages.
        """
        hidden: list[str] = []

        def hide(match: re.Match[str]) -> str:
            hidden.append(match[0])
            return f"\ue000{len(hidden) - 1}\ue001"

        made = messages(lambda text: self._to_hide.sub(hide, text))
        if not self.uses_chat:
            text = "\n\n".join(message["content"] for message in made) + ("\n" if self.frame is None else "")
        else:
            try:
                text = self._chat(made, add_generation_prompt=True)
            except PromptError as error:
                raise PromptError(f"{identity}: {error}") from error
        # Only a text with something hidden has several parts. (Tokenizers that add a space before every text then
        # add one before each part.)
        ids: list[int] = []
        for position, part in enumerate(_HIDDEN.split(text)):  # text, number, text, number, …, text
            is_number = position % 2 == 1
            ids += self.encode(hidden[int(part)] if is_number else part, special_tokens=not is_number)
        if self.frame is not None:
            return (*self.frame.before_source, *ids, *self.frame.after_source)
        # Add BOS unless the chat template already wrote it.
        if self._bos is not None and ids[:1] != [self._bos]:
            ids.insert(0, self._bos)
        return tuple(ids)

    def completion(self, text: str) -> tuple[int, ...]:
        """Return the ids of a completion, without the stop id; shape (c,)."""
        before = () if self.frame is None else self.frame.before_target
        return (*before, *self._cached(text, False))

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:
        """Return the token ids of `text`; without `special_tokens`, those in it are encoded as plain text."""
        return list(self._cached(text, special_tokens))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids, up to the stop id, without special tokens.

        The tokenizer's clean-up stays off: it breaks ``#Person1#`` into pieces.
        """
        ids = list(ids)
        if self.stop_id in ids:
            ids = ids[: ids.index(self.stop_id)]
        return self._decode(ids).removeprefix(self._prefix)

    def written(self, ids: Sequence[int]) -> str:
        """Return the text of a prompt's ids with its special tokens, but without a BOS that the tokenizer adds."""
        ids = list(ids)
        if self._bos is not None and ids[:1] == [self._bos]:
            del ids[0]
        with self._lock:
            text = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text).removeprefix(self._prefix)

    def forget(self) -> None:
        """Drop the texts that are kept to save work."""
        self._cached.cache_clear()

    def _encode(self, text: str, special_tokens: bool) -> tuple[int, ...]:
        backend = self._backend if special_tokens else self._text_backend
        with self._lock:
            if backend is None:
                return tuple(self._encode_slowly(text, special_tokens))
            return tuple(encode_ids(backend, text, special_tokens=special_tokens))

    def _encode_slowly(self, text: str, special_tokens: bool) -> list[int]:
        return list(
            self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special_tokens)
        )

    def _find_backend(self) -> Any | None:
        """Return the tokenizer's Rust backend, which is twice as fast, if it gives the same ids.

        A Python tokenizer has no backend, and a fast tokenizer can do more than its backend does.
        """
        backend = fast_backend(self._tokenizer)
        if backend is None:
            return None
        probe = _PROBE.join(["", *map(str, self._tokenizer.all_special_tokens), ""])
        same = all(
            encode_ids(backend, probe, special_tokens=special) == self._encode_slowly(probe, special)
            for special in (True, False)
        )
        return backend if same else None

    def _find_text_backend(self) -> Any | None:
        """Return the backend for the texts of the data, which encodes the stop token's text as plain text.

        Tokenizers can encode special tokens as plain text, but a chat template can end a turn with an added token
        that is not special. Then the text backend is a copy in which it is special; the tokenizer itself is
        unchanged.
        """
        if self._backend is None or self.stop_id not in encode_ids(
            self._backend, self._stop_text, special_tokens=False
        ):
            return self._backend
        return with_special_token(self._backend, self.stop_id)

    def _decode(self, ids: list[int]) -> str:
        with self._lock:
            text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _chat(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        """Return the text of a conversation in the model's chat template."""
        if messages[0]["role"] == "system" and not self._takes_system:
            system, user, *rest = messages
            messages = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]
        text = self._apply(messages, add_generation_prompt=add_generation_prompt)
        # A template with thinking always on ends with an open block, and the summary would become part of it.
        return _OPEN_THOUGHT.sub("<think>\n\n</think>\n\n", text) if add_generation_prompt else text

    def _apply(self, messages: Messages, *, add_generation_prompt: bool = True) -> str:
        # Templates ignore names that they do not know: `enable_thinking` is Qwen3's. `strftime_now` replaces the
        # function that transformers gives to every template, which returns the true date.
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=False,
                date_string=CHAT_DATE.strftime("%d %b %Y"),
                strftime_now=CHAT_DATE.strftime,
            )
        except FAULTS as error:
            raise PromptError(f"the model's chat template refuses this prompt: {first_line(error)}") from error
        return str(text)

    def _find_takes_system(self) -> bool:
        """Return whether the chat template has a system role.

        Some templates refuse it (Gemma 2), and some leave its message out. Then the instruction is put at the
        beginning of the user's message.
        """
        with contextlib.suppress(PromptError):
            text = self._apply([{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}])
            if _SYSTEM in text and _USER in text:
                return True
        text = self._apply([{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}])
        if not (_SYSTEM in text and _USER in text):
            raise PromptError("the model's chat template leaves out the user's message; set prompt.chat to never")
        return False

    def _leading_bos(self) -> int | None:
        bos = self._tokenizer.bos_token_id
        return (
            bos if bos is not None and self._tokenizer.encode("", add_special_tokens=True)[:1] == [bos] else None
        )

    def _find_stop_id(self) -> int:
        """Return the id that ends an assistant's turn: the first special token after it in the chat template."""
        if self.uses_chat:
            special = set(self._tokenizer.all_special_ids)
            # White space can be an added token too (Gemma's line feeds), but it does not end a turn.
            special |= {token for token, added in self._added_tokens().items() if added.content.strip()}
            turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _COMPLETION}]
            after = self._chat(turn, add_generation_prompt=False).partition(_COMPLETION)[2]
            for token in self.encode(after, special_tokens=True):
                if token in special:
                    return token
        if self._tokenizer.eos_token_id is None:
            raise PromptError("this model's tokenizer has no end-of-sequence token; a completion could never end")
        return int(self._tokenizer.eos_token_id)

    def _find_before_completion(self) -> str:
        """Return the text before a completion that is only in a conversation, or else only in a prompt."""
        if not self.uses_chat:
            return ""
        user = {"role": "user", "content": "?"}
        prompt = self._chat([user], add_generation_prompt=True)
        answered = [user, {"role": "assistant", "content": _COMPLETION}]
        conversation = self._chat(answered, add_generation_prompt=False).partition(_COMPLETION)[0]
        pairs = zip(prompt, conversation, strict=False)
        common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        return conversation[common:] or prompt[common:]

    def _special_text(self) -> re.Pattern[str]:
        """Return a pattern of what a dialogue must not inject: special tokens, the stop token, the hiding mark."""
        texts = {added.content for added in self._added_tokens().values() if added.special}
        texts |= {"\ue000", self._stop_text, *self._tokenizer.all_special_tokens}
        return re.compile("|".join(map(re.escape, sorted(filter(str.strip, texts), key=len, reverse=True))))

    def _added_tokens(self) -> dict[int, Any]:
        return dict(getattr(self._tokenizer, "added_tokens_decoder", {}))
