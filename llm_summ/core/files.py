"""Files that appear whole or grow by whole lines, so that a kill at any moment loses nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from llm_summ.core.errors import InputError

__all__ = [
    "all_or_none",
    "append_lines",
    "file_sha256",
    "read_jsonl",
    "text_sha256",
    "umask",
    "whole_directory",
    "whole_file",
    "write_json",
    "write_text",
]


def write_text(path: Path, text: str) -> None:
    """Write `text` so that `path` holds either what it held before or all of it."""
    with whole_file(path) as building:
        building.write_bytes(text.encode())


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a temporary file that becomes `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    building = Path(name)
    try:
        os.close(handle)
        yield building
        with building.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes a private file; a result is as readable as any other file of its owner
        building.chmod(0o666 & ~umask())
        building.replace(path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def all_or_none() -> Iterator[list[Path]]:
    """Give a list for the new files that the block writes; if it fails, those in the list are removed again.

    For files that belong together: some of them without the others would make the next attempt fail.
    """
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextlib.contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends without an error.

    An existing folder at `path` is replaced. After a kill, only a folder whose name begins with a dot is left; it
    is never mistaken for the result.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield building
        building.chmod(0o777 & ~umask())
        for file in building.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(old / path.name)
            building.replace(path)
            shutil.rmtree(old)
        else:
            building.replace(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def append_lines(path: Path) -> Iterator[TextIO]:
    """Open a JSONL file to be continued; a line torn by a kill is cut off first.

    Every complete line is passed to the operating system at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
    out = path.open("a", encoding="utf-8", newline="", buffering=1)
    try:
        yield out
        out.flush()
        os.fsync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):  # on a full disk closing fails again; the first error is raised
            out.close()
        raise
    out.close()


def read_jsonl(path: Path, *, may_be_torn: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) for every line.

    Args:
        path: a file of one JSON object a line.
        may_be_torn: leave out a last line that has no line end: its writer was killed before the
            row was complete.

    Raises:
        InputError: a line is not a JSON object in UTF-8.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or (may_be_torn and not line.endswith(b"\n")):
                continue
            try:
                # json would guess the encoding of bytes, and accept UTF-16 too
                value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}:{number}: not JSON in UTF-8 ({error}); expected one JSON object a line"
                ) from error
            if not isinstance(value, dict):
                raise InputError(f"{path}:{number}: found {type(value).__name__}; expected a JSON object a line")
            yield number, value


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal; of a folder, that of its files and their names."""
    if path.is_dir():
        files = sorted(other for other in path.rglob("*") if other.is_file())
        return text_sha256(
            "".join(f"{file.relative_to(path).as_posix()}\n{file_sha256(file)}\n" for file in files)
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def umask() -> int:
    """Return the umask: the permissions that new files of this process do not get."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
