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
Variables of `system` and `user`:

- `dialogue`; `turns`, its lines; `speakers`, their tags; and, where the data have it, `topic`
- `length`: how many characters the summary should have
- `examples`: other dialogues with their summaries, the most similar last::

      {% for example in examples %}{{ example.dialogue }} … {{ example.summary }}{% endfor %}

The answer has only `summary`; white space around it is left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
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

__all__ = ["Example", "Template", "bundled_templates", "load_template"]

_SECTIONS = ("system", "user", "answer")
_VARIABLES = ("dialogue", "turns", "speakers", "topic", "length", "examples")
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """What a template sees of an example: its two texts."""

    dialogue: str
    summary: str


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

    @cached_property
    def variables(self) -> frozenset[str]:
        """Which variables the sections `system` and `user` use; each of them may stand in a condition only."""
        return frozenset().union(
            *(_used(source) & set(_VARIABLES) for section, source in self.sections.items() if section != "answer")
        )

    def messages(
        self,
        dialogue: Dialogue,
        escape: Callable[[str], str] = str,
        *,
        length: int | None = None,
        examples: Sequence[Dialogue] = (),
    ) -> list[dict[str, str]]:
        """The system and user messages for a dialogue.

        Args:
            dialogue: what the template's variables are taken from.
            escape: is applied to every text of a dialogue before it goes into the template.
            length: the target length of the summary in characters; None leaves the variable undefined.
            examples: dialogues with a summary (the first reference), in the order in which they are shown.

        Raises:
            PromptError: the template asks for something that this dialogue does not have.
        """
        makers: dict[str, Callable[[], object]] = {
            "dialogue": lambda: escape(dialogue.text),
            "turns": lambda: tuple(map(escape, dialogue.turns)),
            "speakers": lambda: tuple(map(escape, dialogue.speakers)),
            "topic": lambda: escape(dialogue.topic or ""),
            "length": lambda: length,
            "examples": lambda: tuple(
                Example(escape(example.text), escape(example.references[0].strip())) for example in examples
            ),
        }
        missing = {
            "topic": dialogue.topic is None,
            "length": length is None,
            "examples": not self.uses("examples"),
        }
        known = [name for name in makers if not missing.get(name)]
        # Most templates use one variable; splitting a dialogue into turns costs as much as rendering it.
        variables = {name: makers[name]() for name in known if self.uses(name)}
        return [
            {"role": section, "content": self._render(section, dialogue.id, variables, known)}
            for section in ("system", "user")
            if section in self.sections
        ]

    def answer(self, summary: str) -> str:
        """What the model is to say for a summary, without white space around it.

        Some tokenizers cannot tell a text that begins with a space from one that does not.
        """
        return self._render("answer", "answer", {"summary": summary.strip()}, ["summary"]).strip()

    def uses(self, variable: str) -> bool:
        """Whether the sections `system` and `user` use a variable."""
        return variable in self.variables

    def _render(self, section: str, identity: str, variables: dict[str, object], known: list[str]) -> str:
        if "{" not in self.sections[section]:
            return self.sections[section]  # no Jinja in it
        try:
            return str(self._compiled[section].render(variables))
        # An expression can fail as any Python expression can: {{ topic + 1 }}, {{ 1 / 0 }}.
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise PromptError(
                f"{self.path}: section {section}: {identity}: {error}; known here: {', '.join(sorted(known))}"
            ) from error


def bundled_templates() -> list[Template]:
    """The prompts that come with the package, sorted by name."""
    names = (path.stem for path in bundled_dir("prompts").glob("*.md"))
    return sorted(map(load_template, names), key=lambda template: template.name)


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
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read ({error}); expected a prompt in Markdown, UTF-8") from error
    if (at := text.find("\ue000")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise PromptError(f"{path}:{line}: found the private character U+E000, which marks hidden text; remove it")
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
        used = _used(source)
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


def _used(source: str) -> set[str]:
    """Names that a section expects from outside."""
    return meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
