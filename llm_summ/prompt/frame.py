"""The tokens that an encoder-decoder expects around its two texts.

The encoder reads the source (the prompt), and the decoder writes the target (the completion)::

    source           before_source ... prompt ...... after_source
    target           [forced_id]   ... completion .. stop
    decoder inputs   start_id      [forced_id] ..... completion

BART has ``<s> prompt </s>``, starts with ``</s>`` and forces ``<s>``; T5 has ``prompt </s>`` and starts with
``<pad>``; mBART-50 has ``language prompt </s>``, starts with ``</s>`` and forces the language.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from pydantic import NonNegativeInt

from llm_summ.core.errors import PromptError
from llm_summ.core.records import one_line, read_model

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The ids around source and target.

    Attributes:
        before_source: ids before the prompt.
        after_source: ids behind the prompt.
        start_id: the first input of the decoder.
        forced_id: the first target; it is always the same, and so it is forced rather than chosen. None: the
            completion begins at once.
    """

    before_source: tuple[NonNegativeInt, ...] = field(metadata={"expected": "token ids"})
    after_source: tuple[NonNegativeInt, ...] = field(metadata={"expected": "token ids"})
    start_id: NonNegativeInt = field(metadata={"expected": "a token id"})
    forced_id: NonNegativeInt | None = field(default=None, metadata={"expected": "a token id, or null"})

    @property
    def before_target(self) -> tuple[int, ...]:
        """The targets before a completion's own tokens."""
        return () if self.forced_id is None else (self.forced_id,)

    def to_json(self) -> str:
        """Return the frame as JSON, on one line."""
        return one_line(self)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            where: the text's name in an error.

        Raises:
            PromptError: the text is not a valid frame.
        """
        return read_model(text, cls, where, "train the run again", PromptError)
