"""The formats of data files: one module each, chosen by `registry.py`, read and written by `files.py`."""

from llm_summ.data.formats.files import read_table, say_encoding, write_table
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.registry import (
    find_format,
    format_names,
    is_data_file,
    place,
    register,
    suffixes,
    writer_for,
)

__all__ = [
    "Format",
    "find_format",
    "format_names",
    "is_data_file",
    "place",
    "read_table",
    "register",
    "say_encoding",
    "suffixes",
    "write_table",
    "writer_for",
]
