"""Names and personal data of a dialogue, before a model reads it and after it has summarised it.

::

    handling = Handling("tags", {"참석자 1": "김 과장"}, mask=True, unmask=True)
    prepared = prepare(dialogue, handling)
    prepared.dialogue                           "#Person1#: #PhoneNumber#로 전화해"
    prepared.restore("#Person1#은 답한다.").text  "김 과장은 답한다."

A tag or mask in a summary that nothing in the dialogue supports is not changed; `Restored` has it. No `repr` shows
a name or a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from llm_summ.core.errors import DataError
from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.masks import MaskMap, mask_tokens, masked, masked_text, unmask, unresolved_masks
from llm_summ.data.speakers import SpeakerMap, named, named_dialogue, person_tags, tagged, unused_names

__all__ = [
    "SPEAKERS",
    "Handling",
    "Prepared",
    "Restored",
    "Speakers",
    "preparation_lines",
    "prepare",
    "unused_lines",
]

Speakers = Literal["keep", "tags"]
"""Whether a model reads the names of speakers, or tags (``#Person1#``) in their place."""

SPEAKERS: tuple[Speakers, ...] = get_args(Speakers)


@dataclass(frozen=True, slots=True)
class Handling:
    """What is done with names and personal data.

    Attributes:
        speakers: ``tags``: the model reads tags, and its summary gets the names back.
        names: other names of speakers, as in a map file. Speakers with the same name are one person.
        mask: personal data in dialogues becomes masks (``#PhoneNumber#``).
        unmask: masks in summaries become personal data again.

    Raises:
        DataError: `unmask` without `mask`.
    """

    speakers: Speakers = "keep"
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: bool = False
    unmask: bool = False

    def __post_init__(self) -> None:
        if self.unmask and not self.mask:
            raise DataError("unmask: nothing is masked without mask; ask for both, or for neither")

    @property
    def changes_nothing(self) -> bool:
        """Whether dialogues stay as they are."""
        return self.speakers == "keep" and not self.names and not self.mask


@dataclass(frozen=True, slots=True)
class Restored(JsonRecord):
    """A summary for people.

    Attributes:
        text: with names in place of tags, and values in place of masks if that was asked for.
        unsupported: tags that the dialogue does not have.
        unresolved: masks that stand for nothing in the dialogue, or for one of several values.
    """

    text: str = field(repr=False)
    unsupported: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dialogue as a model reads it, and the way back.

    Attributes:
        dialogue: with tags and masks, if they were asked for.
        handling: what was asked for.
        speakers: tags with their names; no names if `handling` keeps them in the dialogue.
        masks: what the masks stand for.
    """

    dialogue: Dialogue = field(repr=False)
    handling: Handling
    speakers: SpeakerMap = field(repr=False)
    masks: MaskMap

    @property
    def masked(self) -> dict[str, int]:
        """How many values of each kind were masked: ``{"PhoneNumber": 1}``."""
        return self.masks.counts

    def restore(self, text: str) -> Restored:
        """Return a summary of the dialogue with names and values, and what nothing supports.

        Particles take the form that the names and values want.
        """
        known = person_tags(self.dialogue.text)
        unsupported = tuple(tag for tag in person_tags(text) if tag not in known)
        written = mask_tokens(self.dialogue.text)
        # A mask that the file itself has stands for something, though its value is unknown.
        unresolved = tuple(token for token in unresolved_masks(text, self.masks) if token not in written)
        text = named(text, self.speakers)
        return Restored(unmask(text, self.masks) if self.handling.unmask else text, unsupported, unresolved)


def prepare(dialogue: Dialogue, handling: Handling) -> Prepared:
    """Return a dialogue as a model may read it. Its references are changed likewise; its id is not.

    Names are replaced before personal data is masked. A name that is personal data itself, such as the number
    of an unknown caller, is masked, too.
    """
    speakers = SpeakerMap(())
    if handling.speakers == "tags":
        dialogue, speakers = tagged(dialogue, handling.names)
    elif handling.names:
        dialogue = named_dialogue(*tagged(dialogue, handling.names))
    masks = MaskMap()
    if handling.mask:
        references = dialogue.references
        names = [person.name or "" for person in speakers.persons]
        # As further references they get the masks of the same values in the turns.
        changed, masks = masked(replace(dialogue, references=(*references, *names)))
        dialogue = replace(changed, references=changed.references[: len(references)])
        masked_names = changed.references[len(references) :]
        persons = tuple(
            person._replace(name=name or None) for person, name in zip(speakers.persons, masked_names, strict=True)
        )
        speakers = speakers._replace(persons=persons)
    return Prepared(dialogue, handling, speakers, masks)


def preparation_lines(prepared: Sequence[Prepared]) -> list[str]:
    """Return what was done with many dialogues, for people: counts, and no name or value."""
    lines = []
    of_all = counted(len(prepared), "dialogue")
    if tagged := sum(bool(one.speakers.names) for one in prepared):
        lines.append(f"Speakers: tags (#Person1#) in place of names in {tagged:,} of {of_all}")
    total: Counter[str] = Counter()
    for one in prepared:
        total.update(one.masked)
    if total:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in total.items())
        lines.append(f"Masked: {counts} in {sum(bool(one.masked) for one in prepared):,} of {of_all}")
    elif any(one.handling.mask for one in prepared):
        lines.append(f"Masked: nothing; no personal data was found in {of_all}")
    return lines


def unused_lines(handling: Handling, dialogues: Iterable[Dialogue]) -> list[str]:
    """Return a line for each speaker of the map file that no dialogue has, such as a misspelt one."""
    unused = unused_names(handling.names, dialogues)
    return [
        f"--names: {masked_text(name) if handling.mask else name}: no dialogue has this speaker" for name in unused
    ]
