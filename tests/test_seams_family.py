"""A family of another package: installed next to llm-summ, its bases are trained and generate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import llm_summ
from seams import installed, log_of, own_registry, write_recipe

from llm_summ.core.errors import ModelError
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.families import CAUSAL, FAMILIES, find_family
from llm_summ.models.families.causal import Causal

pytestmark = pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft")

# All of a package with a family: decoders that also learn the dialogue, and whose last token is the stop token.
TOY = """
from llm_summ.models.families.causal import IGNORED, Causal


class Toy(Causal):
    name = "toy"

    def includes(self, facts):
        return facts.architectures == ("ToyWriter",)

    def collate(self, examples, pad_id, device, *, packing):
        inputs, _ = super().collate(examples, pad_id, device, packing=packing)
        return inputs, inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED)

    def generation_fields(self, frame):
        return {"forced_eos_token_id": 2}


TOY = Toy()
"""


@pytest.fixture
def toy(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(FAMILIES, "toy_family", TOY, in_tmp / "site", monkeypatch) as facts:
        yield facts


@pytest.fixture
def base(tiny_model: Path, in_tmp: Path) -> Path:
    """A base that the package's own families do not include."""
    folder = shutil.copytree(tiny_model, in_tmp / "base")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "architectures": ["ToyWriter"]}), encoding="utf-8")
    return folder


def facts(path: Path) -> BaseFacts:
    from transformers import AutoConfig

    return facts_of(AutoConfig.from_pretrained(path))


def test_without_the_package_its_base_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(FAMILIES, monkeypatch)
    done = llm_summ("check", str(write_recipe(Path("mine.yaml"), base)))
    assert done.code == 1
    assert "its weights are those of ToyWriter, which has no head that writes text" in done.out


@pytest.mark.slow
def test_its_base_is_trained_and_generates(toy: Path, base: Path, tiny_model: Path) -> None:
    for name, model in {"toy": base, "causal": tiny_model}.items():
        recipe = write_recipe(Path(f"{name}.yaml"), model)
        done = llm_summ("sft", str(recipe), "--run", name)
        assert (done.code, done.out) == (0, f"runs/{name}\n"), done.err
    # All tokens of a row are targets, and the loss is their sum by summary token.
    assert log_of("toy")[0]["loss"] > 3 * log_of("causal")[0]["loss"]
    done = llm_summ("generate", "--run", "toy")
    assert done.code == 0, done.err
    lines = Path("runs/toy/predictions/dev.hf.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["finish_reason"] for line in lines} == {"stop"}
    evaluation = json.loads(llm_summ("eval", "dev.csv", "--run", "toy", "--json").out)
    assert evaluation["rows"] == 3
    assert evaluation["engine"] == "hf"


def test_it_is_asked_first(toy: Path, base: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_family(facts(base))
    assert found is not None
    assert found.name == "toy"
    assert find_family(facts(tiny_model)) is CAUSAL
    own = [family.name for family in FAMILIES.built_in]
    assert FAMILIES.names()[: len(own)] == own
    assert "toy" in FAMILIES.names()[len(own) :]

    class Every(Causal):
        name = "every"

        def includes(self, facts: BaseFacts) -> bool:
            return True

    own_registry(FAMILIES, monkeypatch)
    every = Every()
    FAMILIES.register(every)
    assert find_family(facts(tiny_model)) is every


def test_a_package_that_is_broken_is_named(toy: Path, base: Path) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.families]\ntoy = toy_family:IGNORED\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"^entry point toy of llm_summ.families: .* expected a ModelFamily;"):
        find_family(facts(base))
    done = llm_summ("check", str(write_recipe(Path("mine.yaml"), base)))
    assert (done.code, len(done.out.splitlines())) == (1, 1)
    assert "entry point toy of llm_summ.families: " in done.out
