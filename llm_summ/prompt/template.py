"""Prompt templates: ``prompts/*.md``, readable in a diff.

::

    ---
    name: plain
    description: one line
    ---
    ## system
    ...
    ## user
    ... {{ dialogue }} ...
    ## answer
    {{ summary }}

`system` may be left out. Jinja runs in its sandbox, and a variable that is not defined is an error.
Variables: `dialogue`, `turns`, `speakers`, `topic`; in the answer only `summary`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_summ.data import Dialogue
from llm_summ.errors import PromptError
from llm_summ.files import text_sha256
from llm_summ.recipe import bundled_dir

__all__ = ["Template", "load_template"]

_SECTIONS = ("system", "user", "answer")
_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A template, parsed; `sections` holds Jinja source.

    Raises:
        PromptError: on the first use, if a section is not valid Jinja.
    """

    name: str
    description: str
    path: Path
    sections: dict[str, str] = field(repr=False)
    sha256: str

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        compiled = {}
        for section, source in self.sections.items():
            try:
                compiled[section] = environment.from_string(source)
            except TemplateSyntaxError as error:
                raise PromptError(
                    f"{self.path}: section {section}, line {error.lineno}: {error.message}"
                ) from error
        return compiled

    def messages(self, dialogue: Dialogue) -> list[dict[str, str]]:
        """The system and user messages for a dialogue.

        Raises:
            PromptError: the template asks for something that this dialogue does not have.
        """
        variables: dict[str, Any] = {
            "dialogue": dialogue.text,
            "turns": dialogue.turns,
            "speakers": dialogue.speakers,
        }
        if dialogue.topic is not None:
            variables["topic"] = dialogue.topic
        return [
            {"role": section, "content": self._render(section, dialogue.id, variables)}
            for section in ("system", "user")
            if section in self.sections
        ]

    def answer(self, summary: str) -> str:
        """What the model is to say for a summary."""
        return self._render("answer", "answer", {"summary": summary.strip()})

    def _render(self, section: str, identity: str, variables: dict[str, Any]) -> str:
        try:
            return str(self._compiled[section].render(variables))
        except TemplateError as error:
            known = ", ".join(sorted(variables))
            raise PromptError(
                f"{self.path}: section {section}: {identity}: {error.message}; known here: {known}"
            ) from error


def load_template(name: str) -> Template:
    """Read a template: a path that ends in .md, or the name of a bundled one (``plain``).

    Raises:
        PromptError: there is none of that name, or it is not a template.
    """
    path = Path(name) if name.endswith(".md") else bundled_dir("prompts") / f"{name}.md"
    if not path.is_file():
        bundled = bundled_dir("prompts") / path.name
        if not (name.endswith(".md") and str(path.parent) in {".", "prompts"} and bundled.is_file()):
            known = sorted(other.stem for other in bundled_dir("prompts").glob("*.md"))
            near = difflib.get_close_matches(path.stem, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"bundled prompts: {', '.join(known)}"
            raise PromptError(f"{name}: no such prompt; {hint}")
        path = bundled
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read ({error}); expected a prompt in Markdown, UTF-8") from error
    front = _FRONT.match(text)
    if not front:
        raise PromptError(f"{path}:1: no front matter; expected --- name: … description: … ---")
    fields = dict(re.findall(r"^(\w+):[ \t]*(.+?)[ \t]*$", front.group(1), re.MULTILINE))
    for wanted in ("name", "description"):
        if wanted not in fields:
            raise PromptError(f"{path}:1: front matter without {wanted}")
    pieces = _HEADING.split(text[front.end() :])
    if pieces[0].strip():
        raise PromptError(f"{path}: text before the first section; expected ## system, ## user or ## answer")
    sections: dict[str, str] = {}
    for section, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if section not in _SECTIONS or section in sections:
            raise PromptError(f"{path}: section {section}: expected each of {', '.join(_SECTIONS)} at most once")
        sections[section] = body.strip("\n")
    for section, variable in (("user", "dialogue"), ("answer", "summary")):
        if section not in sections:
            raise PromptError(f"{path}: no section ## {section}")
        if variable not in sections[section] and not (section == "user" and "turns" in sections[section]):
            raise PromptError(f"{path}: section {section} does not use {{{{ {variable} }}}}")
    return Template(fields["name"], fields["description"], path, sections, text_sha256(text))
