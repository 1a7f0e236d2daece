"""Canaries: how libraries that write files in Rust or C++ say that a file cannot be written."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.compat.write_errors import as_os_error

pytestmark = [pytest.mark.canary, pytest.mark.slow]

FULL = Path("/dev/full")  # a disk without room, on every Linux


def save_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models

    vocabulary = {str(number): number for number in range(10_000)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="0")).save(str(path))


def save_safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(100_000)}, path)


def save_pytorch(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(100_000)}, path)


@pytest.mark.parametrize("save", [save_tokenizer, save_pytorch])
def test_a_full_disk(save: Callable[[Path], Any]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  of several kinds
        save(FULL)
    found = as_os_error(caught.value, FULL)
    assert isinstance(found, OSError)
    assert found.errno in (errno.ENOSPC, errno.EIO)
    assert found.filename == str(FULL)


@contextlib.contextmanager
def quota(size: int) -> Iterator[None]:
    """Have the system refuse to write more than some bytes into a file of this process."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.parametrize("save", [save_tokenizer, save_safetensors, save_pytorch])
def test_a_quota(save: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(Exception) as caught, quota(4096):  # noqa: PT011  of several kinds
        save(path)
    found = as_os_error(caught.value, path)
    assert isinstance(found, OSError)
    assert found.errno in (errno.EFBIG, errno.EIO)
    assert found.filename == str(path)
    assert "\n" not in str(found)


@pytest.mark.parametrize("save", [save_tokenizer, save_safetensors])
def test_a_folder_that_is_not_there(save: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(Exception) as caught:  # noqa: PT011  of several kinds
        save(path)
    found = as_os_error(caught.value, path)
    assert isinstance(found, OSError)
    assert found.errno == errno.ENOENT
    assert found.strerror == "No such file or directory"


def test_other_errors_are_none_of_a_file() -> None:
    own = OSError(errno.ENOSPC, "No space left on device", "file")
    assert as_os_error(own, FULL) is own
    assert as_os_error(RuntimeError("some tensors share memory"), FULL) is None
    assert as_os_error(ValueError("a"), FULL) is None
