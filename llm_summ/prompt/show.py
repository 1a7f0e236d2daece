"""Templates as a command shows them."""

from __future__ import annotations

from typing import Any

from llm_summ.data import Dialogue, read_dialogues
from llm_summ.errors import DataError
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.template import Template

__all__ = ["describe_template", "fill_in"]

_EXAMPLES = 2


def describe_template(template: Template) -> dict[str, Any]:
    """A template for programs."""
    return {
        "name": template.name,
        "description": template.description,
        "path": str(template.path),
        "variables": sorted(template.variables),
        "sections": template.sections,
        "sha256": template.sha256,
    }


def fill_in(template: Template, source: str, identity: str | None) -> list[dict[str, str]]:
    """The messages for a dialogue of a data file, before a model's chat template.

    Where the template shows examples or asks for a length, they come from the other dialogues of the same file,
    which must then have summaries: it shows the form, not what a training will say.

    Args:
        template: the template.
        source: a data file.
        identity: the dialogue's id; None means the first.

    Raises:
        DataError: the file or the id cannot be had.
        PromptError: the template cannot be filled in with this dialogue.
    """
    dialogues = read_dialogues(source, references=bool(template.variables & {"length", "examples"}))
    dialogue = _find(dialogues, source, identity)
    length = LengthTarget.fit(dialogues, 5).predict(dialogue) if "length" in template.variables else None
    examples: list[Dialogue] = []
    if "examples" in template.variables:
        examples = ExamplePool(dialogues).similar(dialogue, _EXAMPLES)[::-1]
    return template.messages(dialogue, length=length, examples=examples)


def _find(dialogues: list[Dialogue], source: str, identity: str | None) -> Dialogue:
    if identity is None:
        return dialogues[0]
    for dialogue in dialogues:
        if dialogue.id == identity:
            return dialogue
    raise DataError(f"--id {identity}: not in {source}; it has {dialogues[0].id} to {dialogues[-1].id}")
