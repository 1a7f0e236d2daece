"""Find, read and write recipes; overrides change single fields; errors have the file and the line."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from llm_summ.core.errors import RecipeError
from llm_summ.core.formatting import did_you_mean
from llm_summ.recipe.fields import Recipe

__all__ = ["bundled_dir", "dump_recipe", "find_recipe", "load_recipe", "rename_fields"]

# Fields that had another name in earlier versions.
_NEW_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {("train", "method"): ("train", "weights")}

# Errors that the YAML reader raises besides its own: for a date such as 2020-13-45, a tag without a value (!!int),
# a thousand brackets.
_OTHER_YAML_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

# pydantic's names for the alternatives of a field such as a number or `auto`; no field has such a name.
_UNION_PARTS = {"constrained-int": "a whole number", "int": "a whole number"}


def bundled_dir(kind: Literal["recipes", "prompts"]) -> Path:
    """Return the folder of the recipes or prompts that come with the package."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind


def find_recipe(name: str | Path) -> Path:
    """Return the file that `name` means: a path, or else a bundled recipe (``recipes/qlora.yaml``, ``qlora``).

    Raises:
        RecipeError: neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    stem = path.name if path.suffix in {".yaml", ".yml"} else f"{path.name}.yaml"
    bundled = bundled_dir("recipes") / stem
    if bundled.is_file() and str(path.parent) in {".", "recipes"}:
        return bundled
    known = sorted(file.stem for file in bundled_dir("recipes").glob("*.yaml"))
    listed = f"bundled recipes: {', '.join(f'{one}.yaml' for one in known)}"
    # Without their ends, which all have in common; a folder is no misspelt recipe.
    near = [] if path.is_dir() else known
    hint = did_you_mean(Path(stem).stem, near, listed, show="recipes/{}.yaml".format)
    what = "is a folder" if path.is_dir() else "no such file"
    raise RecipeError(f"{name}: {what}; expected a recipe in YAML; {hint}")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides.

    Args:
        path: a YAML file.
        overrides: such as ``train.learning_rate=1e-4``; the value is read as YAML.

    Raises:
        RecipeError: the recipe is not valid; one line for each error, with its file and line.
    """
    tree, lines = _read_yaml(path)
    lines |= {new: lines[old] for old, new in rename_fields(tree).items() if old in lines}
    placed = {key: f"{path}:{line}" for key, line in lines.items()}
    for name, value in tree.items():
        if value is None and _section((name,)):
            tree[name] = {}  # a section whose lines are all commented out
    for override in overrides:
        key, equals, text = override.partition("=")
        keys = tuple(key.strip().split("."))
        keys = _NEW_NAMES.get(keys, keys)
        if not equals or not all(keys):
            raise RecipeError(f"--set {override}: expected key=value, such as train.learning_rate=1e-4")
        _assign(tree, keys, _parse_scalar(override, text), override)
        for depth in range(1, len(keys)):
            placed[keys[:depth]] = f"--set {override}"
        placed[keys] = f"--set {override}"
    try:
        return Recipe.model_validate(tree, context={"folder": path.parent})
    except ValidationError as error:
        # An invalid combination in the file itself is reported for the file, not for an override.
        in_file = {_without_place(line): line for line in (_errors_in_file(path) if overrides else ())}
        messages = (" ".join(line.splitlines()) for line in _explain(error, placed, path))
        raise RecipeError("\n".join(in_file.get(_without_place(line), line) for line in messages)) from error


def dump_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML, with every field."""
    from ruamel.yaml import YAML

    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(recipe.model_dump(), out)
    return out.getvalue()


def rename_fields(tree: dict[str, Any]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Rename the fields of a recipe of an earlier version to their current names, in place.

    If both names are present nothing is renamed: the old one is then reported as an unknown field.

    Args:
        tree: a recipe as read from YAML.

    Returns:
        the new name of every renamed field, by its old name.
    """
    renamed: dict[tuple[str, ...], tuple[str, ...]] = {}
    for old, new in _NEW_NAMES.items():
        section = tree.get(old[0])
        if isinstance(section, dict) and old[1] in section and new[1] not in section:
            # The order of the fields stays the same.
            tree[old[0]] = {new[1] if name == old[1] else name: value for name, value in section.items()}
            renamed[old] = new
    return renamed


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """Parse a file into plain objects and the line of every key."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); expected a recipe in YAML, UTF-8") from error
    try:
        root = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(error.problem).split())}") from error
    except (YAMLError, *_OTHER_YAML_ERRORS) as error:
        raise RecipeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if root is None:
        root = {}
    if not isinstance(root, Mapping):
        found = "a list" if isinstance(root, list) else "a single value"
        raise RecipeError(f"{path}:1: found {found}; expected fields such as `model:` and `data:`")
    lines: dict[tuple[str, ...], int] = {}

    def plain(node: Any, at: tuple[str, ...]) -> Any:
        if isinstance(node, Mapping):
            for key in node:
                # a key from a merge (<<: *anchor) has no line here
                if position := (node.lc.data or {}).get(key):  # type: ignore[attr-defined]
                    lines[(*at, str(key))] = position[0] + 1
            return {str(key): plain(value, (*at, str(key))) for key, value in node.items()}
        if isinstance(node, list):
            return [plain(value, at) for value in node]
        return _plain_scalar(node)

    return plain(root, ()), lines


def _plain_scalar(value: Any) -> Any:
    """Convert ruamel's subclasses, which store how a number or text was written, to plain values."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _parse_scalar(override: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, *_OTHER_YAML_ERRORS) as error:
        raise RecipeError(f"--set {override}: the value is not valid YAML") from error


def _assign(tree: dict[str, Any], keys: tuple[str, ...], value: Any, override: str) -> None:
    node = tree
    for depth, key in enumerate(keys[:-1], 1):
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override}: {'.'.join(keys[:depth])} is a single value, not a section")
        node = child
    node[keys[-1]] = value


def _errors_in_file(path: Path) -> list[str]:
    """Return the errors of a recipe file without overrides."""
    try:
        load_recipe(path)
    except RecipeError as error:
        return str(error).splitlines()
    return []


def _without_place(line: str) -> str:
    """Return an error without the file and the line."""
    return line.partition(": ")[2]


def _explain(error: ValidationError, placed: Mapping[tuple[str, ...], str], path: Path) -> Iterable[str]:
    """Yield one line for each finding: place, field, what was found, what was expected."""
    reported = set()
    for finding in error.errors():
        path_in_recipe = finding["loc"]
        if finding["type"] != "extra_forbidden":  # an unknown field may have any name
            path_in_recipe = tuple(
                part
                for part in path_in_recipe
                if not str(part).startswith(("literal[", "list[")) and part not in _UNION_PARTS
            )
        in_union = len(path_in_recipe) < len(finding["loc"])
        keys = tuple(part for part in path_in_recipe if isinstance(part, str))
        if (keys if in_union else path_in_recipe) in reported:
            continue  # a union reports every alternative
        reported.add(keys if in_union else path_in_recipe)
        where = next((placed[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in placed), str(path))
        yield f"{where}: {'.'.join(keys)}: {_reason(finding, keys)}"


def _reason(finding: Any, keys: tuple[str, ...]) -> str:
    kind, found = finding["type"], finding.get("input")
    if kind == "extra_forbidden":
        names = _field_names(keys[:-1])
        return f"unknown field; {did_you_mean(keys[-1], names, 'known fields: ' + ', '.join(names))}"
    if kind == "missing":
        return "missing; give it a value"
    if kind == "value_error":
        return str(finding["ctx"]["error"])
    message = finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if kind == "model_type":
        message = f"a section with {', '.join(_field_names(keys)[:3])} …"
    if str(finding["loc"][-1]) in _UNION_PARTS and kind.endswith("_type"):
        message = " or ".join([_UNION_PARTS[str(finding["loc"][-1])], *map(repr, _choices(_field(keys)))])
    if kind.startswith("literal"):
        if str(finding["loc"][-1]).startswith("literal["):
            message += " or a list of texts"
        hint = did_you_mean(str(found), _choices(_field(keys)))
        message += f"; {hint}" if hint else ""
    shown = repr(found) if len(repr(found)) < 60 else repr(found)[:57] + "..."
    return f"found {shown}, expected {message}"


def _section(keys: tuple[str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] = Recipe
    for key in keys:
        field = model.model_fields.get(key)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model


def _field_names(keys: tuple[str, ...]) -> list[str]:
    model = _section(keys)
    return list(model.model_fields) if model else []


def _field(keys: tuple[str, ...]) -> Any:
    model = _section(keys[:-1])
    field = model.model_fields.get(keys[-1]) if model and keys else None
    return field.annotation if field else None


def _choices(annotation: Any) -> list[str]:
    """Return the values that a field or its items may have; empty if any text is valid."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]
