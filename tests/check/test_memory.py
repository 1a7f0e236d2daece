"""The estimate of a training's memory: what can be counted by hand is, and the rest is what a training takes."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from command_line import run_script
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.check.memory import Memory, cgroup_limits, device_memory, fit_micro_batch
from llm_summ.check.micro_batch import MicroBatch, worst_micro_batch
from llm_summ.check.sizes import Trained, optimizer_bytes, update_bytes
from llm_summ.core.errors import ModelError, RecipeError
from llm_summ.models.device import Device
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe, TrainFields

CPU, GPU = Device("cpu", "a CPU", "float32"), Device("cuda", "a GPU", "bfloat16")

pytestmark = pytest.mark.filterwarnings(
    "ignore:::transformers", "ignore:::peft", "ignore:::torch", "ignore:::bitsandbytes"
)


@pytest.fixture
def tiny(tiny_model: Path) -> Path:
    return tiny_model


def recipe(base: Path, **sections: dict[str, Any]) -> Recipe:
    model = {"base": str(base)} | sections.pop("model", {})
    train = {"batch_size": 8, "micro_batch_size": 2, "epochs": 1.0} | sections.pop("train", {})
    tree = {"model": model, "data": {"train": "sample:train"}, "train": train, "lora": {"dropout": 0.0}} | sections
    return Recipe.model_validate(tree)


def rows(*lengths: tuple[int, int]) -> list[TokenizedExample]:
    """Rows of so many tokens in prompt and completion, the stop token included."""
    return [
        TokenizedExample(str(n), (5,) * prompt, (6,) * (completion - 1), 2)
        for n, (prompt, completion) in enumerate(lengths)
    ]


def estimate(
    base: Path, lengths: list[tuple[int, int]], device: Device = CPU, **sections: dict[str, Any]
) -> Memory:
    return fit(base, lengths, device, 2**50, **sections)[1]


def fit(
    base: Path, lengths: list[tuple[int, int]], device: Device, available: int, **sections: dict[str, Any]
) -> tuple[int, Memory]:
    from llm_summ.check.meta_model import build_meta_model

    wanted = recipe(base, **sections)
    meta_model = build_meta_model(wanted, str(base), device.dtype)
    return fit_micro_batch(wanted, meta_model, rows(*lengths), device, device.dtype, available)


KEEP = {"gradient_checkpointing": "off"}
FULL = {"weights": "full", "optimizer": "adamw_torch"}

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

    from llm_summ.check.meta_model import build_meta_model
    from llm_summ.models.load import load_base, quantization_config

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
    assert build_meta_model(fields, str(tiny), "float32").weights == sum(t.nbytes for t in tensors)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "quantization"), [("nf4", "none"), ("fp4 double", "int8"), ("int8", "nf4")])
def test_a_base_that_is_quantized_already_counts_as_its_file_says(
    tiny: Path, tmp_path: Path, kind: str, quantization: str
) -> None:
    """The recipe has no effect: it is loaded as it is."""
    import torch

    from llm_summ.models.load import load_base, quantization_config

    name, _, double = kind.partition(" ")
    config = quantization_config(name, double=bool(double), compute_dtype=torch.float32)
    plain = recipe(tiny, model={"quantization": "none"}).model
    base = tmp_path / "quantized"
    load_base(plain, str(tiny), CPU, torch.float32, config).save_pretrained(base)
    lengths = [(90, 10)]
    found = estimate(base, lengths, model={"quantization": quantization})
    expected = estimate(tiny, lengths, model={"quantization": name, "double_quantization": bool(double)})
    for part in ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "working"):
        assert getattr(found, part) == getattr(expected, part), part
    # A file in full precision stays mapped when its layers are quantized; this one is used as it is.
    assert found.process < expected.process
    on_gpu = estimate(base, lengths, GPU, model={"quantization": quantization})
    assert on_gpu.weights < estimate(tiny, lengths, GPU, model={"quantization": "none"}).weights


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


TENSORS = [Trained((4095,)), Trained((64, 64)), Trained((50, 100)), Trained((50, 100), embedding=True)]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("adamw_torch", 8 * (4095 + 4096 + 2 * 5000)),
        ("paged_adamw_32bit", 8 * (4095 + 4096 + 2 * 5000)),
        ("adamw_8bit", 8 * 4095 + 2 * (4096 + 4 * 16) + 2 * (5000 + 4 * 20) + 8 * 5000),
        ("paged_adamw_8bit", 8 * 4095 + 2 * (4096 + 4 * 16) + 2 * (5000 + 4 * 20) + 8 * 5000),
        ("lion_8bit", 4 * 4095 + (4096 + 4 * 16) + (5000 + 4 * 20) + 4 * 5000),
        ("adafactor", 4 * 4095 + 4 * (64 + 64) + 2 * 4 * (50 + 100)),
        ("sgd", 0),
    ],
)
def test_states_of_the_optimizer(optimizer: str, expected: int) -> None:
    assert optimizer_bytes(TENSORS, optimizer) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "lion_8bit", "adafactor", "sgd"],
)
def test_states_are_those_that_the_optimizer_makes(name: str, tmp_path: Path) -> None:
    """All of them work without a GPU."""
    import torch
    from transformers import Trainer, TrainingArguments

    model = torch.nn.ModuleList([torch.nn.Embedding(80, 64), torch.nn.Linear(64, 96), torch.nn.Linear(96, 2)])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = Trainer(model, TrainingArguments(tmp_path, optim=name, use_cpu=True, learning_rate=0.1))
    optimizer = trainer.create_optimizer()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU")
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    tensors = [Trained(tuple(parameter.shape), parameter is model[0].weight) for parameter in model.parameters()]
    states = sum(
        value.nbytes
        for state in optimizer.state.values()
        for key, value in state.items()
        # Tables that all tensors share, and single numbers.
        if torch.is_tensor(value) and value.ndim and not key.startswith("qmap")
    )
    assert optimizer_bytes(tensors, name) == states


def test_what_an_optimizer_works_with() -> None:
    everything = 4 * (4095 + 4096 + 2 * 5000)
    assert update_bytes(TENSORS, "adamw_torch", on_gpu=True) == everything
    assert update_bytes(TENSORS, "adamw_torch", on_gpu=False) == 2 * 4 * 5000
    assert update_bytes(TENSORS, "paged_adamw_8bit", on_gpu=True) == 0
    assert update_bytes(TENSORS, "sgd", on_gpu=True) == 0


@pytest.mark.slow
@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
def test_all_weights_are_trained_in_float32(tiny: Path, device: Device) -> None:
    found = estimate(tiny, [(90, 10)], device, model={"quantization": "none"}, train=FULL)
    everything = 4 * (LINEAR + OTHERS)
    assert (found.weights, found.adapter, found.gradients) == (everything, 0, everything)
    assert found.optimizer == 2 * everything
    assert "adapter" not in found.parts_line()
    # While PyTorch's AdamW works on a GPU, there is one more of each.
    resting = found.weights + found.gradients + found.optimizer + found.process
    assert found.updating == resting + (everything if device == GPU else 2 * 4 * 1500 * 64)


@pytest.mark.slow
def test_trained_weights_are_there_in_the_compute_dtype_as_well(tiny: Path) -> None:
    """A GPU's autocast keeps a copy of every matrix until the forward pass ends, and autograd until it is used."""
    frozen, full = (
        estimate(tiny, [(90, 10)], GPU, model={"quantization": "none"}, train=KEEP | train) for train in ({}, FULL)
    )
    assert full.activations >= frozen.activations + 2 * LINEAR - 100 * 2 * 64 * 100


@pytest.mark.slow
def test_gradients_of_the_head_are_a_table(tiny: Path) -> None:
    """TRL's head makes them in float32, in addition to the existing ones."""
    adapted, full = (
        estimate(tiny, [(30, 10)], GPU, model={"quantization": "none"}, train=train) for train in ({}, FULL)
    )
    assert full.working + full.logits > adapted.working + adapted.logits + 4 * 1500 * 64


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
    """They are made for target tokens alone; at the worst moment there are two or three tensors of them."""
    width = 4 * 1500
    found = estimate(tiny, [(30, 12), (20, 10)]).logits
    assert found in {2 * 22 * width, 3 * 22 * width}


@pytest.mark.slow
def test_label_smoothing_on_a_gpu_needs_the_logits_in_full(tiny: Path) -> None:
    lengths = [(30, 200), (20, 200)]
    fused, full = (estimate(tiny, lengths, GPU, train=train) for train in ({}, {"label_smoothing": 0.1}))
    assert fused.logits <= 2 * 400 * 1500
    assert full.logits >= 2 * 4 * 400 * 1500


@pytest.mark.slow
@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
def test_packed_rows_need_a_mask(tiny: Path, device: Device) -> None:
    """Rows of one length: nothing is padded, and attention needs (s, s) of the sum of the lengths."""
    lengths = [(290, 10)] * 8
    padded, packed = (
        estimate(tiny, lengths, device, train=KEEP | {"micro_batch_size": 4, "packing": packing})
        for packing in (False, True)
    )
    width = 4 if device == CPU else 2
    more = packed.activations - padded.activations
    assert more >= 1200 * 1200 - 4 * 300 * 300
    assert more <= 2 * 1200 * 1200 * (width + 1)
    alone = estimate(tiny, lengths, device, train=KEEP | {"micro_batch_size": 1, "packing": True})
    assert alone == estimate(tiny, lengths, device, train=KEEP | {"micro_batch_size": 1})


@pytest.mark.slow
def test_auto_takes_what_fits_on_a_gpu(tiny: Path) -> None:
    lengths = [(400, 40)] * 40
    train: dict[str, Any] = {"batch_size": 24, "gradient_checkpointing": "off"}
    needed = {
        size: estimate(tiny, lengths, GPU, train=train | {"micro_batch_size": size}).total
        for size in (1, 2, 4, 8, 16)
    }
    assert sorted(needed.values()) == list(needed.values())
    auto = train | {"micro_batch_size": "auto"}
    for size, total in needed.items():
        found, memory = fit(tiny, lengths, GPU, int(total / 0.85) + 1, train=auto)
        assert (found, memory.total) == (size, total)
    assert fit(tiny, lengths, GPU, 2**20, train=auto)[0] == 1
    assert fit(tiny, lengths, GPU, 2**50, train=auto)[0] == 16


@pytest.mark.slow
def test_auto_takes_one_row_on_a_cpu(tiny: Path) -> None:
    lengths = [(400, 40)] * 8
    size, memory = fit(tiny, lengths, CPU, 2**50, train={"micro_batch_size": "auto"})
    assert (size, memory) == (1, estimate(tiny, lengths, CPU, train={"micro_batch_size": 1}))


@pytest.mark.slow
def test_a_micro_batch_is_no_larger_than_the_batch(tiny: Path) -> None:
    assert fit(tiny, [(400, 40)] * 8, CPU, 2**50, train={"micro_batch_size": 64})[0] == 8


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
    assert small.training < large.training


@pytest.mark.slow
@pytest.mark.parametrize("device", [CPU, GPU], ids=lambda device: device.kind)
def test_longer_rows_take_more(tiny: Path, device: Device) -> None:
    totals = [estimate(tiny, [(prompt, 40)] * 4, device).activations for prompt in (50, 100, 400, 900)]
    assert totals == sorted(totals)
    assert len(set(totals)) == 4


@pytest.mark.slow
def test_the_total_is_the_worst_of_three_moments(tiny: Path) -> None:
    found = estimate(tiny, [(300, 40)] * 8)
    parts = found.to_json()
    moments = {parts.pop("loading"), parts.pop("updating"), parts.pop("total")}
    assert found.training == sum(parts.values())
    assert found.total == max(*moments, found.training)
    assert "process 0.6 GiB" in found.parts_line()


# Few layers, since the time of an estimate grows with their number, and not with their size.
LLAMA_32B = {
    "model_type": "llama",
    "vocab_size": 102400,
    "hidden_size": 12288,
    "intermediate_size": 98304,
    "num_hidden_layers": 8,
    "num_attention_heads": 96,
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
    linear = 8 * (2 * 12288 * 12288 + 2 * 12288 * 1024 + 3 * 12288 * 98304)
    assert weights == pytest.approx(linear * (0.5 + 1 / 64 + 4 / 64 / 256) + 2 * 2 * 102400 * 12288, rel=0.001)
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
    with raises(RecipeError) as no_layer:
        estimate(tiny, [(20, 10)], lora={"targets": ["nowhere"]})
    assert no_layer.message == snapshot(
        "lora.targets: no layer is called nowhere; layers here: down_proj, embed_tokens, gate_proj, "
        "k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"
    )
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}', encoding="utf-8")
    with pytest.raises(
        ModelError,
        match=r"^model\.base: .*: transformers .* does not know its kind of model",  # names the version
    ) as no_model:
        estimate(tmp_path, [(20, 10)])
    for error in (no_layer, no_model):
        assert len(str(error.value).splitlines()) == 1


def by_tokens(batch: MicroBatch) -> int:
    return batch.rows * batch.length


@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=40),
    batch=st.integers(1, 9),
    size=st.integers(1, 9),
    grouped=st.booleans(),
    packing=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_worst_micro_batch_is_one_of_rows(
    lengths: list[tuple[int, int]], batch: int, size: int, grouped: bool, packing: bool, seed: int
) -> None:
    train = TrainFields(batch_size=batch, group_by_length=grouped, packing=packing, epochs=1.0)
    worst = worst_micro_batch(lengths, train, size, seed, by_tokens)
    longest = max(map(sum, lengths))
    together = min(size, batch, len(lengths))
    assert by_tokens(worst) >= longest
    assert by_tokens(worst) <= longest * together
    assert worst.target_tokens <= max(completion for _, completion in lengths) * together
    if packing:
        assert worst.rows == 1
    else:
        assert worst.rows <= together
        assert worst.length in {sum(row) for row in lengths}


def test_a_micro_batch_by_hand() -> None:
    train = TrainFields(batch_size=3, epochs=1.0)
    lengths = [(10, 5), (12, 8), (3, 4)]
    assert worst_micro_batch(lengths, train, 1, 0, by_tokens) == MicroBatch(1, 20, 8)
    # A step's longest rows come together, and what is left makes the last: 20 and 15, then 7.
    assert worst_micro_batch(lengths, train, 2, 0, by_tokens) == MicroBatch(2, 20, 13)
    packed = TrainFields(batch_size=3, epochs=1.0, packing=True)
    assert worst_micro_batch(lengths, packed, 2, 0, by_tokens) == MicroBatch(1, 35, 13, packed=True)
    assert worst_micro_batch(lengths, packed, 1, 0, by_tokens) == MicroBatch(1, 20, 8)


@pytest.mark.parametrize("seed", range(5))
def test_long_rows_come_together_where_they_are_grouped(seed: int) -> None:
    lengths = [(100, 10)] * 4 + [(10, 10)] * 12
    grouped, random = (TrainFields(batch_size=4, group_by_length=on, epochs=1.0) for on in (True, False))
    assert worst_micro_batch(
        lengths, grouped, 4, seed, lambda batch: batch.target_tokens + batch.length
    ) == MicroBatch(4, 110, 40)
    squares = {
        order.group_by_length: worst_micro_batch(lengths, order, 1, seed, by_tokens) for order in (grouped, random)
    }
    assert squares[True] == squares[False] == MicroBatch(1, 110, 10)


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
    """A whole process, measured by the script that compares more trainings than a test has time for."""
    script = Path(__file__).parents[2] / "scripts" / "compare_memory.py"
    done = run_script(script, "tiny Llama, micro batch 8")
    assert done.code == 0, done.out + done.err
