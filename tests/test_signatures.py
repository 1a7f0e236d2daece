"""No function has more parameters than a reader can keep in mind: what travels together is one object."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "llm_summ"
MOST = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters(function: Function | ast.Lambda) -> int:
    """Return the number of parameters, `self` and those after ``*`` included."""
    given = function.args
    starred = sum(one is not None for one in (given.vararg, given.kwarg))
    return len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) + starred


def is_command(function: Function) -> bool:
    """Return whether click calls the function, with a parameter for each option."""
    called = (one.func if isinstance(one, ast.Call) else one for one in function.decorator_list)
    return any(isinstance(one, ast.Attribute) and one.attr in {"command", "group"} for one in called)


def functions(node: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function with its qualified name, also those inside of others."""
    for child in ast.iter_child_nodes(node):
        name = within
        if isinstance(child, Function | ast.ClassDef):
            name = f"{within}.{child.name}".removeprefix(".")
        if isinstance(child, Function):
            yield name, child
        yield from functions(child, name)


def over_the_limit(root: Path) -> set[str]:
    return {
        f"{path.relative_to(root.parent)}: {name}"
        for path in root.rglob("*.py")
        for name, function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if parameters(function) > MOST and not is_command(function)
    }


def test_no_function_has_more_than_eight_parameters() -> None:
    assert over_the_limit(PACKAGE) == set()


def test_every_kind_of_parameter_counts_and_options_of_a_command_do_not(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    lines = [
        "class A:",
        "    def eight(self, a, /, b, c, *d, e, f, **g): ...",
        "    async def nine(self, a, /, b, c, *d, e, f=1, g, **h): ...",
        "@click.command('x')",
        "@click.option('--a')",
        "def command(a, b, c, d, e, f, g, h, i):",
        "    def inside(a, b, c, d, e, f, g, h, i): ...",
    ]
    (tmp_path / "p" / "a.py").write_text("\n".join(lines), encoding="utf-8")
    assert over_the_limit(tmp_path / "p") == {"p/a.py: A.nine", "p/a.py: command.inside"}
