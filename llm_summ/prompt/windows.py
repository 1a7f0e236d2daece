"""Windows of whole turns, for a dialogue that is too long for one prompt; no turn is dropped.

::

    turns     1 2 3 4 5 6 7 8 9
    window 1  1 2 3 4
    window 2        4 5 6 7         begins with the last turn of window 1 (overlap)
    window 3              7 8 9

A window ends at the longest silence of its second half, where the times of turns are known. Otherwise it ends
where the topic changes most in its last third, see `topic_shifts.py`. The last two windows share evenly what is
left, so that no window of a turn or two remains. A turn that is too long for a window is divided at the ends of
its sentences; each part has the turn's label. Blank turns are left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue, Turn
from llm_summ.prompt.topic_shifts import cohesion

__all__ = ["Window", "cut_windows"]

# Where a long turn may be divided. A cut at the dot of "3. 5." does no harm: nothing is lost.
# Marks in a row are taken as a whole, from the first: there may be thousands.
_SENTENCE_END = re.compile(r"""(?:(?<![.!?…。])[.!?…。]++["'”’)\]」』]*+(?=\s)|\n)\s*""")
_SPACE = re.compile(r"\s+")
_NEAR = 1000  # pieces before and after an end in which its topic is looked for: thousands may have no words


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a dialogue that fits into a prompt.

    Attributes:
        dialogue: its turns, with the overlap; the id is that of the whole dialogue with the window's number.
        first: number of the first turn that no earlier window has, from 1; or of a turn that an earlier window
            begins.
        last: number of the last turn.
        start: when turn `first` begins, in seconds; None if unknown.
        end: when turn `last` ends, or else when it begins, in seconds; None if unknown.
        overlap: how many of its turns the window before has, too.
        divided: numbers of the turns of which it has only a part.
    """

    dialogue: Dialogue
    first: int
    last: int
    start: float | None = None
    end: float | None = None
    overlap: int = 0
    divided: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A turn or a part of one.

    Attributes:
        turn: what a window shows.
        number: of the whole turn, from 1.
        whole: the whole turn.
    """

    turn: Turn
    number: int
    whole: Turn

    @property
    def characters(self) -> int:
        return len(str(self.turn)) + 1

    @property
    def end(self) -> float | None:
        return self.whole.start if self.whole.end is None else self.whole.end


def cut_windows(
    dialogue: Dialogue,
    count: Callable[[Dialogue], int],
    budget: int,
    *,
    characters: int | None = None,
    overlap: int = 1,
    by_topic: bool = True,
    check: Callable[[], None] = lambda: None,
) -> list[Window]:
    """Return windows that together have every turn of a dialogue, in order.

    Args:
        dialogue: one that fits is returned as its only window, unchanged.
        count: returns the number of tokens of a dialogue's prompt; a longer dialogue never has fewer.
        budget: tokens of a prompt at most.
        characters: a window ends when its new turns have so many characters; None: the budget alone limits it. A
            dialogue that fits into the budget is not cut, and a turn that fits is not divided.
        overlap: how many turns of the window before a window begins with, if they fit. (Parts of a divided turn
            count as turns.)
        by_topic: whether a window may end before it is full, where the topic changes.
        check: is called again and again; what it raises ends the work.

    Raises:
        PromptError: not even one character of a turn fits. The message begins with the dialogue's id.
    """
    pieces = [_Piece(turn, number, turn) for number, turn in enumerate(dialogue.turns, 1) if str(turn).strip()]
    if count(dialogue) <= budget:
        ends = (pieces[0].whole.start, pieces[-1].end) if pieces else (None, None)
        return [Window(dialogue, 1, len(dialogue.turns), *ends)]

    def fits(turns: Sequence[Turn]) -> bool:
        check()
        return count(dialogue.with_turns(turns)) <= budget

    windows: list[Window] = []
    begin, size = 0, 1
    lengths = [piece.characters for piece in pieces]
    left = sum(lengths)
    while begin < len(pieces):
        repeated = min(overlap, begin)
        while repeated and not fits([piece.turn for piece in pieces[begin - repeated : begin + 1]]):
            repeated -= 1
        allowed = len(pieces)
        if characters is not None:
            sizes = accumulate(lengths[index] for index in range(begin, len(lengths)))  # a slice would copy all
            allowed = begin + max(1, sum(1 for _ in takewhile(lambda size: size <= characters, sizes)))
        first = begin - repeated

        def begin_fits(number: int, first: int = first) -> bool:
            return fits([piece.turn for piece in pieces[first : first + number]])

        most = _most(allowed - first, begin_fits, repeated + size) - repeated
        if most <= 0:
            parts = [*_divided(dialogue, pieces[begin], fits)]
            left -= lengths[begin]
            pieces[begin : begin + 1] = parts
            lengths[begin : begin + 1] = [part.characters for part in parts]
            left += sum(lengths[begin : begin + len(parts)])
            continue
        size = most
        end = _end(pieces, begin, list(accumulate(lengths[begin : begin + most])), left, by_topic=by_topic)
        windows.append(_window(dialogue, len(windows) + 1, pieces[begin - repeated : end], repeated))
        left -= sum(lengths[begin:end])
        begin = end
    return windows


def _end(pieces: Sequence[_Piece], begin: int, sizes: Sequence[int], left: int, *, by_topic: bool) -> int:
    """Return where a window ends.

    Args:
        pieces: of the dialogue.
        begin: of the window.
        sizes: characters of the window with one piece, two, and so on up to all that it may have.
        left: characters from the beginning of the window to the end of the dialogue.
        by_topic: as for `cut_windows`.
    """
    most, taken = begin + len(sizes), sizes[-1]
    if most == len(pieces):
        return most
    lowest, best, highest = taken / 2, float(taken), float(taken)
    earliest = taken * 2 / 3  # for the topic alone
    if left <= 2 * taken:  # what is left makes two windows: they share it
        earliest = lowest = max(left - taken, left / 3)
        best, highest = left / 2, min(taken, left * 2 / 3)

    def at(characters: float) -> int:
        return min(most, begin + bisect_left(sizes, characters) + 1)

    silences = [(_silence(pieces, end), end) for end in range(at(lowest), at(highest) + 1)]
    longest, end = max(silences)
    if longest or not by_topic:
        return end if longest else at(best)
    ends = range(at(earliest), at(highest) + 1)
    shared = {end: _shared(pieces, end) for end in ends}
    least = min(shared.values())
    return at(best) if least == max(shared.values()) else max(end for end in ends if shared[end] == least)


def _shared(pieces: Sequence[_Piece], end: int) -> float:
    """Return how much two pieces and those around them have in common; 1 if they are parts of one turn."""
    if pieces[end - 1].number == pieces[end].number:
        return 1.0
    before = (pieces[index].turn.text for index in range(end - 1, max(-1, end - 1 - _NEAR), -1))
    return cohesion(
        filter(None, before), (piece.turn.text for piece in pieces[end : end + _NEAR] if piece.turn.text)
    )


def _silence(pieces: Sequence[_Piece], end: int) -> float:
    """Return the seconds between two pieces; 0 if that is unknown, or if they are parts of one turn."""
    before, after = pieces[end - 1], pieces[end].whole.start
    if before.end is None or after is None or before.number == pieces[end].number:
        return 0.0
    return max(0.0, after - before.end)


def _window(dialogue: Dialogue, number: int, pieces: Sequence[_Piece], overlap: int) -> Window:
    first, last = pieces[overlap], pieces[-1]
    part = dialogue.with_turns([piece.turn for piece in pieces])
    divided = dict.fromkeys(piece.number for piece in pieces if piece.turn is not piece.whole)
    return Window(
        Dialogue.of_turns(f"{dialogue.id}#{number}", part.turns, topic=dialogue.topic),
        first.number,
        last.number,
        first.whole.start,
        last.end,
        overlap,
        tuple(divided),
    )


def _divided(dialogue: Dialogue, piece: _Piece, fits: Callable[[Sequence[Turn]], bool]) -> Iterator[_Piece]:
    """Yield the parts of a turn that does not fit: as many sentences, words or characters as fit."""
    rest, size = piece.turn.text.strip(), 1
    if not rest and fits([piece.turn._replace(text="")]):  # a label, with more spaces behind it than fit
        yield _Piece(piece.turn._replace(text=""), piece.number, piece.whole)
        return
    while True:

        def begin_fits(number: int, rest: str = rest) -> bool:
            return fits([piece.turn._replace(text=rest[:number])])

        size = _most(len(rest), begin_fits, size)
        if size == 0:
            raise PromptError(
                f"{dialogue.id}: the instruction alone fills the prompt; raise prompt.max_prompt_tokens"
            )
        end = len(rest) if size == len(rest) else _last_end(rest, size)
        yield _Piece(piece.turn._replace(text=rest[:end].rstrip()), piece.number, piece.whole)
        rest = rest[end:].lstrip()
        if not rest:
            return


def _last_end(text: str, most: int) -> int:
    """Return the last index up to `most` at which a sentence, or else a word, ends; `most` if none does."""
    for pattern in (_SENTENCE_END, _SPACE):
        ends = [end for match in pattern.finditer(text, 0, most + 1) if (end := min(match.end(), most)) > 0]
        if ends and text[: ends[-1]].strip():
            return ends[-1]
    return most


def _most(items: int, fits: Callable[[int], bool], guess: int) -> int:
    """Return how many of some items fit, at least one; 0 if the first does not fit.

    The search begins at a guess and takes steps that double, so that it tries little more than what fits.
    """
    low, high = 0, items + 1  # fits, does not fit
    guess, step = max(1, min(guess, items)), 1
    if fits(guess):
        low = guess
        while low + step < high:
            if not fits(low + step):
                high = low + step
                break
            low, step = low + step, 2 * step
    else:
        high = guess
        while high - step > low:
            if fits(high - step):
                low = high - step
                break
            high, step = high - step, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
