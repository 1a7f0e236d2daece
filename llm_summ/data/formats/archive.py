"""Zip files and folders with several files, read in place: nothing is written to the disk.

A Slack export is recognised as a whole. Of any other archive, each file is read in its own format; files that no
format recognises (a readme, sound) are left out and counted.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from llm_summ.core.errors import DataError
from llm_summ.core.progress import say
from llm_summ.data.encoding import read_content
from llm_summ.data.formats.checks import shown_text
from llm_summ.data.formats.conversation import (
    MAX_BYTES,
    Conversation,
    Reading,
    ReadOptions,
    Source,
    UnknownContentError,
    as_table,
    read_source,
)
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.slack import is_day, is_slack_export, read_channels, user_names
from llm_summ.data.table import Table

__all__ = ["ARCHIVE", "FileReading", "distinct_ids", "is_slack_folder", "no_dialogue", "numbered", "read_files"]

_MAX_FILES = 100_000
_MAX_TOTAL = 4_000_000_000  # bytes of all files, unpacked
_MAX_RATIO = 200  # unpacked to packed, of more than 10 MB; JSON reaches about 30
_RATIO_FROM = 10_000_000
_MAX_DEPTH = 2  # an archive in an archive, as AI Hub delivers them
_LEAVES = re.compile(r"\.\.(?:/|\Z)|.*/\.\.(?:/|\Z)|/|[A-Za-z]:|.*\\")
_HIDDEN = re.compile(r"(?:.*/)?(?:__MACOSX/|\.(?!/)|Thumbs\.db|desktop\.ini)")


class FileReading(NamedTuple):
    """The result for one file of an archive, or one channel of a Slack export.

    Attributes:
        path: its name, with that of the archive before it.
        name: the format.
        result: what was read, or the error.
    """

    path: Path
    name: str
    result: Reading | DataError


class _Member(NamedTuple):
    name: str  # within the archive, with slashes
    load: Callable[[], bytes]


def read_files(
    path: Path, options: ReadOptions, known: Format | None = None, most: int | None = None
) -> Iterator[FileReading]:
    """Read every file of a zip or a folder.

    Args:
        path: the zip or the folder.
        options: how to read chats.
        known: the format of all files; None recognises each.
        most: bytes of a file of a zip, unpacked; None: `MAX_BYTES`.

    Raises:
        DataError: the archive is damaged, encrypted, too large, or has paths that leave it.
    """
    limit = MAX_BYTES if most is None else min(most, MAX_BYTES)
    members = list(_folder(path) if path.is_dir() else _zip(path, path, limit))
    if known is None and is_slack_export(member.name for member in members):
        yield from _slack(path, members, options)
        return
    skipped = 0
    for member in members:
        where = path / member.name
        try:
            name, result = _read_member(where, member, options, known)
        except UnknownContentError:
            skipped += 1
            continue
        except DataError as error:
            name, result = "", error
        yield FileReading(where, name, result)
    if skipped:
        yield FileReading(path, "", Reading(dropped=Counter({"other file": skipped})))


def distinct_ids(conversations: Sequence[Conversation]) -> None:
    """Make ids differ that were made from the names of files, by a number at their end."""
    used = {conversation.id for conversation in conversations if not conversation.derived_id}
    distinct = numbered(used)
    for conversation in conversations:
        if conversation.derived_id:
            conversation.id = distinct(conversation.id)


def numbered(used: set[str]) -> Callable[[str], str]:
    """Return a function that makes ids differ, from one another and from those that are used, by a number."""
    numbers: dict[str, int] = {}  # the last one of each name; those up to it are used

    def distinct(name: str) -> str:
        number = numbers.get(name, 1)
        while (identity := name if number == 1 else f"{name}-{number}") in used:
            number += 1
        numbers[name] = number
        used.add(identity)
        return identity

    return distinct


def no_dialogue(where: Path | str) -> DataError:
    """Return the error for an archive or a folder in which no file has a dialogue."""
    return DataError(f"{where}: no dialogue in it; expected chats, transcripts or corpora that are known")


def is_slack_folder(path: Path) -> bool:
    """Return whether a folder is an unpacked Slack export."""
    try:
        return path.is_dir() and is_slack_export(
            other.relative_to(path).as_posix() for other in (*path.glob("*.json"), *path.glob("*/*.json"))
        )
    except OSError:
        return False


def _read(path: Path, required: Sequence[str]) -> Table:
    return read_archive(path, ReadOptions())


def read_archive(path: Path, options: ReadOptions, known: Format | None = None) -> Table:
    """Return the dialogues of all files of a zip or a folder; arguments and errors are those of `read_files`."""
    conversations: list[Conversation] = []
    whole = Reading()
    names: dict[str, None] = {}
    for _, name, result in read_files(path, options, known):
        if isinstance(result, DataError):
            raise result
        conversations += result.conversations
        whole.dropped.update(result.dropped)
        if name:
            names[name] = None
    if not conversations:
        raise no_dialogue(path)
    for number, conversation in enumerate(conversations, 1):
        conversation.line = number
    distinct_ids(conversations)
    whole.conversations = conversations
    say(f"{path}: {whole.described(', '.join(names))}")
    return as_table(path, ARCHIVE, conversations)


def _slack(path: Path, members: list[_Member], options: ReadOptions) -> Iterator[FileReading]:
    users: dict[str, str] = {}
    days: dict[str, list[Source]] = defaultdict(list)
    try:
        for member in members:
            name = PurePosixPath(member.name)
            if name.name == "users.json" and len(name.parts) <= 2:
                users = user_names(Source(path / member.name, member.load()))
            elif is_day(member.name) and len(name.parts) >= 2:
                days[name.parent.name].append(Source(path / member.name, member.load()))
    except DataError as error:
        yield FileReading(path, "slack", error)
        return
    for channel, result in read_channels(days, users, options):
        yield FileReading(channel, "slack", result)


def _read_member(
    where: Path, member: _Member, options: ReadOptions, known: Format | None
) -> tuple[str, Reading | DataError]:
    from llm_summ.data.formats.registry import has_reader, recognise

    if not has_reader(where) or (known is not None and where.suffix.lower() not in known.suffixes):
        raise UnknownContentError(f"{where}: found a name that no format reads")
    content = member.load()
    found = known or recognise(where, content)
    if found.parse is None:
        raise UnknownContentError(f"{where}: found {found.name}; name the file itself")
    return found.name, read_source(found, Source(where, content), options)


def _folder(path: Path) -> Iterator[_Member]:
    """Yield the files of a folder, those of zips in it too."""
    files = sorted(other for other in path.rglob("*") if other.is_file())
    if len(files) > _MAX_FILES:
        raise DataError(f"{path}: found {len(files):,} files; expected at most {_MAX_FILES:,}")
    for file in files:
        name = file.relative_to(path).as_posix()
        if _HIDDEN.match(name):
            continue
        if file.suffix.lower() == ".zip":
            for member in _zip(file, file, MAX_BYTES):
                yield _Member(f"{name}/{member.name}", member.load)
        else:
            yield _Member(name, lambda file=file: read_content(file, MAX_BYTES)[1])  # type: ignore[misc]


def _zip(shown: Path, file: Path | io.BytesIO, most: int, depth: int = 1) -> Iterator[_Member]:
    """Yield the files of a zip, those of zips in it too.

    Raises:
        DataError: it is damaged, too large, nested too deep, or has paths that leave it.
    """
    try:
        archive = zipfile.ZipFile(file)
        infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise DataError(
            f"{shown}: not a zip file that can be read ({error}); was it cut off? Copy it again"
        ) from error
    _refuse_bomb(shown, infos)
    for info in infos:
        name = _zip_name(info)
        if _LEAVES.match(name):
            raise DataError(
                f"{shown}: found the path {shown_text(name, 80)!r}, which leaves the archive; it is not read"
            )
        if info.is_dir() or _HIDDEN.match(name) or stat.S_ISLNK(info.external_attr >> 16):
            continue
        if not name.lower().endswith(".zip"):
            yield _Member(name, lambda info=info, name=name: _unpacked(archive, info, shown / name, most))  # type: ignore[misc]
            continue
        if depth >= _MAX_DEPTH:
            raise DataError(
                f"{shown}: found {shown_text(name, 80)}, an archive in an archive in an archive; unpack it first"
            )
        inner = io.BytesIO(_unpacked(archive, info, shown / name, most))
        for member in _zip(shown / name, inner, most, depth + 1):
            yield _Member(f"{name}/{member.name}", member.load)


def _refuse_bomb(shown: Path, infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > _MAX_FILES:
        raise DataError(
            f"{shown}: found {len(infos):,} files; expected at most {_MAX_FILES:,}; divide the archive"
        )
    if (total := sum(info.file_size for info in infos)) > _MAX_TOTAL:
        raise DataError(
            f"{shown}: found {total / 1e9:,.1f} GB when unpacked; expected at most {_MAX_TOTAL / 1e9:,.0f} GB; "
            "divide the archive"
        )
    for info in infos:
        if info.file_size > _RATIO_FROM and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
            raise DataError(
                f"{shown}: {shown_text(_zip_name(info), 80)}: unpacks to {info.file_size / 1e6:,.0f} MB from "
                f"{info.compress_size / 1e6:,.1f} MB, as no text does; it is not read"
            )


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shown: Path, most: int) -> bytes:
    """Return the content of a file of a zip; what the archive says of its size is not believed."""
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)
    except RuntimeError as error:
        raise DataError(f"{shown}: encrypted; unpack the archive with its password first") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{shown}: cannot be unpacked ({error}); copy or download the archive again") from error
    if len(content) > most:
        raise DataError(f"{shown}: found more than {most / 1e6:,.0f} MB; divide the file")
    return content


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a name in an archive; Korean Windows programs write CP949 and do not say so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("cp949")
    except UnicodeError:
        return info.filename


ARCHIVE = Format("zip", (".zip",), read=_read, unit="row")
