"""Names of speakers: the model gets ``#Person1#: 네`` for ``민지: 네``, and its summary gets the names back.

::

    tagged(dialogue)               labels and references with tags, and a `SpeakerMap`
    named(summary, speakers)       tags become names: "#Person1#은" "민지는"
    tagged_text(summary, speakers) names become tags: "민지는" "#Person1#은"
    named_dialogue(dialogue, …)    labels and references with names

Particles take the form that the word before them wants. Names inside turns stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from types import MappingProxyType
from typing import NamedTuple

from llm_summ.data.dialogue import Dialogue, Turn, find_speakers
from llm_summ.data.particles import PARTICLE, SPACED_PARTICLE, fitting
from llm_summ.data.tags import PERSON_TAG
from llm_summ.data.word_finder import LONGEST_WORD, WordFinder

__all__ = [
    "Person",
    "SpeakerMap",
    "named",
    "named_dialogue",
    "person_tags",
    "speaker_key",
    "tagged",
    "tagged_text",
    "unsupported_tags",
    "unused_names",
]

_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_CLOSING = "[\"'”’」』]?"
_TAG = re.compile(
    rf"(?P<tag>{PERSON_TAG})(?P<closing>{_CLOSING})"
    rf"(?:(?P<particle>{PARTICLE})|[ \u00a0](?P<spaced>{SPACED_PARTICLE}))?"
)
_IS_TAG = re.compile(PERSON_TAG)
# Particles with a single form, one or two of them, as they follow a name: 민지의, 민지에게는, 민지입니다.
_ONE_FORM = (
    "(?:(?:의|도|만|에|인|에게|에게서|한테|한테서|께|께서|까지|부터|보다|처럼|마저|조차|뿐|만큼|대로|입니다)"
    "(?:은|는|도|만|의|을|이)?)"
)
_LEFT, _RIGHT = r"(?<![\w/&@+\-])", r"(?![\w/&@+\-])"
_BEHIND_NAME = rf"(?P<closing>{_CLOSING})(?:(?P<particle>{PARTICLE})|(?={_ONE_FORM}{_RIGHT})|{_RIGHT})"


class Person(NamedTuple):
    """A speaker of a dialogue: the tag, and the name; None if the file has only the tag."""

    tag: str
    name: str | None


class SpeakerMap(NamedTuple):
    """The speakers of a dialogue, in the order in which they first speak.

    Attributes:
        persons: the speakers.
        mentioned: tags of people who are mentioned in turns and say nothing.
    """

    persons: tuple[Person, ...]
    mentioned: frozenset[str] = frozenset()

    @property
    def names(self) -> dict[str, str]:
        """The name of every tag that has one."""
        return {person.tag: person.name for person in self.persons if person.name}


def speaker_key(speaker: str) -> str:
    """Return a speaker's name as it is compared: composed Hangul, single spaces."""
    return " ".join(unicodedata.normalize("NFC", speaker).split())


def tagged(dialogue: Dialogue, names: Mapping[str, str] = _NO_NAMES) -> tuple[Dialogue, SpeakerMap]:
    """Return a dialogue whose speakers are tags in the order in which they first speak, and who they are.

    A speaker that is a tag already keeps it. New tags are those that the dialogue does not contain. The references
    have tags instead of names, too, see `tagged_text`.

    Args:
        dialogue: with names, tags or both as speakers.
        names: other names of speakers, as in a map file (``{"참석자 1": "김 과장"}``). Speakers with the same name
            are one person.
    """
    other_names = {speaker_key(speaker): speaker_key(name) for speaker, name in names.items()}
    turns = _turns(dialogue)
    speakers = dict.fromkeys(speaker_key(turn.speaker) for turn in turns if turn.speaker)
    groups: dict[str, list[str]] = {}
    for speaker in filter(None, speakers):
        groups.setdefault(other_names.get(speaker, speaker), []).append(speaker)
    if not groups:
        return dialogue, SpeakerMap((), _tags_in(dialogue.text))

    free = _free_tags(_tags_in(dialogue.text))
    tags: dict[str, str] = {}
    persons = []
    for name, members in groups.items():
        tag = next(filter(_IS_TAG.fullmatch, members), None) or next(free)
        tags |= dict.fromkeys(members, tag)
        persons.append(Person(tag, None if _IS_TAG.fullmatch(name) else name))
    mentioned = _tags_in(dialogue.text) - {tag for tag in tags if _IS_TAG.fullmatch(tag)}
    found = SpeakerMap(tuple(persons), frozenset(mentioned))
    if not found.names:
        return dialogue, found

    merged = {tag: kept for tag, kept in tags.items() if _IS_TAG.fullmatch(tag) and tag != kept}

    def with_tags(turn: Turn) -> Turn:
        text = _with_words(turn.text, merged)
        key = speaker_key(turn.speaker or "")
        return turn._replace(speaker=tags[key], text=text, label=None) if key else turn._replace(text=text)

    # A reference may have the names of the file, or those of the map file.
    written = {name: tag for tag, name in found.names.items()} | tags
    references = tuple(_with_tags(_with_words(text, merged), written) for text in dialogue.references)
    return replace(dialogue.with_turns([*map(with_tags, turns)]), references=references), found


def named(text: str, speakers: SpeakerMap) -> str:
    """Return a summary with names in place of tags, and with the particles that the names want.

    A space between a tag and its particle (``#Person1# 은``) is removed. A tag without a name is not changed.
    `unsupported_tags` returns those that no turn supports.
    """
    return _with_words(text, speakers.names)


def tagged_text(text: str, speakers: SpeakerMap) -> str:
    """Return a summary with tags in place of the speakers' names, and with the particles that the tags want.

    A name counts where it is a word: nothing but particles may follow it, so that neither 민지연 nor 고객센터 has
    a name in it. Names without a letter, those of a single syllable, which may be other words (이, 나), and those
    of more than 100 letters are not replaced.
    """
    return _with_tags(text, {name: tag for tag, name in speakers.names.items()})


def _with_tags(text: str, tags: Mapping[str, str]) -> str:
    """Return a text with tags in place of names, given the tag of each name."""
    tags = {name: tag for name, tag in tags.items() if _is_distinct(name) and not _IS_TAG.fullmatch(name)}
    parts, end = [], 0
    for name, behind in WordFinder(tags, _LEFT, _BEHIND_NAME).find(text):
        tag = tags[name]
        parts += [text[end : behind.start() - len(name)], tag, behind["closing"]]
        parts.append(fitting(behind["particle"] or "", tag))
        end = behind.end()
    return "".join([*parts, text[end:]])


def named_dialogue(dialogue: Dialogue, speakers: SpeakerMap) -> Dialogue:
    """Return a dialogue with names in place of tags in its labels and references.

    It is the reverse of `tagged` where every label had the usual form (``민지: ``).
    """
    names = speakers.names
    turns = [
        turn._replace(speaker=names[turn.speaker], label=None) if turn.speaker in names else turn
        for turn in dialogue.turns
    ]
    references = tuple(named(text, speakers) for text in dialogue.references)
    return replace(dialogue.with_turns(turns), references=references)


def person_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text, each once, in order."""
    return tuple(dict.fromkeys(_IS_TAG.findall(text)))


def unsupported_tags(text: str, speakers: SpeakerMap) -> tuple[str, ...]:
    """Return the tags of a summary that its dialogue does not have, in the order of the summary."""
    known = {person.tag for person in speakers.persons} | speakers.mentioned
    return tuple(tag for tag in person_tags(text) if tag not in known)


def unused_names(names: Mapping[str, str], dialogues: Iterable[Dialogue]) -> tuple[str, ...]:
    """Return the speakers of a map file that speak in none of the dialogues, such as misspelt ones."""
    speaking = {speaker_key(turn.speaker) for dialogue in dialogues for turn in _turns(dialogue) if turn.speaker}
    return tuple(speaker for speaker in names if speaker_key(speaker) not in speaking)


def _turns(dialogue: Dialogue) -> tuple[Turn, ...]:
    """Return the turns; labels in their texts count only if the file names no speaker otherwise."""
    turns = dialogue.turns
    return turns if any(turn.speaker for turn in turns) else find_speakers(turns)


def _with_words(text: str, words: Mapping[str, str]) -> str:
    """Return the text with words in place of tags, particles included."""

    def with_word(match: re.Match[str]) -> str:
        word = words.get(match["tag"])
        if word is None:
            return match[0]
        return word + match["closing"] + fitting(match["particle"] or match["spaced"] or "", word)

    return _TAG.sub(with_word, text) if words else text


def _tags_in(text: str) -> frozenset[str]:
    return frozenset(_IS_TAG.findall(text))


def _free_tags(taken: frozenset[str]) -> Iterator[str]:
    return (tag for number in count(1) if (tag := f"#Person{number}#") not in taken)


def _is_distinct(name: str) -> bool:
    one_syllable = len(name) == 1 and not name.isascii()
    return any(map(str.isalpha, name)) and not one_syllable and len(name) <= LONGEST_WORD
