"""Read the header of a GGUF file: its metadata, and the position of each tensor.

The package `gguf` makes a numpy array of every single value, which takes most of a minute for a vocabulary of
262,144 tokens on an old CPU. Here an array of numbers is one view, and a string costs one call.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from llm_summ.core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["GgufFile", "GgufTensor", "read_gguf"]

_T = TypeVar("_T")

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # if the file does not set it

_BOOL, _STRING, _ARRAY = 7, 8, 9
# Codes of numbers by their type in the file, in struct and in numpy.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor of the file.

    Args:
        name: as llama.cpp names it.
        shape: rows first, as torch orders it.
        kind: the name of its quantization, such as Q4_K.
        data: its bytes; one row of blocks a row of the tensor.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    data: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class GgufFile:
    """The header of a GGUF file.

    Args:
        label: the name of the file in errors.
        metadata: values by key; an array of numbers is a numpy array, an array of strings a list.
        tensors: in the order of the file.
    """

    label: str
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]

    def value(self, key: str, kind: type[_T]) -> _T:
        """Return the value of a key.

        Raises:
            ModelError: the file does not have it, or it is of another type than `kind`.
        """
        value = self.metadata.get(key)
        if not isinstance(value, kind):
            what = f"{key} is of type {type(value).__name__}" if key in self.metadata else f"no {key}"
            raise ModelError(f"{self.label}: {what} in its metadata; expected one of type {kind.__name__}")
        return value


def read_gguf(content: bytes | bytearray | memoryview, label: str) -> GgufFile:
    """Read the header of a GGUF file that is in memory; the tensors are views of `content`.

    Args:
        content: the file's bytes.
        label: the name of the file in errors.

    Raises:
        ModelError: not a GGUF file, a damaged one, or one with an unknown quantization.
    """
    if bytes(content[:4]) != _MAGIC:
        raise ModelError(f"{label}: begins with {bytes(content[:4])!r}, expected {_MAGIC!r}: not a GGUF file")
    cursor = _Cursor(content)
    try:
        return _read(cursor, label)
    except (struct.error, IndexError) as error:
        raise ModelError(
            f"{label}: ends at byte {len(content)}, within its header; expected a complete GGUF file"
        ) from error
    except (ValueError, OverflowError, MemoryError) as error:
        raise ModelError(f"{label}: its header is damaged near byte {cursor.position} ({error})") from error


class _Cursor:
    """Reads values one after the other."""

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self.content = memoryview(content)
        self.position = len(_MAGIC)

    def number(self, code: str) -> Any:
        """Read a number, little-endian; `code` is struct's."""
        (value,) = struct.unpack_from(f"<{code}", self.content, self.position)
        self.position += struct.calcsize(f"<{code}")
        return value

    def text(self) -> str:
        """Read a string: its length, then UTF-8."""
        return self.texts(1)[0]

    def texts(self, count: int) -> list[str]:
        """Read strings; the loop is tight because a vocabulary is long."""
        content, position = self.content, self.position
        unpack_length = struct.Struct("<Q").unpack_from
        strings = []
        for _ in range(count):
            (length,) = unpack_length(content, position)
            position += 8 + length
            if position > len(content):
                raise IndexError(position)
            strings.append(str(content[position - length : position], "utf-8"))
        self.position = position
        return strings

    def numbers(self, code: str, count: int) -> npt.NDArray[Any]:
        """Read numbers as one view of the content."""
        import numpy as np

        kind = np.dtype(f"<{code}")
        begin, self.position = self.position, self.position + count * kind.itemsize
        if self.position > len(self.content):
            raise IndexError(self.position)
        return np.frombuffer(self.content[begin : self.position], dtype=kind)

    def value(self, kind: int) -> Any:
        """Read a value of metadata of one of the format's types."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner == _STRING:
                return self.texts(count)
            if inner in _NUMBERS:
                return self.numbers(_NUMBERS[inner], count)
            raise ValueError(f"an array of type {inner}")
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        raise ValueError(f"a value of type {kind}")


def _read(cursor: _Cursor, label: str) -> GgufFile:
    version = cursor.number("I")
    if version not in _VERSIONS:
        raise ModelError(f"{label}: GGUF of version {version}, expected {' or '.join(map(str, _VERSIONS))}")
    tensors, values = cursor.number("Q"), cursor.number("Q")
    metadata = {}
    for _ in range(values):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.number("I"))
    table = []
    for _ in range(tensors):
        name = cursor.text()
        shape = tuple(reversed([cursor.number("Q") for _ in range(cursor.number("I"))]))
        table.append((name, shape, cursor.number("I"), cursor.number("Q")))
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0:
        raise ModelError(f"{label}: general.alignment is {alignment}, expected a positive number")
    begin = -(-cursor.position // alignment) * alignment
    return GgufFile(label, metadata, tuple(_tensor(cursor.content, label, begin, *entry) for entry in table))


def _tensor(
    content: memoryview, label: str, begin: int, name: str, shape: tuple[int, ...], kind: int, offset: int
) -> GgufTensor:
    """Find a tensor's bytes, in rows of whole blocks."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        quantization = GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[quantization]
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"{label}: {name} has quantization type {kind}, which gguf does not know; pip install --upgrade gguf"
        ) from error
    if not shape or 0 in shape or shape[-1] % block:
        raise ModelError(
            f"{label}: {name} has the shape {shape}, expected rows of a multiple of {block} values for "
            f"{quantization.name}"
        )
    begin += offset
    length = math.prod(shape) // block * size
    if begin + length > len(content):
        raise ModelError(
            f"{label}: ends at byte {len(content)}, within {name}; expected at least {begin + length} bytes"
        )
    data = np.frombuffer(content, dtype=np.uint8, count=length, offset=begin)
    return GgufTensor(name, shape, quantization.name, data.reshape(*shape[:-1], shape[-1] // block * size))
