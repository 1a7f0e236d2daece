"""Templates in the form in which a command shows them."""

from __future__ import annotations

from typing import Any

from llm_summ.core.errors import DataError, listed
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.template import Template
from llm_summ.recipe import PromptFields

__all__ = ["describe_template", "fill_in"]

_EXAMPLES = 2
_BUCKETS = PromptFields().length_buckets


def describe_template(template: Template) -> dict[str, Any]:
    """Return a template's facts for programs."""
    return {
        "name": template.name,
        "description": template.description,
        "path": str(template.path),
        "variables": sorted(template.variables),
        "sections": template.sections,
        "sha256": template.sha256,
    }


def fill_in(template: Template, source: str, identity: str | None) -> list[dict[str, str]]:
    """Return the messages for a dialogue of a data file, before a model's chat template.

    Examples and lengths, if the template uses them, come from the other dialogues of the same file, which must
    then have summaries. The result shows the form; a training uses its own examples and lengths.

    Args:
        template: the template.
        source: a data file.
        identity: the dialogue's id; None: the first dialogue.

    Raises:
        DataError: the file or the id does not exist, or the template needs other dialogues and there are none.
        PromptError: the template cannot be filled in with this dialogue.
    """
    from_others = template.variables & {"length", "examples"}
    dialogues = read_dialogues(source, references=bool(from_others))
    dialogue = _find(dialogues, source, identity)
    others = [other for other in dialogues if other is not dialogue]
    if from_others and not others:
        raise DataError(
            f"{source}: has only one dialogue, but the prompt {template.name} takes {listed(sorted(from_others))} "
            "from other dialogues; name a file with more"
        )
    length = LengthTarget.fit(others, _BUCKETS).predict(dialogue) if "length" in from_others else None
    examples: list[Dialogue] = []
    if "examples" in from_others:
        examples = ExamplePool(others).similar(dialogue, _EXAMPLES)[::-1]
    return template.messages(dialogue, length=length, examples=examples)


def _find(dialogues: list[Dialogue], source: str, identity: str | None) -> Dialogue:
    if identity is None:
        return dialogues[0]
    for dialogue in dialogues:
        if dialogue.id == identity:
            return dialogue
    raise DataError(f"--id {identity}: not in {source}; it has {dialogues[0].id} to {dialogues[-1].id}")
