"""Show a training row as the model sees it: masked and trained tokens, and every special token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llm_summ.prompt import TokenizedExample

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["show_row"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MASKED, _TRAINED, _SPECIAL = "dim", "bold green", "reverse"


def show_row(tokenizer: Any, row: TokenizedExample) -> Text:
    """Return a row as coloured text, each part under a heading, so that it is readable without colour too."""
    from rich.text import Text

    text = Text()
    prompt, completion = row.prompt_ids, (*row.completion_ids, row.stop_id)
    for ids, what, style in (
        (prompt, f"prompt, {len(prompt)} tokens, masked", _MASKED),
        (completion, f"completion, {len(completion)} tokens, trained", _TRAINED),
    ):
        text.append(f"[{what}]\n", style="bold")
        for piece, is_special in _pieces(tokenizer, ids):
            text.append(piece, style=f"{style} {_SPECIAL}" if is_special else style)
        text.append("\n")
    return text


def _pieces(tokenizer: Any, ids: Sequence[int]) -> Iterator[tuple[str, bool]]:
    """Yield the text of ids, split at special tokens only: any other token may be half a character."""
    special = set(tokenizer.all_special_ids)
    special |= {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    waiting: list[int] = []
    for token in ids:
        if token in special:
            if waiting:
                yield _decode(tokenizer, waiting), False
                waiting = []
            yield _decode(tokenizer, [token]), True
        else:
            waiting.append(token)
    if waiting:
        yield _decode(tokenizer, waiting), False


def _decode(tokenizer: Any, ids: list[int]) -> str:
    text = str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    # Control characters of a data file must not move the cursor.
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
