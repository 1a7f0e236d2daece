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
_MODELS = "vllm.model_executor.models"

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
    path = _file(f"{_MODELS}.registry")
    if path is None:
        return None
    classes: dict[str, tuple[str, str]] = {}
    for node in _parsed(path).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        if not any(isinstance(target, ast.Name) and target.id in _TABLES for target in node.targets):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                parts = [str(part.value) for part in value.elts if isinstance(part, ast.Constant)]
                if len(parts) == 2:
                    module = parts[0] if parts[0].startswith("vllm.") else f"{_MODELS}.{parts[0]}"
                    classes[str(key.value)] = module, parts[1]
    return classes or None


@cache
def _takes_adapters(module: str, name: str) -> bool:
    """Return whether a class, or one of its base classes, accepts adapters."""
    return any(base == _TAKES_ADAPTERS or _takes_adapters(where, base) for base, where in _bases(module, name))


def _bases(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the module of each base class of a class."""
    path = _file(module)
    if path is None:
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = _parsed(path)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            where = importlib.util.resolve_name("." * node.level + node.module, package)
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


@cache
def _file(module: str) -> Path | None:
    """Return the source of one of vLLM's modules; None for others, and if vLLM is not installed."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None or module.split(".")[0] != "vllm":
        return None
    source = Path(spec.origin).parents[1].joinpath(*module.split("."))
    paths = (source.with_suffix(".py"), source / "__init__.py")
    return next((path for path in paths if path.is_file()), None)
