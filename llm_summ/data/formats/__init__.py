"""The formats of data files: one module each, chosen, read and written by `registry.py`."""

from llm_summ.data.formats.format import Format
from llm_summ.data.formats.registry import (
    find_format,
    format_names,
    format_of_source,
    is_data_file,
    named_format,
    place,
    read_table,
    register,
    say_encoding,
    write_table,
    writer_for,
)

__all__ = [
    "Format",
    "find_format",
    "format_names",
    "format_of_source",
    "is_data_file",
    "named_format",
    "place",
    "read_table",
    "register",
    "say_encoding",
    "write_table",
    "writer_for",
]
