"""Other libraries' private names are in core/compat alone, and each name there has a canary."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

PACKAGE = Path(__file__).parents[2] / "llm_summ"
COMPAT = PACKAGE / "core" / "compat"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if COMPAT not in path.parents)

EXEMPT = {"submit/tolerant_csv.py": 1}  # of Python's own module csv
"""Uses outside core/compat that are allowed; a number may fall, and never rise."""

NO_CANARY_HERE = {"trainer"}
"""Modules of core/compat whose canaries are with the tests of what uses them."""

# Public by their libraries' documentation, although their names look private.
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}
LOOKUPS = {"delattr", "getattr", "hasattr", "setattr"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def is_other_library(module: str) -> bool:
    top = module.partition(".")[0]
    return top != "llm_summ" and top not in sys.stdlib_module_names


def is_of_self(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a class keeps something in `self` here."""
    is_stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    return is_stored and isinstance(node.value, ast.Name) and node.value.id == "self"


def own_names(tree: ast.Module) -> set[str]:
    """Names that a file defines itself: functions, classes, fields, and what its classes keep in `self`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif is_of_self(node):
            names.add(node.attr)
    return names


def imported_names(tree: ast.Module) -> set[str]:
    """Names that are bound by imports of other libraries."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                (alias.asname or alias.name).partition(".")[0]
                for alias in node.names
                if is_other_library(alias.name)
            }
        elif isinstance(node, ast.ImportFrom) and is_other_library(node.module or ""):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def error_names(tree: ast.Module) -> set[str]:
    """Names of errors: of `except … as`, and of arguments that are annotated with an error's class."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    arguments = (node for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation is not None)
    names |= {one.arg for one in arguments if re.search(r"(Error|Exception)\b", ast.unparse(one.annotation))}
    return names


def root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def private_uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each use of another library's private name or of its errors' words, and what it is."""
    tree = ast.parse(source)
    own, imported, errors = own_names(tree), imported_names(tree), error_names(tree)
    is_message = {f"str({name})" for name in errors}
    is_message |= {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in is_message
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield node.lineno, f"private attribute {ast.unparse(node)}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                name = f"{module}.{alias.name}".lstrip(".")
                if is_other_library(name) and any(map(is_private, name.split("."))):
                    yield node.lineno, f"private import {name}"
        elif isinstance(node, ast.Call):
            function = node.func.id if isinstance(node.func, ast.Name) else ""
            if function in LOOKUPS and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                name = str(node.args[1].value)
                if is_private(name) and name not in own:
                    yield node.lineno, f"private attribute {name} by {function}"
            for keyword in node.keywords:
                if keyword.arg is not None and is_private(keyword.arg):
                    yield node.lineno, f"private argument {keyword.arg}"
            if root(node.func) == "re" and any(ast.unparse(one) in is_message for one in node.args):
                yield node.lineno, "words of an error"
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
                if ast.unparse(node.comparators[-1]) in is_message:
                    yield node.lineno, "words of an error"
            elif any(ast.unparse(side) == f"type({name}).__name__" for side in sides for name in errors):
                yield node.lineno, "an error's class by its name"
        is_changed = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
        if is_changed and (root(node) in imported or is_forward(node)):
            yield node.lineno, f"patch of {ast.unparse(node)}"


def is_forward(node: ast.AST) -> bool:
    """Whether it is what another object computes with, as a layer of PyTorch does."""
    return isinstance(node, ast.Attribute) and node.attr == "forward" and root(node) != "self"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_of_another_library(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    uses = [f"{name}:{line}: {what}" for line, what in private_uses(path.read_text(encoding="utf-8"))]
    assert len(uses) <= EXEMPT.get(name, 0), "\n".join(["move it to core/compat:", *uses])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from torch import nn\nnn.Module._parameters", "private attribute nn.Module._parameters"),
        (
            "def f(model):\n    return model.config._attn_implementation",
            "private attribute model.config._attn_imp",
        ),
        ("import torch.utils._pytree", "private import torch.utils._pytree"),
        ("from torch.utils._pytree import tree_leaves", "private import torch.utils._pytree.tree_leaves"),
        ("from trl.trainer.utils import _CHUNK", "private import trl.trainer.utils._CHUNK"),
        ("getattr(model, '_no_split_modules', None)", "private attribute _no_split_modules by getattr"),
        ("Config(_name_or_path='a')", "private argument _name_or_path"),
        ("from huggingface_hub import constants\nconstants.OFFLINE = True", "patch of constants.OFFLINE"),
        ("from transformers import FUNCTIONS\nFUNCTIONS['sdpa'] = None", "patch of FUNCTIONS['sdpa']"),
        ("def f(layer):\n    del layer.forward", "patch of layer.forward"),
        ("try: f()\nexcept ValueError as error:\n    'NaN' in str(error)", "words of an error"),
        ("try: f()\nexcept ValueError as error:\n    any(s in str(error) for s in S)", "words of an error"),
        ("def f(error: OSError):\n    text = str(error)\n    return 'gated' in text", "words of an error"),
        ("import re\ndef f(error: OSError):\n    re.search('a', str(error))", "words of an error"),
        ("def f(error: Exception):\n    type(error).__name__ == 'BigError'", "an error's class by its name"),
    ],
)
def test_each_kind_of_use_is_found(source: str, expected: str) -> None:
    [(_, what)] = private_uses(source)
    assert what.startswith(expected)


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def __init__(self):\n        self._x = 1\n    def f(self, other):\n        return other._x",
        "import os\nos._exit(1)\nos.environ['A'] = 'b'",
        "from llm_summ.score.batch import _vocabulary",
        "row._asdict()",
        "self.__dict__",
        "from transformers import GenerationConfig\nconfig = GenerationConfig()\nconfig.eos_token_id = 1",
    ],
)
def test_own_and_public_names_are_none(source: str) -> None:
    assert list(private_uses(source)) == []


def names_in_compat() -> list[tuple[str, str]]:
    modules = [path.stem for path in sorted(COMPAT.glob("*.py")) if path.stem != "__init__"]
    return [
        (module, name)
        for module in modules
        if module not in NO_CANARY_HERE
        for name in importlib.import_module(f"llm_summ.core.compat.{module}").__all__
    ]


@pytest.mark.parametrize(("module", "name"), names_in_compat())
def test_each_name_in_compat_has_a_canary_and_says_why(module: str, name: str) -> None:
    canaries = (Path(__file__).parent / f"test_compat_{module}.py").read_text(encoding="utf-8")
    assert "pytest.mark.canary" in canaries
    assert re.search(rf"\b{name}\b", canaries.partition("\n\n\n")[2] or canaries)
    source = (COMPAT / f"{module}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            assert ast.get_docstring(node)
            break
        is_constant = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        if is_constant:
            after = tree.body[place + 1]
            assert isinstance(getattr(after, "value", None), ast.Constant), f"{name}: no docstring"
            break
