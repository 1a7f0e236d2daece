"""An engine of another package: installed next to llm-summ, it generates like one of its own."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import plain, raises
from pydantic import ValidationError
from seams import installed, own_registry, run_without_weights

from llm_summ.core import engine_registry
from llm_summ.core.engine_registry import (
    ENGINES,
    EngineSpec,
    built_in_engines,
    engine_names,
    engine_spec,
    register,
)
from llm_summ.core.errors import EngineError
from llm_summ.core.stored_model import first_invalid_field
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.generate.live_process import EngineProcess
from llm_summ.generate.summarizer import Summarizer
from llm_summ.recipe import GenerateFields

pytestmark = pytest.mark.filterwarnings("ignore:::transformers")

PACKAGE = Path(engine_registry.__file__).parents[1]
# All of a package with an engine: what it declares, and how it answers.
TOY = """
from llm_summ.core.engine_registry import EngineSpec
from llm_summ.generate.engine import GREEDY, Output, unfinished
from llm_summ.generate.model_source import EngineLoader, ModelSource, saved_tokenizer

TOY = EngineSpec("toy", "toy_engine:ToyLoader", "the last turn", distributions=("toy-engine",))


class Toy:
    name = "toy"

    def generate(self, requests, *, stop_id, decoding=GREEDY, done=()):
        for index in unfinished(len(requests), decoding.n, done):
            yield Output(index, (), "stop", text=requests[index].dialogue.splitlines()[-1])

    def close(self):
        pass


class ToyLoader(EngineLoader):
    def source(self, run, recipe, *, untuned):
        return ModelSource(saved_tokenizer(run, recipe), {"adapter": None}, lambda *_: Toy())
"""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(ENGINES, monkeypatch)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(ENGINES, "toy_engine", TOY, tmp_path / "site", monkeypatch) as facts:
        yield facts


@pytest.fixture
def run(tiny_model: Path, in_tmp: Path) -> Path:
    return run_without_weights(tiny_model)


@pytest.mark.slow
def test_it_generates_by_its_name(toy: Path, run: Path) -> None:
    done = llm_summ("generate", "--run", "mine", "--engine", "toy", "--data", "sample:dev")
    assert (done.code, done.out) == (0, "runs/mine/predictions/sample-dev.toy.jsonl\n"), done.err
    path = run / "predictions" / "sample-dev.toy.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    dialogues = read_dialogues("sample:dev")
    assert [row["summary"] for row in rows] == [dialogue.text.splitlines()[-1] for dialogue in dialogues]
    identity = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (identity["engine"], identity["version"]) == ("toy", "1.5")
    again = llm_summ("generate", "--run", "mine", "--engine", "toy", "--data", "sample:dev")
    assert f"{len(rows)} of {len(rows)} already exist" in again.err


@pytest.mark.slow
def test_a_program_uses_it_by_its_name(toy: Path, run: Path) -> None:
    dialogue = Dialogue("mine", "#Person1#: 늦었어?\n#Person2#:  아니,   금방 가. ")
    with Summarizer.open(run, engine="toy") as summarizer:
        [summary] = summarizer.summarize([dialogue])
    assert (summary.raw, summary.text) == ("#Person2#:  아니,   금방 가. ", "#Person2#: 아니, 금방 가.")
    assert summary.changed_by == ("strip", "collapse_whitespace")


@pytest.mark.slow
def test_it_answers_many_callers_without_a_live_form_of_its_own(toy: Path, run: Path) -> None:
    dialogues = read_dialogues("sample:dev")[:12]
    with Summarizer.open(run, engine="toy", live=True) as summarizer, ThreadPoolExecutor(4) as pool:
        engine = summarizer.engine
        assert isinstance(engine, EngineProcess)
        engine.wait()
        found = pool.map(lambda one: summarizer.using(engine.engine()).summarize([one])[0].raw, dialogues)
        assert list(found) == [dialogue.text.splitlines()[-1] for dialogue in dialogues]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "generate.n=2", "--set", "generate.temperature=1.0"],
            snapshot(
                "--set generate.temperature=1.0: generate: n: the engine toy generates one text for each "
                "dialogue; set it to 1"
            ),
        ),
        (
            ["--set", "generate.beams=4"],
            snapshot(
                "--set generate.beams=4: generate: beams 4 works only with the engine hf, found toy; leave one of "
                "them out"
            ),
        ),
        (
            ["--set", "generate.data_parallel=2"],
            snapshot(
                "--set generate.data_parallel=2: generate: data_parallel: the engine toy does not support it; set "
                "it to 1"
            ),
        ),
        (
            ["--untuned"],
            snapshot(
                "--untuned: the engine toy cannot leave the adapter out; remove --untuned, or use vllm or hf"
            ),
        ),
    ],
)
def test_what_it_cannot_do_is_refused(toy: Path, run: Path, arguments: list[str], message: str) -> None:
    done = llm_summ("generate", "--run", "mine", "--engine", "toy", "--data", "sample:dev", *arguments)
    assert refused(done) == message
    assert not (run / "predictions").exists()


def test_every_list_of_engines_names_it(toy: Path, in_tmp: Path) -> None:
    own = ["auto", *(spec.name for spec in built_in_engines())]
    assert engine_names()[: len(own)] == own
    assert "toy" in engine_names()[len(own) :]
    assert GenerateFields(engine="toy").engine == "toy"
    with raises(ValidationError) as raised:
        GenerateFields(engine="tooy")
    assert isinstance(raised.value, ValidationError)
    assert first_invalid_field(raised.value) == snapshot(
        "engine: Value error, found 'tooy', expected 'auto', 'vllm', 'hf', 'openai', 'echo' or 'toy'; did "
        "you mean toy?"
    )
    assert "toy" in llm_summ("generate", "--help").out
    assert plain(llm_summ("sweep", "--over", "post=[]", "--engine", "x").err) == snapshot(
        "Error: Invalid value for '--engine': 'x' is not one of 'auto', 'vllm', 'hf', 'openai', 'echo', 'toy'.\n"
    )


def test_a_package_that_is_broken_is_named(toy: Path) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.engines]\ntoy = toy_engine:NOTHING\n", encoding="utf-8")
    with raises(EngineError) as raised:
        engine_names()
    assert raised.message == snapshot(
        "entry point toy of llm_summ.engines: module 'toy_engine' has no attribute 'NOTHING', expected an "
        "EngineSpec; remove or repair the package that declares it"
    )
    assert engine_spec("hf").name == "hf"  # the package's own are known nevertheless


def test_two_engines_of_one_name_are_refused(registry: None) -> None:
    register(EngineSpec("other", "a:B"))
    register(EngineSpec("other", "a:B"))
    with raises(ValueError) as raised:
        register(EngineSpec("other", "a:C"))
    assert raised.message == snapshot("engine other: there is another engine of this name; choose another name")
    with raises(ValueError) as raised:
        register(EngineSpec("hf", "a:B"))
    assert raised.message == snapshot("engine hf: there is another engine of this name; choose another name")
    with raises(EngineError) as raised:
        engine_spec("other").load()
    assert raised.message == snapshot(
        "--engine other: cannot load a:B (No module named 'a'); expected module:class of an EngineLoader"
    )


def test_only_the_registry_and_an_engines_own_module_name_it() -> None:
    """No other module compares with the name of an engine: what it wants to know is a capability."""
    names = set(engine_names())
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "engine_registry.py":
            continue
        own = {name for name in names if path.stem == name or path.stem.startswith(f"{name}_")}
        named = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and node.value in names - own - {"auto"}
        }
        assert not named, f"{path}: {named}"
