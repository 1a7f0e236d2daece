"""The examples of CONTRIBUTING.md are whole: a package that consists of one works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from seams import installed

from llm_summ.core.objective_registry import OBJECTIVES
from llm_summ.core.post_step_registry import POST_STEPS
from llm_summ.core.registry import Registry
from llm_summ.models.base_facts import BaseFacts
from llm_summ.models.families import FAMILIES, Causal, find_family
from llm_summ.post import post_process
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import TrainFields
from llm_summ.score.other_metrics import METRICS, score_by

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@contextmanager
def example(heading: str, registry: Registry[Any], site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Install the example of a section with its entry point, and yield its name."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    [declared] = re.findall(r'^```toml\n\[project.entry-points."(.*?)^```', section, re.MULTILINE | re.DOTALL)
    group, point = re.fullmatch(r'(\S+)"\]\n(\w+ = "\w+:\w+")\n', declared).groups()  # type: ignore[union-attr]
    assert group == registry.group
    name, target = point.replace('"', "").split(" = ")
    with installed(registry, target.partition(":")[0], code, site, monkeypatch) as facts:
        (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n", encoding="utf-8")
        assert registry.names()[-1] == name
        yield name


def test_the_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with example("Add a metric", METRICS, tmp_path, monkeypatch) as name:
        score = score_by(name, ["가나다라", "가"], [["가나", "라"], ["가"]])
        assert score.per_row == (pytest.approx(200 / 3), 100)
        assert score.signature.startswith("metric:characters|version:1|nrefs:1-2|")


def test_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with example("Add a step of post-processing", POST_STEPS, tmp_path, monkeypatch) as name:
        assert post_process(["좋다", "좋다."], [None, None], [name]).texts == ["좋다."] * 2


def test_the_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with example("Add a family of models", FAMILIES, tmp_path, monkeypatch) as name:
        facts = BaseFacts("own", "Own", ("OwnClassModel",), None, False, False, None, (), False, 0, 100, 100)
        family = find_family(facts)
        assert isinstance(family, Causal)
        assert family.name == name


@pytest.mark.slow
def test_the_objective(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from llm_summ.models.families import CAUSAL
    from llm_summ.train.objectives import ObjectiveInputs, make_objective

    rows = [TokenizedExample("a", (1, 5, 6), (7, 8, 9), 2), TokenizedExample("b", (1, 5), (7,), 2)]
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with example("Add an objective", OBJECTIVES, tmp_path, monkeypatch) as name:
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
