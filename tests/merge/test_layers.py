"""The check of merged weights, and the messages of a verification, both with literal figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import plain

from llm_summ.merge.card import PromptFacts, model_card
from llm_summ.merge.layers import LayerCheck, LayerSum, check_layers, lora_scale
from llm_summ.merge.verification import MergeVerification, ModelVariant
from llm_summ.models.families import CAUSAL
from llm_summ.models.vllm_support import largest_rank
from llm_summ.predictions.prediction import Prediction
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import RowScore


@pytest.mark.parametrize(
    ("config", "rank", "scale"),
    [
        ({"lora_alpha": 32}, 16, 2.0),
        ({"lora_alpha": 32, "use_rslora": True}, 16, 8.0),
        ({"lora_alpha": 32, "alpha_pattern": {}}, 4, 8.0),
        ({"lora_alpha": 32, "alpha_pattern": {"q_proj": 8}}, 4, 2.0),
        ({"lora_alpha": 32, "alpha_pattern": {"layers.1.self_attn.q_proj": 8}}, 4, 2.0),
        ({"lora_alpha": 32, "alpha_pattern": {"layers.11.self_attn.q_proj": 8, "proj": 4}}, 4, 8.0),
        ({"lora_alpha": 32, "use_rslora": True, "alpha_pattern": {"q_proj": 8, ".*": 1}}, 4, 4.0),
    ],
)
def test_the_scale_of_a_layer(config: dict[str, Any], rank: int, scale: float) -> None:
    assert lora_scale(config, "model.layers.1.self_attn.q_proj", rank) == scale


@pytest.mark.parametrize(
    ("config", "rank"),
    [({"r": 16}, 16), ({"r": 16, "rank_pattern": None}, 16), ({"r": 16, "rank_pattern": {"a": 32, "b": 4}}, 32)],
)
def test_the_largest_rank(config: dict[str, Any], rank: int) -> None:
    assert largest_rank(config) == rank


@pytest.mark.slow
def test_a_layer_that_is_wrong_is_seen() -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(8, 8, bias=False))
    weight = model[0].weight.detach().double()
    good = LayerSum("0", weight, torch.full_like(weight, 1e-7))
    found = check_layers(model, [good])
    assert found == LayerCheck(1, 0.0, 0.0, "0")
    wrong = LayerSum("0", weight + 1e-4, torch.full_like(weight, 1e-7))
    found = check_layers(model, [good, wrong])
    assert found is not None
    assert found.layers == 2
    assert found.largest == pytest.approx(1e-4)
    assert found.rounding == pytest.approx(1000)
    assert check_layers(model, []) is None


def system(name: str, finals: list[float], texts: list[str], stopped: bool = True) -> ModelVariant:
    rows = tuple(RowScore(final, final, final, final) for final in finals)
    mean = sum(finals) / len(finals)
    score = CorpusScore(mean, mean, mean, mean, rows, (), len(rows), (1, 1), "variant:rouge")
    reason = "stop" if stopped else "length"
    return ModelVariant(
        name, tuple(Prediction(f"d{i}", "0" * 16, text, 9, reason) for i, text in enumerate(texts)), score
    )


def verification(
    *systems: ModelVariant, layers: LayerCheck | None = None, other_prompts: int = 0
) -> MergeVerification:
    return MergeVerification("dev.csv", systems, ("strip",), layers, other_prompts)


def test_the_table() -> None:
    shown = verification(
        system("nf4 + adapter", [40.0, 50.0], ["가", "나"], stopped=False),
        system("bfloat16 + adapter", [41.0, 50.0], ["가", "다"]),
        system("merged, as loaded", [41.0, 49.0], ["가", "다"]),
    )
    headers, rows, _ = shown.table()
    assert headers == ("greedy, 2 dialogues", "R-1", "R-2", "R-L", "final", "merged −", "same texts", "ended")
    assert rows == [
        ("nf4 + adapter", "45.00", "45.00", "45.00", "45.00", "+0.00", "1 of 2", "0 of 2"),
        ("bfloat16 + adapter", "45.50", "45.50", "45.50", "45.50", "-0.50", "2 of 2", "2 of 2"),
        ("merged, as loaded", "45.00", "45.00", "45.00", "45.00", "", "", "2 of 2"),
    ]
    assert shown.warnings == []
    assert json.loads(json.dumps(shown.to_json()))["systems"][1]["merged_minus"]["final"] == -0.5


def test_rounding_moves_rows_both_ways_and_a_loss_only_one() -> None:
    texts = [str(i) for i in range(20)]
    base = [40.0 + i for i in range(20)]
    attached = system("bfloat16 + adapter", base, texts)
    both = system("merged", [row + (-1) ** i for i, row in enumerate(base)], texts)
    assert verification(attached, both).warnings == []
    down = system("merged", [row - 1 - i / 20 for i, row in enumerate(base)], texts)
    [warning] = verification(attached, down).warnings
    assert plain(warning) == snapshot(
        "merged scores -1.48 points compared with bfloat16 + adapter (95 % -1.60 to -1.35, p 0.0001): "
        "more than rounding explains, since rounding raises scores as often as it lowers them"
    )


def test_wrong_layers_and_other_prompts_are_reported() -> None:
    same = [system(name, [40.0, 50.0], ["가", "나"]) for name in ("float32 + adapter", "merged, as loaded")]
    fine = LayerCheck(8, 1e-8, 0.5, "model.layers.0.mlp.up_proj")
    assert verification(*same, layers=fine).warnings == []
    wrong = LayerCheck(8, 0.01, 12.0, "model.layers.0.mlp.up_proj")
    [one, two] = verification(*same, layers=wrong, other_prompts=1).warnings
    assert one.startswith("model.layers.0.mlp.up_proj: merged weights differ from W + scale B A by up to 1.0e-02")
    assert two.startswith("the folder's tokenizer gives other ids than the training's for 1 of 2 prompts")
    assert verification(*same, layers=LayerCheck(8, float("nan"), float("nan"), "x")).warnings


def test_the_card_says_what_a_server_needs() -> None:
    recipe = Recipe(model=ModelFields(base="Qwen/Qwen3-8B"), data=DataFields(train="train.csv"))
    facts = {
        "run": "요약-1",
        "versions": {"llm-summ": "0.1.0"},
        "dtype": "bfloat16",
        "adapter": "f" * 64,
        "verification": None,
    }

    def card(prompt: str, **more: Any) -> str:
        return model_card(recipe, "Qwen/Qwen3-8B", facts, PromptFacts(prompt, "<|im_end|>", **more), CAUSAL)

    assert "is added by the tokenizer" not in card("<|im_start|>user")
    assert "is added by the tokenizer" not in card("<|im_start|>user", added="<s>")
    assert "The tokenizer adds the `<s>` at its beginning" in card("<s>[INST]", added="<s>")
    assert "enable_thinking" not in card("<|im_start|>user")
    assert "`chat_template_kwargs: {enable_thinking: false}`" in card("<|im_start|>user", thinking_off=True)


@pytest.mark.parametrize(
    ("base", "meta", "shown"),
    [
        ("embedded:gemma-3-270m", {"base_model: google/gemma-3-270m", "license: gemma"}, "base model (gemma)."),
        ("Qwen/Qwen3-8B", {"base_model: Qwen/Qwen3-8B"}, "see https://huggingface.co/Qwen/Qwen3-8B."),
        ("folder", {"license: apache-2.0"}, "base model (apache-2.0)."),
    ],
)
def test_the_card_names_base_and_licence(in_tmp: Path, base: str, meta: set[str], shown: str) -> None:
    (in_tmp / "folder").mkdir()
    (in_tmp / "folder" / "README.md").write_text("---\nlanguage: ko\nlicense: apache-2.0\n---\n# A base\n")
    recipe = Recipe(model=ModelFields(base=base), data=DataFields(train="train.csv"))
    facts = {
        "run": "요약-1",
        "versions": {"llm-summ": "0.1.0"},
        "dtype": "bfloat16",
        "adapter": "f" * 64,
        "verification": None,
    }
    card = model_card(recipe, base, facts, PromptFacts("한 줄\n```\n끝", "<eos>"), CAUSAL)
    found = {line for line in card.split("---\n")[1].splitlines() if line.startswith(("base_model:", "license:"))}
    assert found == meta
    assert shown in card
    assert "````\n한 줄\n```\n끝\n````" in card
    assert "## Score" not in card
    facts["verification"] = verification(
        system("float32 + adapter", [40.0, 50.0], ["가", "나"]), system("merged", [40.0, 50.0], ["가", "다"])
    ).to_json()
    card = model_card(recipe, base, facts, PromptFacts(None, "<eos>"), CAUSAL)
    assert "| merged | 45.00 | 45.00 | 45.00 | 45.00 | 2 | 2 |" in card
    assert "A prompt as the model sees it" not in card
