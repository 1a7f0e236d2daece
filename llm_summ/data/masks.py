"""Personal data and masks: ``#PhoneNumber#`` in a dialogue instead of the number, and the number in its summary.

::

    masked(dialogue)         the dialogue with masks, and a `MaskMap`
    unmask(summary, masks)   the values in place of the masks, with the particles that they want

A kind of which a dialogue has one value has the competition's token, ``#PhoneNumber#``. If it has several, or the
token itself already, a number follows each: ``#PhoneNumber#(1)``, ``#PhoneNumber#(2)``. So a model sees the token
that it was trained on, and the right value returns. A token that could be any of several values is not replaced.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from llm_summ.data.dialogue import Dialogue, Turn
from llm_summ.data.mask_rules import PersonalData, find_personal_data
from llm_summ.data.particles import PARTICLE, fitting
from llm_summ.data.word_finder import LONGEST_WORD, WordFinder

__all__ = ["Mask", "MaskMap", "mask_tokens", "masked", "masked_text", "unmask", "unresolved_masks"]

_KINDS = "PhoneNumber|Address|DateOfBirth|PassportNumber|CardNumber|Email|CarNumber|SSN|PersonName"
_TOKEN = re.compile(rf"(?P<plain>#(?:{_KINDS})#)(?: ?(?P<number>\([0-9]+\)))?")
_TOKEN_WITH_PARTICLE = re.compile(rf"{_TOKEN.pattern}(?P<particle>{PARTICLE})?")
_SPOKEN = {ord(syllable): digit for syllable, digit in zip("공영일이삼사오육칠팔구", "00123456789", strict=True)}
_NO_LETTER_BEFORE, _NO_LETTER = "(?<![0-9A-Za-z])", "(?![0-9A-Za-z])"
_SPEAKABLE = frozenset({"PhoneNumber", "CardNumber", "SSN", "PassportNumber"})


class Mask(NamedTuple):
    """A mask and what it stands for."""

    token: str
    value: str


@dataclass(frozen=True, slots=True)
class MaskMap:
    """The masks of a dialogue, in the order in which their values occur. Its `repr` shows no value.

    Attributes:
        masks: one for each value.
    """

    masks: tuple[Mask, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many values of each kind were masked, for reports."""
        return dict(Counter(mask.token.split("#")[1] for mask in self.masks))

    def __repr__(self) -> str:
        return f"MaskMap({self.counts})"


class _Masker:
    """Gives every value its mask."""

    def __init__(self, written: str, found: Sequence[tuple[str, str]]) -> None:
        """Give the values numbers where a kind has several.

        Args:
            written: all texts of the dialogue; their masks are not used again.
            found: kind and value of each piece of personal data, in order.
        """
        used = mask_tokens(written)
        self._values: dict[tuple[str, str], str] = {}
        for kind, value in found:
            self._values.setdefault(_key(kind, value), value)
        several = Counter(kind for kind, _ in self._values)
        self._tokens: dict[tuple[str, str], str] = {}
        numbers = {kind: count(1) for kind in several}
        for key in self._values:
            plain = f"#{key[0]}#"
            if several[key[0]] == 1 and not any(token.startswith(plain) for token in used):
                self._tokens[key] = plain
                continue
            self._tokens[key] = next(
                token for number in numbers[key[0]] if (token := f"{plain}({number})") not in used
            )

    def masks(self) -> tuple[Mask, ...]:
        return tuple(Mask(self._tokens[key], value) for key, value in self._values.items())

    def masked(self, text: str, found: Sequence[PersonalData]) -> str:
        """Return the text with masks in place of what was found in it."""
        parts, end = [], 0
        for data in found:
            parts += [text[end : data.start], self._tokens[_key(data.kind, text[data.start : data.end])]]
            end = data.end
        return "".join([*parts, text[end:]])


def masked(dialogue: Dialogue) -> tuple[Dialogue, MaskMap]:
    """Return a dialogue with masks in place of personal data, and what they stand for.

    Turns, speakers, references and the topic are masked; the id is not. `mask_rules.py` finds phone numbers,
    numbers of cards, accounts (``#CardNumber#``), residents, passports and cars, e-mail and postal addresses and
    dates of birth. Names are not masked, see `speakers.py`. A value that is written in two ways has one mask
    (``010-1234-5678``, ``01012345678``). What is personal data once is so wherever it occurs, up to 100 letters.
    """
    turns = dialogue.turns
    words = "\n".join(turn.text for turn in turns)
    others = [text for turn in turns for text in (turn.speaker, turn.label) if text]
    others += [*dialogue.references, *([dialogue.topic] if dialogue.topic else [])]

    by_rules = [*find_personal_data(words)]
    kinds = {words[data.start : data.end]: data.kind for data in by_rules}
    finder = WordFinder([value for value in kinds if len(value) <= LONGEST_WORD], _NO_LETTER_BEFORE, _NO_LETTER)

    def with_known(text: str, found_here: Sequence[PersonalData]) -> list[PersonalData]:
        known = [
            PersonalData(kinds[value], behind.start() - len(value), behind.start())
            for value, behind in finder.find(text)
        ]
        return _in_order(text, known, found_here)

    in_turns = with_known(words, by_rules)
    in_others = {text: with_known(text, [*find_personal_data(text)]) for text in dict.fromkeys(others)}
    found = [(data.kind, words[data.start : data.end]) for data in in_turns]
    found += [(data.kind, text[data.start : data.end]) for text, data_of in in_others.items() for data in data_of]
    if not found:
        return dialogue, MaskMap()

    masker = _Masker("\n".join([dialogue.text, *others]), found)

    def other(text: str | None) -> str | None:
        return masker.masked(text, in_others[text]) if text else text

    def with_masks() -> Iterator[Turn]:
        start, rest = 0, deque(in_turns)
        for turn in turns:
            end = start + len(turn.text)
            here = []
            while rest and rest[0].start < end:
                data = rest.popleft()
                here.append(PersonalData(data.kind, data.start - start, data.end - start))
            text = masker.masked(turn.text, here)
            yield turn._replace(speaker=other(turn.speaker), label=other(turn.label), text=text)
            start = end + 1

    references = tuple(masker.masked(text, in_others[text]) if text else text for text in dialogue.references)
    changed = replace(dialogue.with_turns([*with_masks()]), references=references, topic=other(dialogue.topic))
    return changed, MaskMap(masker.masks())


def unmask(text: str, masks: MaskMap, *, fit_particles: bool = True) -> str:
    """Return a text with the values in place of their masks.

    Args:
        text: a summary of the masked dialogue.
        masks: of that dialogue.
        fit_particles: give particles the form that the values want (``…5678로``, ``…1234와``). Without it, a
            masked text becomes exactly what it was, if no value was written in two ways.
    """
    values = dict(masks.masks)

    def with_value(match: re.Match[str]) -> str:
        plain, particle = match["plain"], match["particle"] or ""
        value = values.get(plain + (match["number"] or ""))
        if value is None and plain in values:
            return values[plain] + match[0][len(plain) :]
        if value is None:
            return match[0]
        return value + (fitting(particle, value) if fit_particles else particle)

    return _TOKEN_WITH_PARTICLE.sub(with_value, text)


def masked_text(text: str) -> str:
    """Return a text with masks, such as a message; its values cannot return."""
    return masked(Dialogue("", text))[0].text if text else text


def mask_tokens(text: str) -> frozenset[str]:
    """Return the masks of a text: ``#PhoneNumber#``, ``#PhoneNumber#(1)``."""
    return frozenset(match[0].replace(" ", "") for match in _TOKEN.finditer(text))


def unresolved_masks(text: str, masks: MaskMap) -> tuple[str, ...]:
    """Return the masks of a summary that stand for no value, or for one of several; `unmask` leaves them."""
    values = dict(masks.masks)
    found = [(match["plain"], match["number"] or "") for match in _TOKEN.finditer(text)]
    return tuple(
        dict.fromkeys(
            plain + number for plain, number in found if plain + number not in values and plain not in values
        )
    )


def _in_order(text: str, known: Sequence[PersonalData], by_rules: Sequence[PersonalData]) -> list[PersonalData]:
    """Return the personal data of a text: the known values in it, and what rules find elsewhere."""
    long = [data for data in by_rules if data.end - data.start > LONGEST_WORD]  # a known value may be in them
    found: list[PersonalData] = []
    taken = bytearray(len(text))
    for data in (*long, *known, *by_rules):
        if not any(taken[data.start : data.end]):
            taken[data.start : data.end] = b"\1" * (data.end - data.start)
            found.append(data)
    return sorted(found, key=lambda data: data.start)


def _key(kind: str, value: str) -> tuple[str, str]:
    """Return the kind of a value, and the value as it is compared."""
    letters = re.sub(r"[\s\-.()‐-―−－,]|에|다시", "", value) if kind in _SPEAKABLE else " ".join(value.split())
    return kind, (letters.translate(_SPOKEN) if kind in _SPEAKABLE else letters).lower()
