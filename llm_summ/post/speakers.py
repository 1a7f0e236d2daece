"""Steps on speaker tags and masks: fix their spelling, and replace speakers that the dialogue does not have."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from llm_summ.data.labels import speakers_of, split_turns, tagging_of
from llm_summ.data.particles import PARTICLE, SPACED_PARTICLE, fitting
from llm_summ.data.tags import SPEAKER_TAG, proper_tags
from llm_summ.post.post_input import PostInput
from llm_summ.post.sentences import sentences

__all__ = ["repair_speakers", "repair_tags"]

_WITH_PARTICLE = rf"(?:(?P<particle>{PARTICLE})|(?P<space>\s)(?P<spaced>{SPACED_PARTICLE}))"


def repair_tags(summary: PostInput) -> str:
    """Fix the spelling of tags and masks: ``# Person1 #``, ``#person1#`` and ``#Person1`` become ``#Person1#``.

    `Person1` without any sign is a tag only where the dialogue has tags. Letters other than Person (``#Peron2#``,
    ``#사람2#``) are a tag only where the dialogue has that speaker, and `near_tag` accepts the misspelling.
    """
    text, tagging = summary.text, tagging_of(summary.dialogue or "")
    while (after := proper_tags(text, *tagging)) != text:
        text = after
    return text


def repair_speakers(summary: PostInput) -> str:
    """Replace a speaker that the dialogue does not have, where only one of its speakers can be meant.

    That is: all of the dialogue's speakers except one are named in the same sentence, or if it names none, in the
    summary. In a dialogue of two, ``#Person1#은 묻고, #Person3#은 답합니다.`` is about #Person2#. Particles are
    adapted. Two such speakers in a text are not changed, and neither is one below the dialogue's largest number:
    then all numbers may be shifted.
    """
    text = summary.text
    tagging = tagging_of(summary.dialogue or "")
    if summary.dialogue is None or not tagging.tagged:
        return text
    dialogue = split_turns(proper_tags(summary.dialogue, *tagging))
    speakers = set(speakers_of(dialogue))
    named = set(SPEAKER_TAG.findall(text))
    invented = named - set(SPEAKER_TAG.findall(dialogue))
    if len(invented) != 1 or _number(next(iter(invented))) < max(map(_number, speakers)):
        return text
    wrong = next(iter(invented))
    parts = []
    for part in sentences(text):
        others = set(SPEAKER_TAG.findall(part)) & speakers or named & speakers
        parts.append(_replaced(part, wrong, speakers - others) if wrong in part else part)
    return "".join(parts)


def _number(tag: str) -> int:
    return int(tag.removeprefix("#Person").removesuffix("#"))


def _replaced(part: str, wrong: str, left: AbstractSet[str]) -> str:
    """Return the part with the wrong speaker replaced, if exactly one speaker is left to replace it."""
    if len(left) != 1:
        return part
    right = next(iter(left))

    def with_particle(match: re.Match[str]) -> str:
        return right + (match["space"] or "") + fitting(match["particle"] or match["spaced"], right)

    return re.sub(re.escape(wrong) + _WITH_PARTICLE, with_particle, part).replace(wrong, right)
