"""What the documents tell people to type can be typed, and what is shipped is whole."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from llm_summ.cli import cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "README.ko.md", "CHANGELOG.md", "CONTRIBUTING.md", "recipes/README.md")
    ),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
# The first and the second part of a link to a file of ours: the file, and the section.
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
# In a block, a line of its own; what stands in running text may be a name alone (`llm-summ sft`).
NAMES = "sft|generate|summarize|eval|data|check|prompts|merge|post|runs|select|serve|submit|sweep"
COMMAND = re.compile(rf"^ *(llm-summ (?:{NAMES})[^`#\n]*)", re.MULTILINE)
# In the table of the front page, a cell that holds nothing but a command.
CELL = re.compile(r"\| `(llm-summ [^`]+)` \|")
FEWEST_LINES, MOST_LINES = 120, 170


def commands() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in (*DOCUMENTS, *(ROOT / "scripts").glob("*.sh"))]
    in_blocks = {command.strip() for text in texts for command in COMMAND.findall(text)}
    return sorted({*in_blocks, *CELL.findall((ROOT / "README.md").read_text(encoding="utf-8"))})


def without_blocks(text: str) -> str:
    """Return a document without its blocks of code, in which # and ]( mean something else."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names by which links can find the sections of a page, made as GitHub makes them."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", without_blocks(path.read_text(encoding="utf-8")), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        repeated = (f"{name}-{number}" for number in range(1, len(names) + 1))
        names.add(name if name not in names else next(other for other in repeated if other not in names))
    return names


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_documents_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context(command.name or "", words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_placeholder_is_left(path: Path) -> None:
    assert not re.findall(r"@@|TODO|FIXME|XXX", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, section in LINK.findall(without_blocks(path.read_text(encoding="utf-8"))):
        page = path.parent / target if target else path
        assert page.exists(), target
        assert not section or section in anchors(page), f"{target}#{section}"


def test_anchors_are_made_as_github_makes_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    headings = ("# Two cores, in an hour", "## `auto` and a_b", "## [Data](data.md) (more)", "## I want to …")
    lines = (*headings, "## 길이 제한", "## 길이 제한", "```", "# a comment", "```")
    page.write_text("\n".join(lines), encoding="utf-8")
    plain = {"two-cores-in-an-hour", "auto-and-a_b", "data-more", "i-want-to-"}
    assert anchors(page) == plain | {"길이-제한", "길이-제한-1"}


def test_the_readme_is_a_front_page() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert FEWEST_LINES <= len(lines) <= MOST_LINES


@pytest.mark.parametrize("index", sorted((ROOT / "docs").glob("**/README.md")), ids=lambda path: path.parent.name)
def test_every_page_is_in_the_index_of_its_folder(index: Path) -> None:
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text(encoding="utf-8"))}
    assert {path.resolve() for path in index.parent.glob("*.md")} <= linked | {index.resolve()}


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a source tree")
def test_a_wheel_holds_recipes_prompts_and_sample(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind, pattern in (("recipes", "*.yaml"), ("prompts", "*.md")):
        files = {f"llm_summ/{kind}/{path.name}" for path in (ROOT / kind).glob(pattern)}
        assert files
        assert files <= names
    assert {f"llm_summ/evaluate/page/page.{ending}" for ending in ("html", "css", "js")} <= names
    assert {f"llm_summ/data/sample/{name}" for name in ("train.csv", "dev.csv", "test.csv", "README.md")} <= names
    assert "llm_summ/py.typed" in names  # or a user's type checker takes everything for Any
    # Installed elsewhere, it finds them: unpacked, on the path before this tree, in an empty folder.
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import llm_summ\n"
        "from llm_summ.recipe import find_recipe, load_recipe\n"
        "from llm_summ.prompt import load_template\n"
        "from llm_summ.data import read_dialogues\n"
        "print(llm_summ.__file__, find_recipe('recipes/qlora.yaml'), load_template('plain').path)\n"
        "load_recipe(find_recipe('qlora')); read_dialogues('sample:dev')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(word.startswith(str(tmp_path / "site")) for word in done.stdout.split())
