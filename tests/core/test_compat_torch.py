"""Canaries: what PyTorch does beyond its public names, as core/compat/torch.py takes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.compat.torch import (
    autocast_as_on,
    cpu_has_amx,
    cpu_multiplies_bfloat16,
    dispatch_mode,
    fake_device_lookup,
    fake_tensor_mode,
    has_own_forward,
    is_about_meta_tensors,
    is_connection_lost,
    replace_forward,
    restore_forward,
    tree_leaves,
)

pytestmark = [pytest.mark.canary, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "function", "flag"),
    [
        ("_is_amx_tile_supported", cpu_has_amx, "amx_tile"),
        ("_is_avx512_bf16_supported", cpu_multiplies_bfloat16, "avx512_bf16"),
    ],
)
def test_what_the_cpu_has(name: str, function: Callable[[], bool], flag: str) -> None:
    import torch

    assert callable(getattr(torch.cpu, name))
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    # A kernel may forbid what the CPU has; it allows nothing that the CPU lacks.
    assert function() <= (flag in flags.split())


def test_fake_tensors_have_shapes_and_a_device_and_no_numbers() -> None:
    import torch

    real = torch.ones(3, 4)
    with fake_tensor_mode():
        fake = torch.nn.functional.linear(torch.empty(2, 4), real)
        assert fake.shape == (2, 3)
        assert fake.device == torch.device("cpu")
        assert type(fake).__name__ == "FakeTensor"
        with pytest.raises(Exception, match="scalar"):
            fake[0, 0].item()


def test_operations_are_seen_and_the_device_of_a_fake_tensor_is_known() -> None:
    import torch

    seen = []

    class Seen(dispatch_mode()):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func)
            return func(*args, **(kwargs or {}))

    device = fake_device_lookup()
    asks = torch.ops.prim.device.default
    with fake_tensor_mode():
        weight = torch.nn.Parameter(torch.empty(3, 4))
        with Seen():
            loss = torch.nn.functional.linear(torch.empty(2, 4), weight).sum()
            assert asks in seen
            assert device(asks, (weight,)) == torch.device("cpu")
            assert device(torch.ops.aten.sum.default, (weight,)) is None
            seen.clear()
            loss.backward()
    assert torch.ops.aten.mm.default in seen, "the backward pass is not seen"
    assert device(asks, (torch.ones(1),)) is None


def test_leaves_of_a_nested_result() -> None:
    assert tree_leaves()([1, (2, {"a": 3, "b": [4]})]) == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_autocast_on_a_cpu_answers_as_another_device_would(kind: str) -> None:
    import torch

    before = torch.is_autocast_enabled("cuda")
    with autocast_as_on(kind, torch.bfloat16):
        assert torch.is_autocast_enabled("cuda") == (kind == "cuda")
        assert torch.is_autocast_enabled("cpu")
        assert torch.nn.functional.linear(torch.ones(2, 4), torch.ones(3, 4)).dtype is torch.bfloat16
    assert torch.is_autocast_enabled("cuda") == before


def test_one_module_computes_in_another_way_for_a_while() -> None:
    import torch

    layer, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.load_state_dict(layer.state_dict())
    inputs = torch.ones(1, 2)
    expected = layer(inputs)
    assert not has_own_forward(layer)
    replace_forward(layer, lambda x: x + 1)
    assert has_own_forward(layer)
    assert layer(inputs).tolist() == [[2.0, 2.0]]
    assert torch.equal(other(inputs), expected)
    restore_forward(layer)
    assert torch.equal(layer(inputs), expected)


@pytest.mark.parametrize(
    "look",
    [
        lambda tensor: tensor.item(),
        lambda tensor: tensor.tolist(),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor.numpy(),
        lambda tensor: bool(tensor),
    ],
)
def test_who_looks_at_numbers_that_are_not_there_is_told_of_meta_tensors(look: Callable[[Any], Any]) -> None:
    import torch

    with pytest.raises(Exception) as caught:  # noqa: PT011  of several kinds
        look(torch.empty(1, device="meta"))
    assert is_about_meta_tensors(caught.value)


LOSES_THE_OTHER = """\
import os, sys, torch
from torch import distributed
from llm_summ.core.compat.torch import is_connection_lost
rank, path = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", store=distributed.FileStore(path, 2), rank=rank, world_size=2)
distributed.barrier()
if rank:
    os._exit(0)
try:
    distributed.all_reduce(torch.ones(1))
except RuntimeError as error:
    print(is_connection_lost(error), error)
    sys.stdout.flush()
    os._exit(0)
"""


def test_a_process_that_has_lost_the_other(tmp_path: Path) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", LOSES_THE_OTHER]
    started = [
        subprocess.Popen([*arguments, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in started]
    assert printed[0].startswith("True ")
    assert not is_connection_lost(RuntimeError("out of memory"))


def test_the_norm_of_many_tensors_at_once() -> None:
    import torch

    norms = torch._foreach_norm([torch.full((4,), 3.0), torch.ones(9)], 2, dtype=torch.float32)
    assert [norm.item() for norm in norms] == [6.0, 3.0]
