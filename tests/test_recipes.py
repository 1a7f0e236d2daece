"""The recipes and prompts that ship: all of them load, none is forgotten, and the table lists what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_summ.data import read_dialogues
from llm_summ.models.base import base_location
from llm_summ.prompt import load_template
from llm_summ.recipe import EvaluationFields, Recipe, bundled_dir, dump_recipe, find_recipe, load_recipe

RECIPES = (
    "kobart-base-v2.yaml",
    "kobart.yaml",
    "mbart-large-50.yaml",
    "pko-t5-large.yaml",
    "qlora-exaone-4.0-32b.yaml",
    "qlora-gemma-2-9b.yaml",
    "qlora-kanana-1.5-8b.yaml",
    "qlora-qwen3-14b.yaml",
    "qlora-qwen3-8b.yaml",
    "qlora-solar-10.7b.yaml",
    "qlora.yaml",
    "t5-large-korean.yaml",
)
FOR_A_GPU = {
    "qlora-exaone-4.0-32b.yaml": "LGAI-EXAONE/EXAONE-4.0-32B",
    "qlora-gemma-2-9b.yaml": "google/gemma-2-9b-it",
    "qlora-kanana-1.5-8b.yaml": "kakaocorp/kanana-1.5-8b-instruct-2505",
    "qlora-qwen3-14b.yaml": "Qwen/Qwen3-14B",
    "qlora-qwen3-8b.yaml": "Qwen/Qwen3-8B",
    "qlora-solar-10.7b.yaml": "upstage/SOLAR-10.7B-Instruct-v1.0",
}
ENCODER_DECODERS = {
    "kobart-base-v2.yaml": "gogamza/kobart-base-v2",
    "kobart.yaml": "digit82/kobart-summarization",
    "mbart-large-50.yaml": "facebook/mbart-large-50",
    "pko-t5-large.yaml": "paust/pko-t5-large",
    "t5-large-korean.yaml": "lcw99/t5-large-korean-text-summary",
}
PROMPTS = (
    *("call", "chat", "dialogue", "dialogue-topic", "english", "expert", "few-shot", "length", "meeting", "merge"),
    *("plain", "summarize", "topic"),
)


def _load(name: str) -> Recipe:
    return load_recipe(bundled_dir("recipes") / name)


def test_all_that_ships_is_tested() -> None:
    recipes, prompts = bundled_dir("recipes"), bundled_dir("prompts")
    assert sorted(path.name for path in recipes.iterdir()) == ["README.md", *RECIPES]
    assert sorted(path.name for path in prompts.iterdir()) == sorted(f"{name}.md" for name in PROMPTS)
    assert (len(RECIPES), len(FOR_A_GPU), len(PROMPTS)) == (12, 6, 13)
    assert {*FOR_A_GPU, *ENCODER_DECODERS, "qlora.yaml"} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads_and_its_template_exists(name: str) -> None:
    recipe = _load(name)
    assert load_template(recipe.prompt.template).name == recipe.prompt.template


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_from_everywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = {find_recipe(spelling) for spelling in (name, f"recipes/{name}")}
    assert found == {bundled_dir("recipes") / name}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_written_out_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(dump_recipe(_load(name)), encoding="utf-8")
    assert load_recipe(path) == _load(name)


def test_the_first_recipe_needs_nothing_but_the_package() -> None:
    recipe = _load("qlora.yaml")
    assert recipe.model.base == "embedded:gemma-3-270m"
    for part in (recipe.data.train, recipe.data.dev, recipe.data.test):
        assert part is not None
        assert read_dialogues(part)


def test_the_first_recipe_writes_every_field_out() -> None:
    text = (bundled_dir("recipes") / "qlora.yaml").read_text(encoding="utf-8")
    sections = {name: value for name, value in _load("qlora.yaml").model_dump().items() if isinstance(value, dict)}
    fields = {field for section in sections.values() for field in section}
    missing = {field for field in fields if not re.search(rf"^  {field}:", text, re.MULTILINE)}
    assert not missing


def test_the_first_recipe_looks_in_between_and_keeps_the_best() -> None:
    recipe = _load("qlora.yaml")
    assert recipe.evaluation == EvaluationFields(every=32, rows=8, pick="score", batch_size=16)
    assert recipe.train.micro_batch_size == "auto"
    assert len(read_dialogues("sample:dev")) >= 8


@pytest.mark.parametrize(("name", "base"), FOR_A_GPU.items())
def test_a_recipe_for_a_gpu(name: str, base: str) -> None:
    recipe = _load(name)
    assert recipe.model.base == base
    assert base_location(recipe.model) == base  # a hub id by its form; nothing is asked for
    assert (recipe.data.train, recipe.data.dev, recipe.data.test) == (
        "data/train.csv",
        "data/dev.csv",
        "data/test.csv",
    )
    assert not recipe.model.trust_remote_code
    # What worked for participants.
    assert 8 <= recipe.lora.r <= 32
    assert 32 <= recipe.lora.alpha <= 64
    assert 1e-4 <= recipe.train.learning_rate <= 2e-4
    assert 1 <= recipe.train.epochs <= 3
    assert recipe.train.batch_size == 16
    assert recipe.train.micro_batch_size == "auto"  # what fits the GPU that there is
    assert (recipe.evaluation.every, recipe.evaluation.rows, recipe.evaluation.pick) == ("epoch", 100, "score")
    # No model is let write more than it could have been taught.
    assert recipe.generate.max_new_tokens <= recipe.prompt.max_answer_tokens


@pytest.mark.parametrize(("name", "base"), ENCODER_DECODERS.items())
def test_a_recipe_of_an_encoder_decoder(name: str, base: str) -> None:
    recipe = _load(name)
    assert recipe.model.base == base
    assert (recipe.train.weights, recipe.model.quantization) == ("full", "none")
    assert (recipe.prompt.max_prompt_tokens, recipe.generate.beams, recipe.generate.no_repeat_ngram) == (512, 4, 2)
    header = (bundled_dir("recipes") / name).read_text(encoding="utf-8").partition("\nseed:")[0]
    assert all(line.startswith("#") or not line for line in header.splitlines())
    assert f"# Model    {base}, " in header
    assert "Not measured here." in header
    assert _rows()[name][-1] == "not measured"


@pytest.mark.parametrize(("name", "base"), FOR_A_GPU.items())
def test_a_recipe_for_a_gpu_says_what_it_is(name: str, base: str) -> None:
    header = (bundled_dir("recipes") / name).read_text(encoding="utf-8").partition("\nseed:")[0]
    assert all(line.startswith("#") or not line for line in header.splitlines())
    assert f"# Model    {base}, licence " in header
    assert re.search(r"^# GPU      \d+ GB to train", header, re.MULTILINE)
    assert "an estimate, not measured here" in header


def _rows() -> dict[str, list[str]]:
    text = (bundled_dir("recipes") / "README.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| ["
    ]
    return {re.sub(r"^\[(.+)\]\(\1\)$", r"\1", cells[0]): cells for cells in rows}


def test_the_table_lists_every_recipe() -> None:
    rows = _rows()
    assert sorted(rows) == sorted(RECIPES)
    assert len(rows) == 12
    for name, (_, base, licence, train_on, generate_on, status) in rows.items():
        assert base == _load(name).model.base
        assert all((licence, train_on, generate_on, status))


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_the_table_and_the_header_agree(name: str) -> None:
    header = (bundled_dir("recipes") / name).read_text(encoding="utf-8").partition("\nseed:")[0]
    _, _, licence, train_on, generate_on, status = _rows()[name]
    assert licence.split()[0].strip(":") in header
    assert train_on in header
    assert generate_on in header
    assert status == "not measured"


def test_the_folders_are_those_of_the_repository() -> None:
    for kind in ("recipes", "prompts"):
        assert bundled_dir(kind).is_dir()  # type: ignore[arg-type]
        assert bundled_dir(kind).name == kind  # type: ignore[arg-type]


def test_an_installed_package_brings_its_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_summ"
    (package / "prompts").mkdir(parents=True)
    monkeypatch.setattr("llm_summ.recipe.read.__file__", str(package / "recipe" / "read.py"))
    assert bundled_dir("prompts") == package / "prompts"
    assert bundled_dir("recipes") == tmp_path / "recipes"
