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

`system` is optional; headings of your own have three signs, ``### 대화``. Jinja runs in its sandbox, without
random built-ins, and an undefined variable is an error. Variables of `system` and `user`:

- `dialogue`; `turns`, its lines; `speakers`, their tags; and `topic`, if the data have it
- `length`: number of characters that the summary should have
- `examples`: other dialogues with their summaries, the most similar last::

      {% for example in examples %}{{ example.dialogue }} … {{ example.summary }}{% endfor %}

The section `answer` has only `summary`, without white space around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jinja2
from jinja2 import TemplateSyntaxError

from llm_summ.core.errors import PromptError, first_line
from llm_summ.core.files import text_sha256
from llm_summ.core.formatting import did_you_mean
from llm_summ.data import Dialogue
from llm_summ.prompt.jinja_env import FAULTS, compile_source, used_names
from llm_summ.recipe import bundled_dir

__all__ = ["Example", "Template", "bundled_templates", "load_template"]

_SECTIONS = ("system", "user", "answer")
_VARIABLES = ("dialogue", "turns", "speakers", "topic", "length", "examples")
_FIELDS = ("name", "description")
_HEADING = re.compile(r"^##[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_FIELD = re.compile(r"([^:]+?)[ \t]*:[ \t]*(.*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class Example:
    """The variables of an example in a template: its two texts."""

    dialogue: str
    summary: str


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes:
        name: from the front matter.
        description: from the front matter.
        path: the file.
        text: the file's text, with line feeds for line ends and without a byte order mark.
        sections: Jinja source of each section.
        compiled: the compiled sections.
    """

    name: str
    description: str
    path: Path
    text: str = field(repr=False)
    sections: dict[str, str] = field(repr=False)
    compiled: dict[str, jinja2.Template] = field(repr=False, compare=False)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of `text`: equal for files that differ in line ends only."""
        return text_sha256(self.text)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Variables that the sections `system` and `user` use, even if only in a condition."""
        return frozenset().union(
            *(
                used_names(source) & set(_VARIABLES)
                for section, source in self.sections.items()
                if section != "answer"
            )
        )

    def messages(
        self,
        dialogue: Dialogue,
        escape: Callable[[str], str] = str,
        *,
        length: int | None = None,
        examples: Sequence[Dialogue] = (),
    ) -> list[dict[str, str]]:
        """Return the system and user messages for a dialogue.

        Args:
            dialogue: the source of the template's variables.
            escape: is applied to every text of a dialogue before the template is rendered.
            length: the target length of the summary in characters; None leaves the variable undefined.
            examples: dialogues with a summary (the first reference), in the order in which they are shown.

        Raises:
            PromptError: the template fails with this dialogue, for example because it has no topic; the message
                begins with the dialogue's id.
        """
        makers: dict[str, Callable[[], object]] = {
            "dialogue": lambda: escape(dialogue.text),
            "turns": lambda: tuple(map(escape, dialogue.turn_texts)),
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
        # Most templates use one variable, and splitting a dialogue into turns takes as long as rendering it.
        variables = {name: makers[name]() for name in known if self.uses(name)}
        try:
            return [
                {"role": section, "content": self._render(section, variables, known)}
                for section in ("system", "user")
                if section in self.sections
            ]
        except PromptError as error:
            raise PromptError(f"{dialogue.id}: {error}") from error

    def completion(self, summary: str) -> str:
        """Return the target text for a summary, without white space around it.

        Some tokenizers cannot distinguish a text that begins with a space from one that does not.

        Raises:
            PromptError: the template fails with this summary.
        """
        return self._render("answer", {"summary": summary.strip()}, ["summary"]).strip()

    def uses(self, variable: str) -> bool:
        """Return whether the sections `system` and `user` use a variable."""
        return variable in self.variables

    def _render(self, section: str, variables: dict[str, object], known: list[str]) -> str:
        if "{" not in self.sections[section]:
            return self.sections[section]  # no Jinja in it
        try:
            return self.compiled[section].render(variables)
        except FAULTS as error:
            raise PromptError(
                f"{self.path}: section {section}: {first_line(error)}; known here: {', '.join(sorted(known))}"
            ) from error


def bundled_templates() -> list[Template]:
    """Return the prompts of the package, sorted by name."""
    names = (path.stem for path in bundled_dir("prompts").glob("*.md"))
    return sorted(map(load_template, names), key=lambda template: template.name)


def load_template(name: str) -> Template:
    """Read a template: a path that ends in .md, or the name of a bundled one (``plain``).

    Raises:
        PromptError: no prompt has that name, or the file is not a template.
    """
    path = Path(name) if name.endswith(".md") else bundled_dir("prompts") / f"{name}.md"
    if not path.is_file():
        bundled = bundled_dir("prompts") / path.name
        if not (name.endswith(".md") and str(path.parent) in {".", "prompts"} and bundled.is_file()):
            known = sorted(other.stem for other in bundled_dir("prompts").glob("*.md"))
            hint = did_you_mean(path.stem, known, f"bundled prompts: {', '.join(known)}")
            raise PromptError(f"{name}: no such prompt; {hint}")
        path = bundled
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read ({error}); expected a prompt in Markdown, UTF-8") from error
    if (position := text.find("\ue000")) >= 0:
        line = text.count("\n", 0, position) + 1
        raise PromptError(f"{path}:{line}: found the private character U+E000, which marks hidden text; remove it")
    fields, end = _read_front(path, text)
    sections: dict[str, str] = {}
    compiled: dict[str, jinja2.Template] = {}
    headings = list(_HEADING.finditer(text, end))
    starts = [*(heading.start() for heading in headings), len(text)]
    if text[end : starts[0]].strip():
        raise PromptError(f"{path}: text before the first section; expected ## system, ## user or ## answer")
    _check_headings(path, text, headings)
    for heading, end in zip(headings, starts[1:], strict=True):
        section, body = heading[1], text[heading.end() : end]
        line = text.count("\n", 0, heading.start()) + 1
        sections[section] = body.strip("\n")
        line += len(body) - len(body.lstrip("\n"))
        compiled[section] = _compile(path, line, section, sections[section])
    for section in ("user", "answer"):
        if section not in sections:
            raise PromptError(f"{path}: no section ## {section}")
    return Template(fields["name"], fields["description"], path, text, sections, compiled)


def _read_front(path: Path, text: str) -> tuple[dict[str, str], int]:
    """Return the fields of the front matter, and the position where the rest of the file begins."""
    front = _FRONT.match(text)
    if not front:
        raise PromptError(f"{path}:1: no front matter; expected --- name: … description: … ---")
    fields: dict[str, str] = {}
    for number, line in enumerate(front[1].split("\n"), 2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _FIELD.fullmatch(line)
        if not match:
            raise PromptError(f"{path}:{number}: front matter: found {line!r}, expected name: … or description: …")
        key, value = match.groups()
        if key not in _FIELDS:
            hint = did_you_mean(key, _FIELDS, f"known fields: {', '.join(_FIELDS)}")
            raise PromptError(f"{path}:{number}: front matter: {key}: unknown field; {hint}")
        if key in fields:
            raise PromptError(f"{path}:{number}: front matter: {key}: duplicate field; remove one of the lines")
        if value:
            fields[key] = value
    for wanted in _FIELDS:
        if wanted not in fields:
            raise PromptError(f"{path}:1: front matter without {wanted}")
    return fields, front.end()


def _check_headings(path: Path, text: str, headings: Sequence[re.Match[str]]) -> None:
    """Raise if a heading is not a section's name, or a section occurs twice."""
    sections = set()
    for heading in headings:
        place, section = f"{path}:{text.count(chr(10), 0, heading.start()) + 1}", heading[1]
        if section not in _SECTIONS:
            raise PromptError(
                f"{place}: ## {section}: no such section; expected ## system, ## user or ## answer; use ### for "
                "headings of your own"
            )
        if section in sections:
            raise PromptError(f"{place}: section {section}: expected each of {', '.join(_SECTIONS)} at most once")
        sections.add(section)


def _compile(path: Path, line: int, section: str, source: str) -> jinja2.Template:
    """Raise if a section is invalid Jinja, lacks its variable or uses an unknown one."""
    place = f"{path}:{line}"
    try:
        compiled, used = compile_source(source), used_names(source)
    except TemplateSyntaxError as error:
        place = f"{path}:{line + error.lineno - 1}"
        raise PromptError(f"{place}: section {section}: not valid Jinja: {error.message}") from error
    except FAULTS as error:
        reason = f"{first_line(error)}; nest loops and brackets less deeply"
        raise PromptError(f"{place}: section {section}: cannot be compiled: {reason}") from error
    known = ("summary",) if section == "answer" else _VARIABLES
    for name in sorted(used - set(known)):
        hint = did_you_mean(name, known, f"known here: {', '.join(known)}")
        raise PromptError(f"{place}: section {section}: unknown variable {name}; {hint}")
    if section == "answer" and "summary" not in used:
        raise PromptError(f"{place}: section answer does not use {{{{ summary }}}}")
    if section == "user" and not used & {"dialogue", "turns"}:
        raise PromptError(f"{place}: section user does not use {{{{ dialogue }}}} or {{{{ turns }}}}")
    return compiled
