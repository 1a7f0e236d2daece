"""The estimate of a training's memory: what can be counted by hand is, and the rest is what a training takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_tiny_model

from llm_summ.check.memory import (
    Memory,
    cgroup_limits,
    device_memory,
    estimate_memory,
    optimizer_bytes,
    weight_bytes,
)
from llm_summ.check.micro_batch import MicroBatch, worst_micro_batch
from llm_summ.errors import ModelError, RecipeError
from llm_summ.model.device import Device
from llm_summ.prompt import Row
from llm_summ.recipe import Recipe, TrainFields

CPU, GPU = Device("cpu", "a CPU", "float32"), Device("cuda", "a GPU", "bfloat16")

pytestmark = pytest.mark.filterwarnings(
    "ignore:::transformers", "ignore:::peft", "ignore:::torch", "ignore:::bitsandbytes"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_tiny_model(folder)


def recipe(base: Path, **sections: dict[str, Any]) -> Recipe:
    model = {"base": str(base)} | sections.pop("model", {})
    train = {"batch_size": 8, "micro_batch_size": 2, "epochs": 1.0} | sections.pop("train", {})
    tree = {"model": model, "data": {"train": "sample:train"}, "train": train, "lora": {"dropout": 0.0}} | sections
    return Recipe.model_validate(tree)


def rows(*lengths: tuple[int, int]) -> list[Row]:
    """Rows of so many tokens in prompt and answer, the stop token included."""
    return [Row(str(n), (5,) * prompt, (6,) * (answer - 1), 2) for n, (prompt, answer) in enumerate(lengths)]


def estimate(
    base: Path, lengths: list[tuple[int, int]], device: Device = CPU, **sections: dict[str, Any]
) -> Memory:
    from llm_summ.check.activations import build_skeleton

    wanted = recipe(base, **sections)
    skeleton = build_skeleton(wanted, str(base), device.dtype)
    return estimate_memory(wanted, str(base), skeleton, rows(*lengths), device, device.dtype)


# The tiny Llama: hidden 64, inner 128, 2 layers, 2 heads of 32 and one of keys and values, a vocabulary of 1,500.
LINEAR = 2 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128)
OTHERS = 1500 * 64 + (2 * 2 + 1) * 64  # tied embeddings; norms
BLOCKS = LINEAR // 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "linear"),
    [
        ({"quantization": "none"}, 4 * LINEAR),
        ({"quantization": "nf4", "double_quantization": False}, LINEAR // 2 + 4 * BLOCKS),
        # each layer has its own scales of scales: 64, 32, 32, 64, 128, 128, 128 blocks, each fewer than 256
        ({"quantization": "nf4"}, LINEAR // 2 + BLOCKS + 2 * 7 * 4),
        ({"quantization": "fp4"}, LINEAR // 2 + BLOCKS + 2 * 7 * 4),
        ({"quantization": "int8"}, LINEAR + 4 * 2 * (64 + 32 + 32 + 64 + 128 + 128 + 64)),
    ],
    ids=["none", "nf4", "nf4 double", "fp4 double", "int8"],
)
def test_weights_counted_by_hand(tiny: Path, fields: dict[str, Any], linear: int) -> None:
    assert estimate(tiny, [(20, 10)], model=fields).weights == linear + 4 * OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nf4", "int8", "none"])
def test_weights_are_those_that_are_loaded(tiny: Path, kind: str) -> None:
    import torch

    from llm_summ.check.activations import build_skeleton
    from llm_summ.model.base import load_base, quantization_config

    fields = recipe(tiny, model={"quantization": kind})
    quantization = quantization_config(kind, double=True, compute_dtype=torch.float32)
    loaded = load_base(fields.model, str(tiny), CPU, torch.float32, quantization)
    tensors = []
    for parameter in loaded.parameters():
        tensors.append(parameter)
        if state := getattr(parameter, "quant_state", None):
            tensors += [state.absmax, state.state2.absmax]
        if getattr(parameter, "SCB", None) is not None:
            tensors.append(parameter.SCB)
    assert weight_bytes(build_skeleton(fields, str(tiny), "float32"), fields.model) == sum(
        t.nbytes for t in tensors
    )


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"]])
def test_the_adapter_is_the_one_that_peft_makes(tiny: Path, targets: str | list[str]) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny), LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=targets)
    )
    trainable, _ = model.get_nb_trainable_parameters()
    found = estimate(tiny, [(20, 10)], lora={"r": 4, "targets": targets})
    assert found.adapter == found.gradients == 4 * trainable
    assert found.optimizer == 8 * trainable


@pytest.mark.parametrize(
    ("optimizer", "on_gpu", "expected"),
    [
        ("adamw_torch", True, 8 * (4095 + 4096 + 5000)),
        ("auto", False, 8 * (4095 + 4096 + 5000)),
        ("auto", True, 8 * 4095 + 2 * (4096 + 4 * 16) + 2 * (5000 + 4 * 20)),
        ("paged_adamw_8bit", False, 8 * 4095 + 2 * (4096 + 4 * 16) + 2 * (5000 + 4 * 20)),
    ],
)
def test_states_of_the_optimizer(optimizer: str, on_gpu: bool, expected: int) -> None:
    train = TrainFields.model_validate({"optimizer": optimizer})
    assert optimizer_bytes([4095, 4096, 5000], train, on_gpu=on_gpu) == expected


KEEP = {"gradient_checkpointing": "off"}


@pytest.mark.slow
def test_dropout_on_a_gpu_keeps_a_byte_of_mask(tiny: Path) -> None:
    kept = [
        estimate(
            tiny, [(90, 10)], GPU, model={"quantization": "none"}, lora={"dropout": p}, train=KEEP
        ).activations
        for p in (0.0, 0.1)
    ]
    # Into q, k, v, o, gate and up go 64 each, into down 128; what goes into the first q, k, v needs no gradient.
    assert kept[1] - kept[0] == 100 * (2 * (6 * 64 + 128) - 3 * 64)


@pytest.mark.slow
def test_an_adapter_of_a_quantized_layer_keeps_no_copy_of_its_input_on_a_gpu(tiny: Path) -> None:
    """Elsewhere PEFT casts it to float32, and autocast back: where layers share an input, each keeps its own."""
    kept = {
        kind: estimate(tiny, [(90, 10)], GPU, model={"quantization": kind}, train=KEEP).activations
        for kind in ("none", "nf4", "int8")
    }
    assert kept["nf4"] == kept["int8"]
    # q, k and v share one, gate and up share one, and attention itself keeps what goes into o.
    assert kept["none"] - kept["nf4"] == 2 * 100 * 2 * (2 * 64 + 64 + 64)


@pytest.mark.slow
def test_logits_of_a_step(tiny: Path) -> None:
    """At the worst moment there are the logits and, of the learnt tokens alone, three tensors as wide."""
    prompts = [(30, 12), (20, 10)]  # labels stand at 30 to 41 and at 20 to 29
    width = 4 * 1500
    assert estimate(tiny, prompts).logits == width * (2 * 22 + 3 * 22)


@pytest.mark.slow
def test_attention_costs_the_square_of_the_length_where_it_is_not_fused(tiny: Path) -> None:
    import json

    eager = tiny.parent / "eager"
    eager.mkdir()
    # transformers' fused attention leaves out Gemma 2's soft-capping, so it is trained with the eager one.
    config = {"model_type": "gemma2", "vocab_size": 1500, "hidden_size": 64, "intermediate_size": 128}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    eager.joinpath("config.json").write_text(json.dumps(config), encoding="utf-8")
    sizes = {}
    for base in (tiny, eager):
        short, long = (estimate(base, [(length, 10)]).activations for length in (490, 990))
        sizes[base.name] = long / short
    assert 1.95 < sizes["tiny"] < 2.05
    assert sizes["eager"] > 2.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"train": {"micro_batch_size": 1}}, {"train": {"micro_batch_size": 2}}),
        ({"train": {"micro_batch_size": 2}}, {"train": {"micro_batch_size": 4}}),
        ({"train": {"gradient_checkpointing": "on"}}, {"train": {"gradient_checkpointing": "off"}}),
        ({"lora": {"r": 8}}, {"lora": {"r": 16}}),
        ({"lora": {"targets": ["q_proj"]}}, {"lora": {"targets": "all-linear"}}),
        ({"lora": {"dropout": 0.0}}, {"lora": {"dropout": 0.1}}),
        (
            {"lora": {"r": 64}, "train": {"optimizer": "paged_adamw_8bit"}},
            {"lora": {"r": 64}, "train": {"optimizer": "adamw_torch"}},
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
def test_what_takes_more(tiny: Path, device: Device, less: dict[str, Any], more: dict[str, Any]) -> None:
    lengths = [(300, 40)] * 8
    small, large = (estimate(tiny, lengths, device, **changes) for changes in (less, more))

    def training(memory: Memory) -> int:
        return sum(asdict(memory).values()) - memory.loading

    assert training(small) < training(large)


@pytest.mark.slow
@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
def test_longer_rows_take_more(tiny: Path, device: Device) -> None:
    totals = [estimate(tiny, [(prompt, 40)] * 4, device).activations for prompt in (50, 100, 400, 900)]
    assert totals == sorted(totals)
    assert len(set(totals)) == 4


@pytest.mark.slow
def test_the_total_is_the_worse_of_loading_and_training(tiny: Path) -> None:
    found = estimate(tiny, [(300, 40)] * 8)
    parts = asdict(found)
    loading = parts.pop("loading")
    assert found.total == max(loading, sum(parts.values()))
    assert found.to_json() == asdict(found) | {"total": found.total}
    assert "process 0.6 GiB" in found.parts_line()


LLAMA_32B = {
    "model_type": "llama",
    "vocab_size": 102400,
    "hidden_size": 5120,
    "intermediate_size": 27392,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}


@pytest.mark.slow
def test_a_large_model_is_not_allocated(tmp_path: Path) -> None:
    """32 billion parameters, in a process that could not hold a hundredth of them."""
    import json

    (tmp_path / "config.json").write_text(json.dumps(LLAMA_32B), encoding="utf-8")
    code = f"""
import re, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from test_memory import GPU, estimate
memory = estimate(Path({str(tmp_path)!r}), [(1000, 100)] * 8, GPU)
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(memory.weights, int(peak[1]) * 1024)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    weights, peak = map(int, done.stdout.split())
    linear = 64 * (2 * 5120 * 5120 + 2 * 5120 * 1024 + 3 * 5120 * 27392)
    assert weights == pytest.approx(linear * (0.5 + 1 / 64 + 4 / 64 / 256) + 2 * 2 * 102400 * 5120, rel=0.001)
    assert peak < 2 * 2**30


@pytest.mark.slow
def test_an_estimate_changes_nothing_that_a_training_depends_on(tiny: Path) -> None:
    import torch

    before = torch.get_rng_state()
    estimate(tiny, [(300, 40)] * 8, train={"gradient_checkpointing": "on"}, lora={"dropout": 0.1})
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.slow
def test_what_cannot_be_estimated_is_told_in_a_line(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^lora\.targets: .*nowhere") as no_layer:
        estimate(tiny, [(20, 10)], lora={"targets": ["nowhere"]})
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"^model\.base: .*: its configuration cannot be had") as no_model:
        estimate(tmp_path, [(20, 10)])
    for error in (no_layer, no_model):
        assert len(str(error.value).splitlines()) == 1


def by_tokens(batch: MicroBatch) -> int:
    return batch.rows * batch.length


@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=40),
    micro=st.integers(1, 5),
    grouped=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_worst_micro_batch_is_one_of_rows(
    lengths: list[tuple[int, int]], micro: int, grouped: bool, seed: int
) -> None:
    train = TrainFields(batch_size=2 * micro, micro_batch_size=micro, group_by_length=grouped, epochs=1.0)
    worst = worst_micro_batch(lengths, train, seed, by_tokens)
    assert worst.rows <= min(micro, len(lengths))
    assert worst.length in {sum(row) for row in lengths}
    assert worst.positions <= worst.learnt <= worst.rows * 20
    assert max(answer for _, answer in lengths) >= worst.learnt / worst.rows
    if micro == 1 or (grouped and len(lengths) % micro == 0):
        assert worst.length == max(sum(row) for row in lengths)


def test_a_micro_batch_by_hand() -> None:
    train = TrainFields(batch_size=2, micro_batch_size=2, epochs=1.0)
    # labels at 10 to 14 and at 12 to 19: ten positions in all
    assert worst_micro_batch([(10, 5), (12, 8)], train, 0, by_tokens) == MicroBatch(2, 20, 10, 13)


@pytest.mark.parametrize(
    ("grouped", "expected"), [(True, MicroBatch(4, 110, 10, 40)), (False, MicroBatch(4, 110, 20, 40))]
)
def test_long_rows_come_together_where_they_are_grouped(grouped: bool, expected: MicroBatch) -> None:
    """Beside short rows, long ones have their labels at other positions."""
    train = TrainFields(batch_size=8, micro_batch_size=4, group_by_length=grouped, epochs=1.0)
    assert worst_micro_batch([(100, 10)] * 4 + [(10, 10)] * 4, train, 0, by_tokens) == expected


def test_the_memory_of_this_machine() -> None:
    installed = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) * 1024
    assert 2**28 < device_memory(CPU) <= installed


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/a/b\n", [300, 500]),
        ("0::/a\n", [300]),
        ("0::/\n", []),
        ("4:memory:/c\n1:cpu:/a\n", [900, 700]),
        ("4:cpu,memory:/c\n", [900, 700]),
        ("", []),
    ],
)
def test_limits_of_containers(tmp_path: Path, groups: str, limits: list[int]) -> None:
    for name, text in {
        "a/memory.max": "300\n",
        "a/b/memory.max": "500\n",
        "memory.max": "max\n",
        "memory/memory.limit_in_bytes": "900\n",
        "memory/c/memory.limit_in_bytes": "700\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert cgroup_limits(tmp_path, groups) == limits


@pytest.mark.slow
def test_an_estimate_is_what_a_training_takes() -> None:
    """The whole process, measured by the script that compares more trainings than a test has time for."""
    script = Path(__file__).parents[2] / "scripts" / "compare_memory.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "tiny Llama, micro batch 8"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
