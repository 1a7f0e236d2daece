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
Variables: `dialogue`, `turns`, `speakers` and, where the data have it, `topic`; in the answer only `summary`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_summ.data import Dialogue
from llm_summ.errors import PromptError
from llm_summ.files import text_sha256
from llm_summ.recipe import bundled_dir

__all__ = ["Template", "load_template"]

_SECTIONS = ("system", "user", "answer")
_VARIABLES = ("dialogue", "turns", "speakers", "topic")
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A template, parsed; `sections` holds Jinja source."""

    name: str
    description: str
    path: Path
    sections: dict[str, str] = field(repr=False)
    sha256: str

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        return {section: _ENVIRONMENT.from_string(source) for section, source in self.sections.items()}

    def messages(self, dialogue: Dialogue, escape: Callable[[str], str] = str) -> list[dict[str, str]]:
        """The system and user messages for a dialogue.

        Args:
            dialogue: what the template's variables are taken from.
            escape: is applied to every text of the dialogue before it goes into the template.

        Raises:
            PromptError: the template asks for something that this dialogue does not have.
        """
        variables: dict[str, Any] = {
            "dialogue": escape(dialogue.text),
            "turns": tuple(map(escape, dialogue.turns)),
            "speakers": tuple(map(escape, dialogue.speakers)),
        }
        if dialogue.topic is not None:
            variables["topic"] = escape(dialogue.topic)
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
        # An expression can fail as any Python expression can: {{ topic + 1 }}, {{ 1 / 0 }}.
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            known = ", ".join(sorted(variables))
            raise PromptError(
                f"{self.path}: section {section}: {identity}: {error}; known here: {known}"
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
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read ({error}); expected a prompt in Markdown, UTF-8") from error
    front = _FRONT.match(text)
    if not front:
        raise PromptError(f"{path}:1: no front matter; expected --- name: … description: … ---")
    fields = dict(re.findall(r"^(\w+):[ \t]*(.+?)[ \t]*$", front.group(1), re.MULTILINE))
    for wanted in ("name", "description"):
        if wanted not in fields:
            raise PromptError(f"{path}:1: front matter without {wanted}")
    headings = list(_HEADING.finditer(text, front.end()))
    starts = [*(heading.start() for heading in headings), len(text)]
    if text[front.end() : starts[0]].strip():
        raise PromptError(f"{path}: text before the first section; expected ## system, ## user or ## answer")
    sections: dict[str, str] = {}
    for heading, end in zip(headings, starts[1:], strict=True):
        section, body = heading[1], text[heading.end() : end]
        line = text.count("\n", 0, heading.start()) + 1
        if section not in _SECTIONS or section in sections:
            raise PromptError(
                f"{path}:{line}: section {section}: expected each of {', '.join(_SECTIONS)} at most once"
            )
        sections[section] = body.strip("\n")
        line += len(body) - len(body.lstrip("\n"))
        _check_section(path, line, section, sections[section])
    for section in ("user", "answer"):
        if section not in sections:
            raise PromptError(f"{path}: no section ## {section}")
    return Template(fields["name"], fields["description"], path, sections, text_sha256(text))


def _check_section(path: Path, line: int, section: str, source: str) -> None:
    """Refuse a section that is not valid Jinja, lacks its variable or names one that does not exist."""
    try:
        used = meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
    except TemplateSyntaxError as error:
        place = f"{path}:{line + error.lineno - 1}"
        raise PromptError(f"{place}: section {section}: not valid Jinja: {error.message}") from error
    place = f"{path}:{line}"
    known = ("summary",) if section == "answer" else _VARIABLES
    for name in sorted(used - set(known) - _ENVIRONMENT.globals.keys()):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        raise PromptError(f"{place}: section {section}: unknown variable {name}; {hint}")
    if section == "answer" and "summary" not in used:
        raise PromptError(f"{place}: section answer does not use {{{{ summary }}}}")
    if section == "user" and not used & {"dialogue", "turns"}:
        raise PromptError(f"{place}: section user does not use {{{{ dialogue }}}} or {{{{ turns }}}}")
