"""A family of another package: installed next to llm-summ, its bases are trained and generate."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import llm_summ
from inline_snapshot import snapshot
from messages import lines_with, plain, raises
from seams import installed, log_of, own_registry, write_recipe

import llm_summ as llm_summ_package
from llm_summ.core.engine_registry import engine_spec
from llm_summ.core.errors import EngineError, ModelError
from llm_summ.models.base import empty_model
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.duration import model_size
from llm_summ.models.families import CAUSAL, FAMILIES, find_family
from llm_summ.models.families.causal import Causal
from llm_summ.models.vllm_support import base_refusals
from llm_summ.recipe import ModelFields, Recipe, load_recipe
from llm_summ.runs.run import Run

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
    assert lines_with(done.out, "ToyWriter") == snapshot(
        "would fail: model.base: …/base: its weights are those of ToyWriter, which has no head that "
        "writes text; take the repository of LlamaForCausalLM"
    )


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


class Scribe(Causal):
    """Decoders that need what vLLM has not, take no packing, and give a token half of their layers."""

    name, plural = "scribe", "scribes"
    needs = frozenset({"encoder_decoder"})

    def includes(self, facts: BaseFacts) -> bool:
        return facts.architectures == ("ToyWriter",)

    def training_findings(self, recipe: Recipe) -> Iterator[BaseFinding]:
        if recipe.train.packing:
            yield BaseFinding("packing", "train.packing: a scribe reads one row at a time; set it to false")

    def weights_per_token(self, weights: int) -> int:
        return weights // 2


@pytest.mark.slow
def test_what_it_decides_holds_everywhere(base: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(FAMILIES, monkeypatch)
    scribe = Scribe()
    FAMILIES.register(scribe)
    path = write_recipe(Path("mine.yaml"), base)
    done = llm_summ("check", str(path), "--set", "train.packing=true")
    assert (done.code, done.out.count("a scribe reads one row at a time")) == (1, 1)
    # The engines that lack what it needs are named with its own word, and so is the one that has it.
    assert base_refusals(facts(base)) == ["vLLM serves no scribes such as ToyWriter"]
    from llm_summ.generate.engines.vllm import VllmLoader

    loader = VllmLoader(engine_spec("vllm"))
    with raises(EngineError) as raised:
        loader.source(Run(base), load_recipe(path, ["generate.engine=vllm"]), untuned=True)
    assert raised.message == snapshot(
        "--engine vllm: serves no scribes such as ToyWriter; use --engine hf, which auto takes"
    )
    # Its weights are counted as it says.
    sizes = [model_size(empty_model(ModelFields(base=str(one)), str(one))).layers for one in (base, tiny_model)]
    assert 2 * sizes[0] == sizes[1]
    done = llm_summ("sft", str(path), "--run", "mine")
    assert done.code == 0, done.err
    done = llm_summ("merge", "--run", "mine", "--no-verify")
    assert done.code == 0, done.err
    assert "vllm serve" not in done.err
    card = Path("runs/mine/merged/README.md").read_text(encoding="utf-8")
    assert 'model = AutoModelForCausalLM.from_pretrained("PATH-OF-THIS-FOLDER")' in card
    assert "[0, prompt.input_ids.shape[1]:]" in card


def test_no_other_module_asks_which_family_a_base_is_of() -> None:
    """The gate says why a base that no family includes is refused; all others ask the family what follows."""
    package = Path(llm_summ_package.__file__).parent
    asking = set()
    for path in package.rglob("*.py"):
        names = {
            getattr(node, "attr", getattr(node, "id", ""))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        }
        if names & {"is_encoder_decoder", "is_encoder", "CAUSAL", "SEQ2SEQ"}:
            asking.add(path.relative_to(package).as_posix())
    families = {f"models/families/{name}.py" for name in ("__init__", "causal", "seq2seq")}
    assert asking == families | {"models/base_facts.py", "models/gate.py"}


def test_a_package_that_is_broken_is_named(toy: Path, base: Path) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.families]\ntoy = toy_family:IGNORED\n", encoding="utf-8")
    with raises(ModelError) as raised:
        find_family(facts(base))
    assert raised.message == snapshot(
        "entry point toy of llm_summ.families: family: found -100, expected a ModelFamily; remove or "
        "repair the package that declares it"
    )
    done = llm_summ("check", str(write_recipe(Path("mine.yaml"), base)))
    assert (done.code, plain(done.out)) == (
        1,
        snapshot(
            "would fail: entry point toy of llm_summ.families: family: found -100, expected a ModelFamily; "
            "remove or repair the package that declares it\n"
        ),
    )
