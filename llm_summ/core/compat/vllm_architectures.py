"""vLLM: which model classes it serves, and which of them accept an adapter. Its source is read, not imported.

Importing vLLM takes longer than all other checks of a base before its weights are loaded, and its public
`ModelRegistry` imports the class of a model to answer. So the tables of its registry and the base classes of its
models are parsed from the source. Without them vLLM refuses a base, or ignores its adapter, after minutes of
loading.
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

# The classes of transformers that vLLM 0.32 serves without adapters: for machines without vLLM.
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
    """How vLLM supports a model class.

    Attributes:
        at_all: whether it serves the class.
        with_adapters: whether it serves it with an adapter that is not merged.
    """

    at_all: bool
    with_adapters: bool


def architecture_support(architecture: str) -> ArchitectureSupport:
    """Return how vLLM supports a model class, such as ``LlamaForCausalLM``.

    If vLLM is not installed, the answer is that of vLLM 0.32.
    """
    table = _registry()
    if table is None:
        return ArchitectureSupport(True, architecture not in _WITHOUT_ADAPTERS)
    location = table.get(architecture)
    if location is None:
        return ArchitectureSupport(False, False)
    return ArchitectureSupport(True, _takes_adapters(*location))


@cache
def _registry() -> dict[str, tuple[str, str]] | None:
    """Return the module and the class for each architecture; None if vLLM is not installed."""
    folder = _models()
    if folder is None or not (folder / "registry.py").is_file():
        return None
    classes: dict[str, tuple[str, str]] = {}
    for node in ast.parse((folder / "registry.py").read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if not any(isinstance(target, ast.Name) and target.id in _TABLES for target in node.targets):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                parts = [str(part.value) for part in value.elts if isinstance(part, ast.Constant)]
                if len(parts) == 2:
                    classes[str(key.value)] = parts[0], parts[1]
    return classes or None


@cache
def _takes_adapters(module: str, name: str) -> bool:
    """Return whether a class, or one of its base classes, accepts adapters."""
    return any(
        base == _TAKES_ADAPTERS or (where is not None and _takes_adapters(where, base))
        for base, where in _bases(module, name)
    )


def _bases(module: str, name: str) -> Iterator[tuple[str, str | None]]:
    """Yield the name and the module of each base class of a class."""
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
        # A package re-exports classes of its modules.
        elif name in imported and _file(imported[name]) not in (None, path):
            yield from _bases(imported[name], name)
            return


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """Return the module that an import names, in the form that `_file` accepts."""
    if not node.level:
        return str(node.module)
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    top = _models()
    assert top is not None
    return ".".join([*folder.relative_to(top.parents[2]).parts, str(node.module)])


def _file(module: str) -> Path | None:
    """Return the file of a module, which is named in full, or by its short name if it is one of vLLM's models."""
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
    """Return the folder of vLLM's models; None if vLLM is not installed."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model_executor" / "models"
    return folder if folder.is_dir() else None
