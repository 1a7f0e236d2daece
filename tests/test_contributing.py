"""The examples of CONTRIBUTING.md are whole: each works in this package, and in a package of its own."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from seams import installed, own_registry, run_without_weights

import llm_summ
from llm_summ.core.engine_registry import ENGINES, EngineSpec
from llm_summ.core.objective_registry import OBJECTIVES, ObjectiveSpec
from llm_summ.core.post_step_registry import POST_STEPS, PostStepSpec
from llm_summ.core.registry import Registry
from llm_summ.data import Dialogue
from llm_summ.generate.summarizer import Summarizer
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.families import CAUSAL, FAMILIES, SEQ2SEQ, Causal, find_family
from llm_summ.post import post_process
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import TrainFields
from llm_summ.score.other_metrics import METRICS, score_by

pytestmark = pytest.mark.filterwarnings("ignore:::transformers")

ROOT = Path(llm_summ.__file__).parents[1]
TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SPECS = {spec.__name__: spec for spec in (EngineSpec, ObjectiveSpec, PostStepSpec)}

Example = Callable[[str, Registry[Any]], AbstractContextManager[str]]


def section(heading: str) -> str:
    return TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]


def blocks(heading: str, language: str) -> list[str]:
    """Return the blocks of a section in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)


@contextmanager
def in_its_own_package(
    heading: str, registry: Registry[Any], site: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Install the example of a section as a package with its entry point, and yield its name."""
    code, *others = blocks(heading, "python")
    [declared] = blocks(heading, "toml")
    match = re.fullmatch(r'\[project\.entry-points\."(\S+)"\]\n(\w+) = "((\w+):\w+)"\n', declared)
    assert match is not None
    group, name, target, module = match.groups()
    assert group == registry.group
    spec = [other for other in others if other.startswith("from ")]  # the rest is for this package
    with installed(registry, module, "\n".join([code, *spec]), site, monkeypatch) as facts:
        (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n", encoding="utf-8")
        assert registry.names()[-1] == name
        yield name


@contextmanager
def in_this_package(
    heading: str, registry: Registry[Any], site: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Put the example of a section into the file and the registry that it names, and yield its name.

    A new file is in a folder that becomes a part of its package. To a file that exists the example is added.
    """
    code, line, *_ = blocks(heading, "python")
    match = re.search(r"^In this package:.*?`(llm_summ/\S+\.py)`", section(heading), re.MULTILINE | re.DOTALL)
    assert match is not None
    path = Path(match[1])
    package, module = ".".join(path.parent.parts), ".".join(path.with_suffix("").parts)
    own_registry(registry, monkeypatch)
    if (ROOT / path).exists():
        names: dict[str, Any] = {}
        exec(code, names)
        for name in names.keys() - {"__builtins__"}:
            monkeypatch.setattr(importlib.import_module(module), name, names[name], raising=False)
    else:
        site.mkdir(exist_ok=True)
        (site / path.name).write_text(code, encoding="utf-8")
        folders = importlib.import_module(package).__path__
        monkeypatch.setattr(importlib.import_module(package), "__path__", [*folders, str(site)])
        importlib.invalidate_caches()
    try:
        if line.startswith("["):  # all instances, in their order
            names = vars(importlib.import_module(module)) | {"CAUSAL": CAUSAL, "SEQ2SEQ": SEQ2SEQ}
            monkeypatch.setattr(registry, "built_in", tuple(eval(line, names)))
            own_registry(registry, monkeypatch)
            yield registry.built_in[0].name
        else:
            spec = eval(line, dict(SPECS))
            registry.register(spec)
            yield spec.name
    finally:
        if not (ROOT / path).exists():
            sys.modules.pop(module, None)
            vars(sys.modules[package]).pop(path.stem, None)


@pytest.fixture(params=[in_this_package, in_its_own_package])
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Return what adds the example of a section to a registry, in each of the two ways."""
    return lambda heading, registry: request.param(heading, registry, tmp_path / "site", monkeypatch)


def test_the_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_its_own_package("Add a metric", METRICS, tmp_path, monkeypatch) as name:
        score = score_by(name, ["가나다라", "가"], [["가나", "라"], ["가"]])
        assert score.per_row == (pytest.approx(200 / 3), 100)
        assert score.signature.startswith("metric:characters|version:1|nrefs:1-2|")


def test_the_step(example: Example) -> None:
    with example("Add a step of post-processing", POST_STEPS) as name:
        assert post_process(["좋다", "좋다."], [None, None], [name]).texts == ["좋다."] * 2


def test_the_family(example: Example) -> None:
    with example("Add a family of models", FAMILIES) as name:
        facts = BaseFacts("own", "Own", ("OwnClassModel",), "Own", False, False, None, (), False, 0, 100, 100)
        assert CAUSAL.includes(facts)  # it is asked afterwards
        family = find_family(facts)
        assert isinstance(family, Causal)
        assert (family.name, family.auto_class().__name__) == (name, "AutoModelForImageTextToText")


@pytest.mark.slow
def test_the_engine(example: Example, tiny_model: Path, in_tmp: Path) -> None:
    with example("Add an engine", ENGINES) as name:
        with Summarizer.open(run_without_weights(tiny_model), engine=name) as summarizer:
            [summary] = summarizer.summarize([Dialogue("a", "#Person1#: 늦었어?\n#Person2#: 아니, 금방 가.")])
        assert summary.text == "#Person2#: 아니, 금방 가."


@pytest.mark.slow
def test_the_objective(example: Example, tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from llm_summ.train.objectives import ObjectiveInputs, make_objective

    rows = [TokenizedExample("a", (1, 5, 6), (7, 8, 9), 2), TokenizedExample("b", (1, 5), (7,), 2)]
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with example("Add an objective", OBJECTIVES) as name:
        inputs = [
            ObjectiveInputs(TrainFields(objective=one), rows, CAUSAL, 0, torch.device("cpu"))
            for one in (name, "sft")
        ]
        mean, whole = map(make_objective, inputs)
    mean.prepare(model)
    with torch.no_grad():
        expected = sum(float(whole.loss(model, [row])) / row.target_tokens for row in rows)
        assert float(mean.loss(model, rows)) == pytest.approx(expected, rel=1e-5)
    assert [mean.weight(row) for row in rows] == [1, 1]
    assert [mean.length(row) for row in rows] == [len(row) for row in rows]
