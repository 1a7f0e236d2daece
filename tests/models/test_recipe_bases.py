"""The bases of the recipes on paper: their kinds of configuration pass the gate, and what vLLM does with them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra train is not installed")

from llm_summ.models.base_facts import facts_of
from llm_summ.models.gate import base_findings
from llm_summ.models.vllm_support import base_refusals, unserved_on_cpu
from llm_summ.recipe import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers")]

RECIPES = Path(__file__).parents[2] / "recipes"
# By hand, since no test asks a hub: the class of each base's configuration, and of its weights.
BASES = {
    "LGAI-EXAONE/EXAONE-4.0-32B": ("Exaone4Config", "Exaone4ForCausalLM"),
    "google/gemma-2-9b-it": ("Gemma2Config", "Gemma2ForCausalLM"),
    "kakaocorp/kanana-1.5-8b-instruct-2505": ("LlamaConfig", "LlamaForCausalLM"),
    "Qwen/Qwen3-14B": ("Qwen3Config", "Qwen3ForCausalLM"),
    "Qwen/Qwen3-8B": ("Qwen3Config", "Qwen3ForCausalLM"),
    "digit82/kobart-summarization": ("BartConfig", "BartForConditionalGeneration"),
    "gogamza/kobart-base-v2": ("BartConfig", "BartModel"),
    "facebook/mbart-large-50": ("MBartConfig", "MBartForConditionalGeneration"),
    "paust/pko-t5-large": ("T5Config", "T5ForConditionalGeneration"),
    "lcw99/t5-large-korean-text-summary": ("T5Config", "T5ForConditionalGeneration"),
    "upstage/SOLAR-10.7B-Instruct-v1.0": ("LlamaConfig", "LlamaForCausalLM"),
}


def test_every_recipe_has_a_base_here() -> None:
    named = {load_recipe(path, []).model.base for path in RECIPES.glob("*.yaml")}
    assert {base for base in named if not base.startswith("embedded:")} == set(BASES)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipes_base_passes(path: Path) -> None:
    import transformers

    recipe = load_recipe(path, [])
    kind, architecture = BASES.get(recipe.model.base, ("Gemma3TextConfig", "Gemma3ForCausalLM"))
    facts = facts_of(getattr(transformers, kind)(architectures=[architecture]))
    assert facts.trained_class == architecture.replace("BartModel", "BartForConditionalGeneration")
    for purpose in ("train", "merge", "generate"):
        assert [one.line for one in base_findings(recipe, facts, purpose)] == []
    if facts.is_encoder_decoder:
        assert unserved_on_cpu(facts)
    else:
        assert base_refusals(facts) == []
        assert unserved_on_cpu(facts) == ""
