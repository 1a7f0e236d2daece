"""What is odd about the turns of a row that has a list of turns, with speakers and perhaps times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llm_summ.data.dialogue import Turn

__all__ = ["listed_turn_oddities"]


def listed_turn_oddities(turns: Sequence[Turn]) -> Iterator[tuple[str, int, int]]:
    """Yield the kind of each oddity, and where the turn begins and ends in the text of the dialogue."""
    spans = list(_spans(turns))
    spoken = [turn for turn in turns if turn.text.strip()]
    if len(spoken) == 1:
        yield "one-turn", 0, 0
    elif len({turn.speaker for turn in spoken if turn.speaker}) == 1:
        yield "one-speaker", 0, 0
    named = any(turn.speaker for turn in turns)
    for turn, span in zip(turns, spans, strict=True):
        if named and not turn.speaker and turn.text.strip():
            yield "no-speaker", *span
            break
    for turn, span in zip(turns, spans, strict=True):
        if turn.speaker and not turn.text.strip():
            yield "empty-turn", *span
            break
    last: float | None = None
    for turn, span in zip(turns, spans, strict=True):
        if turn.start is None:
            continue
        if (last is not None and turn.start < last) or (turn.end is not None and turn.end < turn.start):
            yield "turn-times", *span
            break
        last = turn.start


def _spans(turns: Sequence[Turn]) -> Iterator[tuple[int, int]]:
    start = 0
    for turn in turns:
        end = start + len(str(turn))
        yield start, end
        start = end + 1
