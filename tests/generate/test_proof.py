"""An engine that does not compute with the trained weights is refused before it writes anything."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

pytest.importorskip("transformers", reason="the extra train is not installed")

from command_line import llm_summ
from seams import own_registry

from llm_summ.core.engine_registry import ENGINES, EngineSpec, engine_spec, register
from llm_summ.core.errors import GenerationError
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.generate.engine import Engine, Request
from llm_summ.generate.engines.hf import HfEngine, HfLoader
from llm_summ.generate.local_model import LocalModel, TokenIds
from llm_summ.generate.placement.processes import ParallelEngine
from llm_summ.generate.proof import Proving, likeliest_tokens, next_token, prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

PROMPT = (5, 6, 7, 8)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    quiet_libraries()
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)


class Answers:
    """An engine's likeliest next tokens, with and without the adapter."""

    name = "vllm"

    def __init__(self, tuned: dict[int, float], base: dict[int, float]) -> None:
        self.tuned, self.base = tuned, base

    def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> dict[int, float]:
        assert tuple(prompt_ids) == PROMPT
        return self.tuned if adapter else self.base


def likeliest(model: Any, shift: float = 0.0) -> dict[int, float]:
    """Return the model's five likeliest tokens with their log-probabilities."""
    found = next_token(model, PROMPT, range(model.config.vocab_size))
    return {token: found[token] + shift for token in sorted(found, key=found.__getitem__, reverse=True)[:5]}


def test_probabilities_sum_to_one(model: Any) -> None:
    import math

    found = next_token(model, PROMPT, range(model.config.vocab_size))
    assert math.fsum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-4)


def test_an_engine_that_computes_the_same_passes(model: Any) -> None:
    engine = Answers(likeliest(model, 1e-4), {1: -1.0})
    assert isinstance(engine, Proving)
    prove(engine, [PROMPT], attached=True, dtype="float32", reference=lambda: model, others="hf")
    prove(engine, [PROMPT], attached=False, dtype="bfloat16", reference=None, others="hf")


def test_an_adapter_that_is_left_out(model: Any) -> None:
    same = likeliest(model)
    with raises(GenerationError) as error:
        prove(Answers(same, dict(same)), [PROMPT], attached=True, dtype="float32", reference=None, others="hf")
    assert error.message == snapshot(
        "vllm: the attached adapter changes no probability after 1 prompt, as if it were left out; merge "
        "it: --set generate.adapter=merge, or skip this check: --set generate.prove=false"
    )
    prove(Answers(same, dict(same)), [PROMPT], attached=False, dtype="float32", reference=None, others="hf")


@pytest.mark.parametrize(
    ("dtype", "shift", "message"),
    [
        (
            "float32",
            0.06,
            snapshot(
                "vllm: the log-probabilities of the likeliest tokens after a prompt differ from those of "
                "transformers by 0.06, expected at most 0.05; use --engine hf, or skip this check: --set "
                "generate.prove=false"
            ),
        ),
        (
            "float16",
            0.4,
            snapshot(
                "vllm: the log-probabilities of the likeliest tokens after a prompt differ from those of "
                "transformers by 0.40, expected at most 0.3; use --engine hf, or skip this check: --set "
                "generate.prove=false"
            ),
        ),
        (
            "bfloat16",
            0.7,
            snapshot(
                "vllm: the log-probabilities of the likeliest tokens after a prompt differ from those of "
                "transformers by 0.70, expected at most 0.6; use --engine hf, or skip this check: --set "
                "generate.prove=false"
            ),
        ),
    ],
)
def test_an_engine_that_computes_something_else(model: Any, dtype: str, shift: float, message: str) -> None:
    engine = Answers(likeliest(model, shift), {})
    with raises(GenerationError) as error:
        prove(engine, [PROMPT], attached=False, dtype=dtype, reference=lambda: model, others="hf")
    assert error.message == message


def test_nan_does_not_count_as_agreement(model: Any) -> None:
    engine = Answers(dict.fromkeys(likeliest(model), float("nan")), {})
    with raises(GenerationError) as error:
        prove(engine, [PROMPT], attached=False, dtype="bfloat16", reference=lambda: model, others="hf")
    assert error.message == snapshot(
        "vllm: the log-probabilities of the likeliest tokens after a prompt differ from those of "
        "transformers by inf, expected at most 0.6; use --engine hf, or skip this check: --set "
        "generate.prove=false"
    )


# Several workers, each in a process of its own


@pytest.fixture(scope="module")
def adapters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapters `trained` and `zero`, which changes nothing."""
    import copy

    import torch
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapters")
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(task_type="CAUSAL_LM", r=4))
    adapted.save_pretrained(folder / "zero")
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    adapted.save_pretrained(folder / "trained")
    return folder


@dataclass(frozen=True)
class Start:
    """Starts a worker with the adapter that its environment names."""

    base: Path
    adapters: Path

    def __call__(self) -> Engine:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        quiet_libraries()
        model = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        adapted = PeftModel.from_pretrained(model, self.adapters / os.environ["ADAPTER"])
        return HfEngine(adapted, pad_id=0, batch_size=4)


@pytest.fixture(scope="module")
def workers(tiny_model: Path, adapters: Path) -> Iterator[ParallelEngine]:
    """Two workers, one for each adapter."""
    start = Start(tiny_model, adapters)
    with closing(ParallelEngine("hf", start, [{"ADAPTER": name} for name in ("trained", "zero")])) as engine:
        yield engine


def test_the_worker_whose_adapter_changes_nothing_is_named(workers: ParallelEngine, model: Any) -> None:
    untuned = workers.next_tokens([PROMPT], adapter=False)
    tuned = workers.next_tokens([PROMPT])
    with raises(GenerationError) as error:
        prove(workers, [PROMPT], attached=True, dtype="float32", reference=None, others="vllm")
    assert error.message == snapshot(
        "hf: worker 2 of 2: the attached adapter changes no probability after 1 prompt, as if it were "
        "left out; merge it: --set generate.adapter=merge, or skip this check: --set generate.prove=false"
    )
    [output] = workers.generate([Request(PROMPT, 3)], stop_id=2)  # it still takes requests
    assert output.token_ids
    first, second = names = ["hf: worker 1 of 2", "hf: worker 2 of 2"]
    assert list(untuned) == list(tuned) == names
    plain = likeliest_tokens(model, PROMPT)
    for answer in (untuned[first], untuned[second], tuned[second]):
        assert answer == [pytest.approx(plain, abs=1e-4)]
    assert tuned[first] != [pytest.approx(plain, abs=1e-2)]


def test_the_worker_with_other_weights_is_named(workers: ParallelEngine, adapters: Path, model: Any) -> None:
    import copy

    from peft import PeftModel

    reference = PeftModel.from_pretrained(copy.deepcopy(model), adapters / "trained")
    with raises(GenerationError) as error:
        prove(workers, [PROMPT], attached=False, dtype="float32", reference=lambda: reference, others="vllm")
    assert re.sub(r"by \d\.\d\d,", "by …,", error.message) == snapshot(
        "hf: worker 2 of 2: the log-probabilities of the likeliest tokens after a prompt differ from "
        "those of transformers by …, expected at most 0.05; use --engine vllm, or skip this check: "
        "--set generate.prove=false"
    )


class Forgetful(HfLoader):
    """Loads the base without the run's adapter."""

    def starting(self, model: LocalModel, ids: TokenIds) -> AbstractContextManager[Callable[[], Engine]]:
        return super().starting(replace(model, rank=0), ids)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers an engine that leaves the adapter out, for one test."""
    own_registry(ENGINES, monkeypatch)
    able = engine_spec("hf").capabilities
    register(EngineSpec("forgetful", f"{__name__}:Forgetful", capabilities=able))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core")
def test_a_generation_by_several_workers_is_proved(forgetful: None, in_tmp: Path, tiny_model: Path) -> None:
    """By what a user types: a placement in real processes, and an engine that leaves the adapter out.

    That workers with the adapter pass is in `test_end_to_end.py`.
    """
    settings = {
        **{"model.base": tiny_model, "model.quantization": "none", "data.train": "sample:train"},
        **{"data.dev": "null", "data.test": "null", "train.max_steps": 4, "train.learning_rate": "3e-2"},
        **{"generate.max_new_tokens": 4, "generate.data_parallel": 2},
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    done = llm_summ("sft", "qlora", "--run", "one", *changes)
    assert done.code == 0, done.err
    command = ("generate", "--run", "one", "--data", "sample:dev")
    for adapter, message in (("merge", "the log-probabilities"), ("attach", "the attached adapter changes no")):
        done = llm_summ(*command, "--engine", "forgetful", "--set", f"generate.adapter={adapter}")
        assert done.code == 1, done
        assert f"forgetful: worker 1 of 2: {message}" in done.err
        assert not list(Path("runs/one/predictions").glob("*.jsonl"))
