"""Check that what a template uses is there: examples, and a length."""

from __future__ import annotations

from llm_summ.core.errors import PromptError
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.template import Template

__all__ = ["check_variables"]


def check_variables(template: Template, pool: ExamplePool | None, count: int, length: LengthTarget | None) -> None:
    """Raise if the template's examples or length are missing, or if it does not use the given examples.

    Args:
        template: a prompt template.
        pool: the pool of examples.
        count: number of examples of a prompt.
        length: predicts the length that the prompt asks for.
    """
    name, path = template.name, template.path
    if template.uses("examples") and not count:
        raise PromptError(
            f"{path}: uses examples, but prompt.examples is 0; set it to 3, for example, or choose another "
            "prompt.template"
        )
    if count and not template.uses("examples"):
        raise PromptError(
            f"prompt.examples is {count}, but the prompt {name} does not use examples; set it to 0, or "
            "prompt.template to few-shot"
        )
    if count and pool is None:
        raise PromptError(
            f"prompt.examples is {count}, but there are no training dialogues to take examples from; "
            "set it to 0 and choose another prompt.template, or give the renderer an ExamplePool"
        )
    if template.uses("length") and length is None:
        raise PromptError(
            f"{path}: uses length, but no LengthTarget was fitted to training summaries; choose another "
            "prompt.template, or give the renderer a LengthTarget"
        )
