"""The prompts that a model can be used with: its own, and the bundled ones that need nothing it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm_summ.core.errors import PromptError
from llm_summ.core.formatting import did_you_mean
from llm_summ.prompt import Renderer, Template, bundled_templates

__all__ = ["PromptChoice"]

_NEED_A_TRAINING = ("length", "examples")  # variables whose values a training stores


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """The prompts of a model.

    Attributes:
        own: the prompt that is used unless another one is named.
        make: returns the renderer of another prompt for the same model.
        variables: those of `length` and `examples` that the model has values for.
    """

    own: Template
    make: Callable[[Template], Renderer]
    variables: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all prompts, its own first."""
        return (self.own.name, *(template.name for template in self._others()))

    def renderer(self, name: str) -> Renderer:
        """Return the renderer of a prompt other than its own.

        Raises:
            PromptError: no prompt of this name can be used. A name is never taken for that of a file.
        """
        found = next((template for template in self._others() if template.name == name), None)
        if found is None:
            hint = did_you_mean(name, self.names)
            raise PromptError(
                f"prompt {name}: unknown; {f'{hint} Expected' if hint else 'expected'} {', '.join(self.names)}"
            )
        return self.make(found)

    def _others(self) -> list[Template]:
        return [
            template
            for template in bundled_templates()
            if template.name != self.own.name
            and all(name in self.variables for name in _NEED_A_TRAINING if template.uses(name))
        ]
