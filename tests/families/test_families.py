"""Base models of many families: each goes through every command, or is refused before it costs anything."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra train is not installed")
pytest.importorskip("bitsandbytes", reason="the extra train is not installed")

from family_walk import walk
from tiny_families import FAMILIES, Family

from llm_summ.models.base_facts import facts_of
from llm_summ.models.gate import base_findings
from llm_summ.recipe import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]


def chosen(family: Family) -> object:
    marks = () if family.in_ci else (pytest.mark.families,)
    return pytest.param(family, id=family.name.partition(" (")[0], marks=marks)


@pytest.mark.parametrize("family", list(map(chosen, FAMILIES)))
def test_a_family_goes_through_or_is_refused(family: Family, tmp_path: Path) -> None:
    results = dict(walk(family, tmp_path, vllm=False))
    if not family.refused:
        assert set(results.values()) == {"ok"}, results
        return
    from transformers import AutoConfig

    assert list(results) == ["check"]
    assert results["check"].startswith("model.base: ./base: ")
    assert not (tmp_path / "runs").exists()
    if family.refused == "pass":  # this fails when the model is built without weights
        assert "fails in its own code" in results["check"]
        return
    recipe = load_recipe(tmp_path / "recipe.yaml", [])
    config = AutoConfig.from_pretrained(tmp_path / "base")
    findings = base_findings(recipe, facts_of(config), "train")
    codes = [finding.code for finding in findings if finding.refuses]
    assert codes == [family.refused]
