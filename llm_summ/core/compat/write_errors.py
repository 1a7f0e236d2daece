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
    """Return the OSError for an error that a library raised since a file cannot be written; None for any other.

    tokenizers raises a plain Exception and safetensors a SafetensorError, both with the number of the system's
    error in their text: ``No space left on device (os error 28)``. PyTorch raises a RuntimeError without a number,
    which names its writer or the source file of it. Without this function a full disk ends in a traceback instead
    of a line that tells what to do.

    Args:
        error: raised while files were written.
        path: what was written; the file of an OSError that is returned as it is may be another one.
    """
    if isinstance(error, OSError):
        return error
    if number := _NUMBER.search(str(error)):
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    is_of_pytorch = isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_PYTORCH)
    if is_of_pytorch or type(error).__name__ == "SafetensorError":
        return OSError(errno.EIO, first_line(error), str(path))
    return None
