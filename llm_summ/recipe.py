"""A recipe says everything that a run depends on; nothing else does.

A recipe is a YAML file. Every field has its default here, so a recipe holds what differs; a field that is
not known is an error that names the line and the nearest known field. Single fields are changed on the
command line with ``--set train.learning_rate=1e-4``.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llm_summ.errors import RecipeError

__all__ = [
    "DataFields",
    "GenerateFields",
    "LoraFields",
    "ModelFields",
    "PostStep",
    "PromptFields",
    "Recipe",
    "TrainFields",
    "bundled_dir",
    "dump_recipe",
    "find_recipe",
    "load_recipe",
]

PostStep = Literal["strip", "join_lines", "collapse_whitespace", "cut_unfinished"]

# What the YAML reader lets through besides its own errors: for a date such as 2020-13-45, a tag without a value
# (!!int), a thousand brackets.
_YAML_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelFields(_Section):
    """Which base model, and how its weights are held while the adapter is trained."""

    base: str = Field(min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False
    quantization: Literal["nf4", "fp4", "int8", "none"] = "nf4"
    double_quantization: bool = True
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"


class DataFields(_Section):
    """Where the dialogues are: a CSV, JSONL or parquet path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    `train` may be several files. `shuffle` (by the recipe's seed) and then `limit` say which of their rows are
    trained, and in which order.
    """

    train: str | list[str] = Field(min_length=1)
    dev: str | None = Field(default=None, min_length=1)
    test: str | None = Field(default=None, min_length=1)
    shuffle: bool = False
    limit: int | None = Field(default=None, ge=1)

    @property
    def train_sources(self) -> list[str]:
        """The training files, one or several."""
        return [self.train] if isinstance(self.train, str) else self.train


class PromptFields(_Section):
    """How a dialogue becomes token ids. Lengths are in tokens of the base model."""

    template: str = Field(default="plain", min_length=1)
    chat: Literal["auto", "always", "never"] = "auto"
    max_prompt_tokens: int = Field(default=1024, ge=16)
    max_answer_tokens: int = Field(default=256, ge=2)
    truncation: Literal["middle", "head", "tail", "error"] = "middle"
    examples: int = Field(default=0, ge=0, le=32)
    max_examples_tokens: int = Field(default=512, ge=1)
    length_buckets: int = Field(default=5, ge=2, le=20)


class LoraFields(_Section):
    """The adapter: LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["all-linear"] | list[str] = "all-linear"


class TrainFields(_Section):
    """The optimisation. `batch_size` rows make one optimizer step, `micro_batch_size` at a time."""

    epochs: float = Field(default=2.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    group_by_length: bool = True
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    optimizer: Literal["auto", "adamw_torch", "paged_adamw_8bit"] = "auto"
    log_every: int = Field(default=1, ge=1)

    def checkpoints(self, *, on_gpu: bool) -> bool:
        """Whether activations are made anew in the backward pass: what `gradient_checkpointing` means there."""
        return self.gradient_checkpointing == "on" or (self.gradient_checkpointing == "auto" and on_gpu)

    def optimizer_name(self, *, on_gpu: bool) -> Literal["adamw_torch", "paged_adamw_8bit"]:
        """The optimizer that `optimizer` means there."""
        if self.optimizer == "auto":
            return "paged_adamw_8bit" if on_gpu else "adamw_torch"
        return self.optimizer


class GenerateFields(_Section):
    """How summaries are generated. Greedy: the likeliest token at every step."""

    engine: Literal["auto", "vllm", "hf"] = "auto"
    max_new_tokens: int = Field(default=160, ge=1)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    adapter: Literal["auto", "attach", "merge"] = "auto"
    base_quantization: Literal["none", "nf4"] = "none"
    batch_size: int = Field(default=16, ge=1)
    gpu_memory: float = Field(default=0.9, gt=0, le=1)


class Recipe(_Section):
    """A whole recipe; immutable."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    model: ModelFields
    data: DataFields
    prompt: PromptFields = PromptFields()
    lora: LoraFields = LoraFields()
    train: TrainFields = TrainFields()
    generate: GenerateFields = GenerateFields()
    post: list[PostStep] = ["strip", "join_lines", "collapse_whitespace", "cut_unfinished"]

    @field_validator("train")
    @classmethod
    def _batches_divide(cls, train: TrainFields) -> TrainFields:
        if train.batch_size % train.micro_batch_size:
            raise ValueError(
                f"batch_size {train.batch_size} is not a multiple of micro_batch_size {train.micro_batch_size}"
            )
        return train

    @field_validator("generate")
    @classmethod
    def _quantized_base_stays_with_hf(cls, generate: GenerateFields) -> GenerateFields:
        if generate.base_quantization != "none":
            if generate.engine == "vllm":
                raise ValueError("base_quantization nf4 works with engine hf only; set it to none for vllm")
            if generate.adapter == "merge":
                raise ValueError("adapter merge does not go with base_quantization nf4; choose one of them")
        return generate


def bundled_dir(kind: Literal["recipes", "prompts"]) -> Path:
    """The folder of the recipes or prompts that come with the package."""
    package = Path(__file__).parent
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind


def find_recipe(name: str | Path) -> Path:
    """The file that `name` means: a path, or else a bundled recipe (``recipes/qlora.yaml``, ``qlora``).

    Raises:
        RecipeError: there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    stem = path.name if path.suffix in {".yaml", ".yml"} else f"{path.name}.yaml"
    bundled = bundled_dir("recipes") / stem
    if bundled.is_file() and str(path.parent) in {".", "recipes"}:
        return bundled
    known = sorted(file.name for file in bundled_dir("recipes").glob("*.yaml"))
    near = difflib.get_close_matches(stem, known, n=1)
    hint = f"did you mean recipes/{near[0]}?" if near else f"bundled recipes: {', '.join(known)}"
    what = "is a folder" if path.is_dir() else "no such file"
    raise RecipeError(f"{name}: {what}; expected a recipe in YAML; {hint}")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides.

    Args:
        path: a YAML file.
        overrides: such as ``train.learning_rate=1e-4``; the value is read as YAML.

    Raises:
        RecipeError: one line for each thing that is wrong, with its place.
    """
    tree, lines = _read_yaml(path)
    placed = {key: f"{path}:{line}" for key, line in lines.items()}
    for name, value in tree.items():
        if value is None and _section((name,)):
            tree[name] = {}  # a section of which every line is commented out
    for override in overrides:
        key, equals, text = override.partition("=")
        keys = tuple(key.strip().split("."))
        if not equals or not all(keys):
            raise RecipeError(f"--set {override}: expected key=value, such as train.learning_rate=1e-4")
        _assign(tree, keys, _parse_scalar(override, text), override)
        for depth in range(1, len(keys)):
            placed.setdefault(keys[:depth], f"--set {override}")
        placed[keys] = f"--set {override}"
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(
            "\n".join(" ".join(line.splitlines()) for line in _explain(error, placed, path))
        ) from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every field written out."""
    from ruamel.yaml import YAML

    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(recipe.model_dump(), out)
    return out.getvalue()


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
    except (YAMLError, *_YAML_FAULTS) as error:
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
                # a key that comes through a merge (<<: *anchor) stands elsewhere
                if position := (node.lc.data or {}).get(key):  # type: ignore[attr-defined]
                    lines[(*at, str(key))] = position[0] + 1
            return {str(key): plain(value, (*at, str(key))) for key, value in node.items()}
        if isinstance(node, list):
            return [plain(value, at) for value in node]
        return _plain_scalar(node)

    return plain(root, ()), lines


def _plain_scalar(value: Any) -> Any:
    """Drop ruamel's subclasses, which remember how a number or text was written."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _parse_scalar(override: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, *_YAML_FAULTS) as error:
        raise RecipeError(f"--set {override}: the value is not valid YAML") from error


def _assign(tree: dict[str, Any], keys: tuple[str, ...], value: Any, override: str) -> None:
    node = tree
    for key in keys[:-1]:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override}: {key} is a single value, not a section")
        node = child
    node[keys[-1]] = value


def _explain(error: ValidationError, placed: Mapping[tuple[str, ...], str], path: Path) -> Iterable[str]:
    """One line for each finding: place, field, what was found, what was expected."""
    told = set()
    for finding in error.errors():
        place = finding["loc"]
        if finding["type"] != "extra_forbidden":  # an unknown field may have any name
            place = tuple(part for part in place if not str(part).startswith(("literal[", "list[")))
        in_union = len(place) < len(finding["loc"])
        keys = tuple(part for part in place if isinstance(part, str))
        if (keys if in_union else place) in told:
            continue  # a union reports every alternative
        told.add(keys if in_union else place)
        known = next((placed[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in placed), str(path))
        yield f"{known}: {'.'.join(keys)}: {_reason(finding, keys)}"


def _reason(finding: Any, keys: tuple[str, ...]) -> str:
    kind, found = finding["type"], finding.get("input")
    if kind == "extra_forbidden":
        names = _field_names(keys[:-1])
        near = difflib.get_close_matches(keys[-1], names, n=1)
        return f"unknown field; {f'did you mean {near[0]}?' if near else 'known fields: ' + ', '.join(names)}"
    if kind == "missing":
        return "missing; give it a value"
    if kind == "value_error":
        return str(finding["ctx"]["error"])
    message = finding["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if kind == "model_type":
        message = f"a section with {', '.join(_field_names(keys)[:3])} …"
    if kind.startswith("literal"):
        if str(finding["loc"][-1]).startswith("literal["):
            message += " or a list of texts"
        near = difflib.get_close_matches(str(found), _choices(_field(keys)), n=1)
        message += f"; did you mean {near[0]}?" if near else ""
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
    """The texts that a field or its items may be; empty if any may."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]
