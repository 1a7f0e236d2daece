"""Examples for few-shot prompts: the training dialogues most similar to the dialogue to summarise.

Similarity is BM25 (Robertson & Zaragoza 2009, https://doi.org/10.1561/1500000019), in the variant of Lucene with
k1 = 1.5 and b = 0.75, over mecab-ko morphemes, as the library bm25s computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from llm_summ.core.errors import PromptError
from llm_summ.core.optional_packages import require
from llm_summ.core.progress import Progress
from llm_summ.core.word_tokenizers import mecab_tokenizer
from llm_summ.data import Dialogue, dialogue_hash

__all__ = ["ExamplePool"]


class ExamplePool:
    """A pool of dialogues with summaries that can be examples.

    Of dialogues with equal texts only the first is an example. The index is made when it is first needed.

    Args:
        dialogues: training dialogues; the first reference is the example's summary.

    Raises:
        PromptError: the pool is empty, or a dialogue has no reference.
        MissingPackageError: bm25s is not installed.
    """

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        require("bm25s", extra="train", why="prompt.examples")
        if not dialogues:
            raise PromptError("no dialogue to take examples from; prompt.examples needs training dialogues")
        for dialogue in dialogues:
            if not any(reference.strip() for reference in dialogue.references[:1]):
                raise PromptError(f"{dialogue.id}: no summary; prompt.examples needs one for every dialogue")
        self._all = tuple(dialogues)
        by_text: dict[str, Dialogue] = {}
        for dialogue in dialogues:
            by_text.setdefault(_text_key(dialogue), dialogue)
        self._distinct = tuple(by_text.values())
        self._of_text = {key: number for number, key in enumerate(by_text)}
        self._of_id: dict[str, list[int]] = {}
        for number, dialogue in enumerate(self._distinct):
            self._of_id.setdefault(dialogue.id, []).append(number)

    @property
    def dialogues(self) -> tuple[Dialogue, ...]:
        """The pool's dialogues, in order; an equal pool can be made from them."""
        return self._all

    def similar(self, dialogue: Dialogue, k: int) -> list[Dialogue]:
        """Return the `k` most similar dialogues, the most similar first; ties keep the order of the pool.

        The dialogue itself is left out: every one with its id or, ignoring white space, its text. There are fewer
        than `k` if the pool has fewer.
        """
        import numpy as np

        # Query terms are deduplicated: this BM25 ignores query frequency, and the search is 3 times faster.
        distinct = dict.fromkeys(mecab_tokenizer()(dialogue.text))
        index, numbers = self._index
        scores = index.get_scores_from_ids([numbers[word] for word in distinct if word in numbers])
        itself = {*self._of_id.get(dialogue.id, ()), *self._numbers_of_text(dialogue)}
        scores[list(itself)] = -np.inf
        k = min(k, len(scores) - len(itself))
        if k <= 0:
            return []
        # bm25s' own top-k selection breaks ties arbitrarily.
        least = np.partition(scores, -k)[-k]
        candidates = np.flatnonzero(scores >= least)
        best = candidates[np.argsort(-scores[candidates], kind="stable")][:k]
        return [self._distinct[number] for number in best]

    def similar_all(self, dialogues: Sequence[Dialogue], k: int) -> list[list[Dialogue]]:
        """Call `similar` for many dialogues, with a progress bar; each takes about 1 ms in a pool of 12,457."""
        examples = []
        with Progress("Finding examples", len(dialogues)) as progress:
            self._index  # noqa: B018 - the bar's time includes building the index
            for dialogue in dialogues:
                examples.append(self.similar(dialogue, k))
                progress.advance()
        return examples

    def _numbers_of_text(self, dialogue: Dialogue) -> list[int]:
        number = self._of_text.get(_text_key(dialogue))
        return [] if number is None else [number]

    @cached_property
    def _index(self) -> tuple[Any, dict[str, int]]:
        """The library's index, and the number of every morpheme in it."""
        import bm25s

        tokenizer = mecab_tokenizer()
        numbers: dict[str, int] = {}
        # A text can have no morphemes, and the library fails if all texts have none: add an empty one to each.
        texts = [["", *tokenizer(dialogue.text)] for dialogue in self._distinct]
        numbered = [[numbers.setdefault(word, len(numbers)) for word in text] for text in texts]
        index = bm25s.BM25(backend="numpy")
        index.index((numbered, numbers), show_progress=False)
        return index, numbers


def _text_key(dialogue: Dialogue) -> str:
    """Return a key that is equal for texts that differ only in white space, including line ends."""
    return dialogue_hash("".join(dialogue.text.split()))
