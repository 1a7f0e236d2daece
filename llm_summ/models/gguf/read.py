"""Read the header of a GGUF file: its metadata, and the position of each tensor.

Only files whose SHA-256 is known are read (`llm_summ.models.embedded`), so nothing is checked here.

The package `gguf` makes a numpy array of every single value, which takes most of a minute for a vocabulary of
262,144 tokens on an old CPU. Here an array of numbers is one view, and a string costs one call.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["GgufFile", "GgufTensor", "read_gguf"]

_HEADER = 8  # the magic bytes and the version
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
        metadata: values by key; an array of numbers is a numpy array, an array of strings a list.
        tensors: in the order of the file.
    """

    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]


def read_gguf(content: bytes | bytearray | memoryview) -> GgufFile:
    """Read the header of a GGUF file that is in memory; the tensors are views of `content`."""
    cursor = _Cursor(content)
    tensors, values = cursor.number("Q"), cursor.number("Q")
    metadata = {}
    for _ in range(values):
        (key,) = cursor.texts(1)
        metadata[key] = cursor.value(cursor.number("I"))
    table = []
    for _ in range(tensors):
        (name,) = cursor.texts(1)
        shape = tuple(reversed([cursor.number("Q") for _ in range(cursor.number("I"))]))
        table.append((name, shape, cursor.number("I"), cursor.number("Q")))
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    begin = -(-cursor.position // alignment) * alignment
    return GgufFile(metadata, tuple(_tensor(cursor.content[begin:], *entry) for entry in table))


def _tensor(content: memoryview, name: str, shape: tuple[int, ...], kind: int, offset: int) -> GgufTensor:
    """Find a tensor's bytes, in rows of whole blocks."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    quantization = GGMLQuantizationType(kind)
    block, size = GGML_QUANT_SIZES[quantization]
    row = shape[-1] // block * size
    data = np.frombuffer(content, dtype=np.uint8, count=math.prod(shape[:-1]) * row, offset=offset)
    return GgufTensor(name, shape, quantization.name, data.reshape(*shape[:-1], row))


class _Cursor:
    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self.content = memoryview(content)
        self.position = _HEADER

    def number(self, code: str) -> Any:
        """Read a number, little-endian; `code` is struct's."""
        (value,) = struct.unpack_from(f"<{code}", self.content, self.position)
        self.position += struct.calcsize(f"<{code}")
        return value

    def texts(self, count: int) -> list[str]:
        """Read strings: the length of each, then UTF-8; the loop is tight because a vocabulary is long."""
        content, position = self.content, self.position
        unpack_length = struct.Struct("<Q").unpack_from
        strings = []
        for _ in range(count):
            (length,) = unpack_length(content, position)
            position += 8 + length
            strings.append(str(content[position - length : position], "utf-8"))
        self.position = position
        return strings

    def numbers(self, code: str, count: int) -> npt.NDArray[Any]:
        """Read numbers as one view of the content."""
        import numpy as np

        kind = np.dtype(f"<{code}")
        begin, self.position = self.position, self.position + count * kind.itemsize
        return np.frombuffer(self.content[begin : self.position], dtype=kind)

    def value(self, kind: int) -> Any:
        """Read a value of metadata of one of the format's types."""
        if kind == _STRING:
            return self.texts(1)[0]
        if kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            return self.texts(count) if inner == _STRING else self.numbers(_NUMBERS[inner], count)
        return self.number(_NUMBERS[kind])
