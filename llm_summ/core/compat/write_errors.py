"""Errors of libraries that write files in Rust or C++, as the OSError that Python would raise."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from llm_summ.core.errors import first_line

__all__ = ["as_os_error"]

_NUMBER = re.compile(r"\(os error (\d+)\)")
_OF_PYTORCH = ("inline_container", "PytorchStreamWriter", "file write failed")


def as_os_error(error: Exception, path: Path) -> OSError | None:
    """Return an OSError for a library's error that a file cannot be written; None for any other error.

    tokenizers raises a plain Exception and safetensors a SafetensorError, both with the system's error
    number in their text: ``No space left on device (os error 28)``. PyTorch raises a RuntimeError without a
    number, which names its writer or the source file of its writer. Without this function a full disk ends in a
    traceback instead of a line that says what to do.

    Args:
        error: raised while files were written.
        path: the file or folder that was written; an OSError is returned unchanged and may name another file.
    """
    if isinstance(error, OSError):
        return error
    if number := _NUMBER.search(str(error)):
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    is_of_pytorch = isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_PYTORCH)
    if is_of_pytorch or type(error).__name__ == "SafetensorError":
        return OSError(errno.EIO, first_line(error), str(path))
    return None
