"""The house: every room imports only rooms before it, and the heavy libraries wait until they are used."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "llm_summ"
FILES = sorted(PACKAGE.rglob("*.py"))

# Rooms of one line do not import each other.
ORDER = [
    ["core"],
    ["recipe"],
    ["runs"],
    ["data"],
    ["prompt"],
    ["score", "post"],
    ["predictions"],
    ["select"],
    ["models"],
    ["plan"],
    ["check"],
    ["generate"],
    ["train", "evaluate"],
    ["submit", "ledger", "merge", "sweep"],
    ["serve"],
    ["cli"],
    ["__main__"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
KNOW_MODELS = {
    *("accelerate", "bitsandbytes", "datasets", "peft", "safetensors", "tokenizers", "torch", "transformers"),
    *("trl", "vllm"),
}
HEAVY = KNOW_MODELS | {"bm25s", "openai", "numpy", "pyarrow", "rapidfuzz", "rouge", "rouge_score"}
# They subclass what the libraries give, and are themselves imported only when a model is there.
MAY_BE_HEAVY = {
    f"llm_summ.train.{name}"
    for name in (
        *("callbacks", "log", "sharded_trainer", "step_loader", "step_trainer"),
        *("tracking", "user_callbacks"),
    )
}
MAY_BE_HEAVY |= {
    "llm_summ.core.compat.trainer",
    "llm_summ.generate.growing_cache",
    "llm_summ.models.beam_cache",
    "llm_summ.generate.engines.sampling",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """``llm_summ.data.read`` is in the room data; the package itself is in none."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path, *, when_loaded: bool) -> Iterator[str]:
    """Modules that a file imports: all of them, or those that are imported as soon as it is."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if when_loaded and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if when_loaded and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            yield child
            yield from walk(child)

    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports out in full"
            assert node.module is not None
            yield node.module
            # `from llm_summ.generate import job` imports a module as well
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if PACKAGE.parent.joinpath(*node.module.split("."), f"{alias.name}.py").is_file()
            )


def test_the_order_names_every_room() -> None:
    assert {room(module_name(path)) for path in FILES} - {""} == set(RANK)


def test_the_package_describes_its_rooms_in_their_order() -> None:
    import llm_summ

    lines = re.findall(r"^ +(\d+)  (\w+) +\S", llm_summ.__doc__ or "", re.MULTILINE)
    described = [(int(number), name) for number, name in lines]
    assert described == sorted((rank + 1, name) for name, rank in RANK.items())


# The package itself is in no room: it offers names of all, and imports them when they are used.
@pytest.mark.parametrize("path", [path for path in FILES if room(module_name(path))], ids=module_name)
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    own = room(module_name(path))
    for imported in imports(path, when_loaded=False):
        if imported.startswith("llm_summ."):
            other = room(imported)
            assert other == own or RANK[other] < RANK[own], f"{module_name(path)} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    loaded = list(imports(path, when_loaded=True))
    if module_name(path) not in MAY_BE_HEAVY:
        assert not HEAVY & {imported.partition(".")[0] for imported in loaded}
        assert not MAY_BE_HEAVY & set(loaded)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(module_name(path)) in {"data", "score", "post", "predictions", "select"}],
    ids=module_name,
)
def test_data_scores_and_post_processing_know_no_model(path: Path) -> None:
    for imported in imports(path, when_loaded=False):
        assert imported.partition(".")[0] not in KNOW_MODELS
        assert room(imported) not in {"models", "prompt", "train", "generate"} or not imported.startswith(
            "llm_summ."
        )


@pytest.mark.parametrize(
    "path", [path for path in FILES if module_name(path) not in MAY_BE_HEAVY], ids=module_name
)
def test_what_a_module_offers_is_there(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    offered = getattr(module, "__all__", [])
    assert len(set(offered)) == len(offered)
    assert [name for name in offered if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
