"""PyTorch: what a CPU computes in, tensors without data, and layers with a replaced forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = [
    "autocast_as_on",
    "cpu_has_amx",
    "cpu_multiplies_bfloat16",
    "dispatch_mode",
    "fake_device_lookup",
    "fake_tensor_mode",
    "has_own_forward",
    "is_about_meta_tensors",
    "is_connection_lost",
    "replace_forward",
    "restore_forward",
    "tree_leaves",
]


def cpu_has_amx() -> bool:
    """Return whether the CPU has AMX tiles and the system lets them be used.

    The flags in /proc/cpuinfo do not show whether the system allows them. Without this name generation on such a
    CPU is in float32 instead of bfloat16.
    """
    return _cpu_has("_is_amx_tile_supported")


def cpu_multiplies_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 (AVX512-BF16).

    PyTorch has no public name for it. Without this name a training on such a CPU is in float32.
    """
    return _cpu_has("_is_avx512_bf16_supported")


def _cpu_has(name: str) -> bool:
    import torch

    return bool(getattr(torch.cpu, name, lambda: False)())


def fake_tensor_mode() -> Any:
    """Return a context in which tensors have shapes but no data.

    The meta device is not enough: there PyTorch runs other code than on a CPU, and autocast does nothing. Without
    it memory cannot be estimated.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_device_lookup() -> Callable[[Any, Sequence[Any]], Any]:
    """Return a function that finds the device of a fake tensor without calling PyTorch.

    It takes an operation and its arguments, and returns the device if the operation asks for it and the tensor is
    fake; otherwise None. Two thirds of all operations ask for a device, and answering in PyTorch takes half of an
    estimate's time.
    """
    import torch

    asks_for_device = torch.ops.prim.device.default

    def device(operation: Any, arguments: Sequence[Any]) -> Any:
        return getattr(arguments[0], "fake_device", None) if operation is asks_for_device else None

    return device


def dispatch_mode() -> Any:
    """Return the base class of contexts that see every operation on tensors, including those of the backward pass.

    The public `TorchFunctionMode` does not see the backward pass, whose tensors are half of a step's memory.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    return TorchDispatchMode


def tree_leaves() -> Callable[[Any], list[Any]]:
    """Return the function that lists the leaves of an operation's nested result.

    PyTorch itself uses it for such results; it has no public name.
    """
    from torch.utils._pytree import tree_leaves as function

    leaves: Callable[[Any], list[Any]] = function
    return leaves


@contextmanager
def autocast_as_on(kind: str, dtype: Any) -> Iterator[None]:
    """Use autocast on the CPU, while `is_autocast_enabled("cuda")` answers as it would on a device of `kind`.

    `torch.autocast("cuda")` refuses a machine without a GPU. PEFT asks for a GPU's autocast when it decides
    whether to cast the inputs of a quantized layer's adapter: an estimate for a GPU would count that copy.

    Args:
        kind: the kind of device that is estimated: cuda or cpu.
        dtype: a torch dtype.
    """
    import torch

    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", kind == "cuda")
    try:
        with torch.autocast("cpu", dtype=dtype):
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)


def replace_forward(module: Any, forward: Callable[..., Any]) -> None:
    """Make one module compute with another function; its class and all other modules are not changed.

    Hooks see inputs and outputs, but cannot replace the computation between them. `Module.__call__` reads
    `self.forward`, so an attribute of the instance is used instead of the method of the class.
    """
    module.forward = forward


def restore_forward(module: Any) -> None:
    """Make a module compute with its class's method again, after `replace_forward`."""
    del module.forward


def has_own_forward(module: Any) -> bool:
    """Return whether `replace_forward`, or another library, has replaced a module's `forward`."""
    return "forward" in vars(module)


def is_about_meta_tensors(error: BaseException) -> bool:
    """Return whether PyTorch refuses something because a tensor has no data.

    It raises several kinds of errors for that, which share a word but no class. Without it a base model would be
    refused for an error that only an estimate has.
    """
    return "meta" in str(error)


def is_connection_lost(error: BaseException) -> bool:
    """Return whether a process has lost the others that it trains with.

    gloo and NCCL raise a plain RuntimeError for every failure. Without it every surviving process ends in a
    traceback of its own, which hides the error of the process that failed.
    """
    signs = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
