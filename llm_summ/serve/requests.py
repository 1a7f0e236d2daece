"""The body of a request, within its limits: as bytes, as the fields and files of a form, or as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from llm_summ.serve.errors import HttpError
from llm_summ.serve.limits import ServiceSettings
from llm_summ.serve.reading import Upload

__all__ = ["content_type", "form_of", "parsed_aside", "plain_name", "receive_body"]

Parsed = TypeVar("Parsed")
_LARGE = 100_000  # bytes that take a millisecond
_MOST_FILES = 100
_LONGEST_NAME = 120
_LISTS = ("file",)


def content_type(request: Request) -> str:
    """Return the type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def receive_body(request: Request, settings: ServiceSettings, add: Callable[[int], None]) -> bytes:
    """Return the whole body.

    Args:
        request: the request.
        settings: have the limits.
        add: gets the number of bytes, as they come; it raises if there are too many of all requests.

    Raises:
        HttpError: it is too large, or takes too long.
    """
    too_large = HttpError(
        413,
        f"body: larger than {settings.max_body / 1e6:g} MB; divide it, or raise --max-body of the service",
        "body_too_large",
        close=True,
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_body:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for chunk in request.stream():
                if len(content) + len(chunk) > settings.max_body:
                    raise too_large
                add(len(chunk))
                content += chunk
    except TimeoutError:
        message = f"body: not complete after {settings.body_seconds:g} s; send it faster"
        raise HttpError(408, message, "body_timeout", close=True) from None
    except ClientDisconnect:
        raise HttpError(499, "the client has gone", "client_gone", close=True) from None
    return bytes(content)


async def parsed_aside(content: bytes, parse: Callable[[], Parsed]) -> Parsed:
    """Return the result of parsing a body; a large one is parsed in a thread, while others are answered."""
    return parse() if len(content) < _LARGE else await asyncio.to_thread(parse)


def form_of(content_type_header: str, body: bytes) -> tuple[dict[str, Any], list[Upload]]:
    """Return the fields and files of a form; nothing is written to the disk.

    Raises:
        HttpError: it is not a form, a field is there twice, or a file has no name.
    """
    import python_multipart
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    # It warns about headers of the body, and shows them.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    fields: dict[str, Any] = {}
    uploads: list[Upload] = []
    ended: list[bool] = []

    def on_field(field: Any) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        if name in fields:
            raise HttpError(400, f"{name[:40]}: found twice in the form; expected one value", "invalid_field")
        fields[name] = (field.value or b"").decode("utf-8", "replace")

    def on_file(file: Any) -> None:
        field_name = (file.field_name or b"").decode("utf-8", "replace")
        if field_name not in _LISTS:
            raise HttpError(400, f"{field_name[:40]}: unknown file field; expected file", "unknown_field")
        if len(uploads) == _MOST_FILES:
            raise HttpError(
                413, f"found more than {_MOST_FILES} files; expected fewer at a time", "too_many_files"
            )
        file.file_object.seek(0)
        uploads.append(
            Upload(plain_name((file.file_name or b"").decode("utf-8", "replace")), file.file_object.read())
        )
        file.close()

    kind, options = parse_options_header(content_type_header)
    if b"boundary" not in options:
        raise HttpError(400, "body: found a form without a boundary in its Content-Type", "invalid_form")
    try:
        parser = python_multipart.FormParser(
            kind.decode("latin-1"),
            on_field,
            on_file,
            lambda: ended.append(True),
            boundary=options[b"boundary"],
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1, "MAX_BODY_SIZE": len(body) + 1},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        ended = []
    if not ended:
        raise HttpError(400, "body: not a complete multipart form", "invalid_form")
    return fields, uploads


def plain_name(name: str) -> str:
    """Return the name of a file, without folders and signs that cannot be printed.

    Raises:
        HttpError: nothing is left of it.
    """
    last = PureWindowsPath(PurePosixPath(name).name).name
    shown = "".join(letter if letter.isprintable() else "�" for letter in last).strip()
    if not shown:
        raise HttpError(400, "file: found no name; expected one that ends in .txt, for example", "invalid_form")
    stem, suffix = PurePosixPath(shown).stem, PurePosixPath(shown).suffix
    return f"{stem[:_LONGEST_NAME]}{suffix[:20]}"
