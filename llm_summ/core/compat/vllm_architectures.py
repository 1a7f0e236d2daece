"""vLLM: which classes of models it serves, and which of them take an adapter. Its source is read, not imported.

Importing vLLM takes longer than everything else that is known about a base before its weights are loaded, and its
public `ModelRegistry` imports the class of a model to answer. So the tables of its registry and the bases of its
classes are read as text. Without them vLLM refuses a base, or leaves its adapter out, after minutes of loading.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ArchitectureSupport", "architecture_support"]

_TABLES = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS")
_TAKES_ADAPTERS = "SupportsLoRA"

# What vLLM 0.32 serves without adapters, of the classes that transformers has: for machines without vLLM.
_WITHOUT_ADAPTERS = frozenset(
    {
        "BloomForCausalLM",
        "Cohere2MoeForCausalLM",
        "DbrxForCausalLM",
        "DeepseekV32ForCausalLM",
        "FalconForCausalLM",
        "FalconMambaForCausalLM",
        "GPT2LMHeadModel",
        "GPTJForCausalLM",
        "Gemma3nForCausalLM",
        "Gemma3nForConditionalGeneration",
        "HrmTextForCausalLM",
        "KimiLinearForCausalLM",
        "Mamba2ForCausalLM",
        "MambaForCausalLM",
        "MiMoV2FlashForCausalLM",
        "StableLmForCausalLM",
        "Zamba2ForCausalLM",
    }
)


@dataclass(frozen=True, slots=True)
class ArchitectureSupport:
    """What vLLM does with a class of models.

    Attributes:
        at_all: whether it has the class.
        with_adapters: whether an adapter can stay beside the weights.
    """

    at_all: bool
    with_adapters: bool


def architecture_support(architecture: str) -> ArchitectureSupport:
    """Return what vLLM does with a class of models, such as ``LlamaForCausalLM``.

    Where vLLM is not installed that is what is known of vLLM 0.32.
    """
    table = _registry()
    if table is None:
        return ArchitectureSupport(True, architecture not in _WITHOUT_ADAPTERS)
    found = table.get(architecture)
    if found is None:
        return ArchitectureSupport(False, False)
    return ArchitectureSupport(True, _takes_adapters(*found))


@cache
def _registry() -> dict[str, tuple[str, str]] | None:
    """Return the module and the class for each architecture; None if vLLM is not installed."""
    folder = _models()
    if folder is None or not (folder / "registry.py").is_file():
        return None
    found: dict[str, tuple[str, str]] = {}
    for node in ast.parse((folder / "registry.py").read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if not any(isinstance(target, ast.Name) and target.id in _TABLES for target in node.targets):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                parts = [str(one.value) for one in value.elts if isinstance(one, ast.Constant)]
                if len(parts) == 2:
                    found[str(key.value)] = parts[0], parts[1]
    return found or None


@cache
def _takes_adapters(module: str, name: str) -> bool:
    """Whether a class, or one that it is made from, is among those that take adapters."""
    return any(
        base == _TAKES_ADAPTERS or (where is not None and _takes_adapters(where, base))
        for base, where in _bases(module, name)
    )


def _bases(module: str, name: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names of a class's bases, and their modules as far as they are vLLM's models."""
    path = _file(module)
    if path is None:
        return
    tree = _parsed(path)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            where = _absolute(path, node)
            imported |= {alias.asname or alias.name: where for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for base in node.bases:
                if isinstance(base, ast.Name):
                    yield base.id, imported.get(base.id, module)
        # A package gives on what its modules have.
        elif name in imported and _file(imported[name]) not in (None, path):
            yield from _bases(imported[name], name)
            return


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that an import names, as `_file` takes it."""
    if not node.level:
        return str(node.module)
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    top = _models()
    assert top is not None
    return ".".join([*folder.relative_to(top.parents[2]).parts, str(node.module)])


def _file(module: str) -> Path | None:
    """The file of a module: one of vLLM's models by its short name, or one with its full name."""
    top = _models()
    if top is None:
        return None
    parts = module.split(".")
    folder = top.parents[2].joinpath(*parts) if parts[0] == "vllm" else top.joinpath(*parts)
    for path in (folder.with_suffix(".py"), folder / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _models() -> Path | None:
    """The folder of vLLM's models."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "model_executor" / "models"
    return folder if folder.is_dir() else None
