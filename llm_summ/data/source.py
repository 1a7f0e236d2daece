"""Which file a name means, and the sample that comes with the package."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.core.files import all_or_none, whole_file
from llm_summ.core.formatting import did_you_mean

__all__ = [
    "KINDS",
    "check_folder",
    "check_new_files",
    "check_out",
    "copy_sample",
    "file_kind",
    "make_folder",
    "resolve_source",
    "short_names",
    "source_name",
]

KINDS = (".csv", ".jsonl", ".parquet")
"""The endings of data files."""

_SAMPLE = Path(__file__).parent / "sample"
_SAMPLE_PARTS = ("train", "dev", "test")


def resolve_source(source: str, *, option: str | None = None) -> Path:
    """Return the file that a source means: a path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    Args:
        source: the name.
        option: what names another file on the command line, such as ``--set data.train=PATH``; for the error where
            the user may never have typed this name.

    Raises:
        DataError: there is no such file.
    """
    if source.startswith("sample:"):
        part = source.removeprefix("sample:")
        if part not in _SAMPLE_PARTS:
            raise DataError(
                f"{source}: no such part of the sample; expected sample:train, sample:dev or sample:test"
            )
        return _SAMPLE / f"{part}.csv"
    if not source:
        raise DataError("found an empty name; expected the name of a CSV, JSONL or parquet file")
    path = Path(source)
    try:
        if path.is_file():
            return path
        if path.exists():
            what = "is a folder" if path.is_dir() else "is not a regular file"
            raise DataError(f"{source}: {what}; expected a CSV, JSONL or parquet file")
        names = [other.name for other in path.parent.glob("*") if other.suffix in KINDS]
    except PermissionError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise DataError(f"{source[:80]}: not the name of a file ({error})") from error
    hint = did_you_mean(path.name, names, show=path.parent.joinpath)
    named = "" if option is None else f"name yours: {option}"
    advice = " ".join(filter(None, (hint, named))) or "`llm-summ data sample DIR` writes an example"
    raise DataError(f"{source}: no such file; {advice}")


def source_name(source: str) -> str:
    """A short name of a source for file names: ``dev.csv`` is ``dev``, ``sample:dev`` is ``sample-dev``."""
    return source.replace(":", "-") if source.startswith("sample:") else Path(source).stem


def short_names(sources: Sequence[str]) -> list[str]:
    """The names of files as a table shows them: without folders, if they differ then."""
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(names) else list(sources)


def file_kind(path: Path) -> str:
    """The ending that says how a data file is read and written, in small letters.

    Raises:
        DataError: it is none of `KINDS`.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        found = f"that ends in {kind!r}" if kind else "without an ending"
        raise DataError(f"{path}: found a name {found}; expected {', '.join(KINDS)}")
    return kind


def check_folder(folder: Path, wanted: str = "a folder") -> None:
    """Check, before any work, that files can be put into a folder; it need not be there yet.

    Args:
        folder: the folder.
        wanted: what the error says is expected, such as "a folder for the pictures".

    Raises:
        DataError: it or a folder above it is a file, or may not be looked into or written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: is a file; expected {wanted}")
        there = next(above for above in (folder, *folder.parents, Path()) if above.exists())
        reason = errno.EACCES if there.is_dir() else errno.ENOTDIR
        if reason == errno.ENOTDIR or not os.access(there, os.W_OK | os.X_OK):
            what = "written" if there == folder else "made"
            raise DataError(f"{folder}: cannot be {what} ({os.strerror(reason)}); choose another folder")
    except OSError as error:
        raise DataError(f"{str(folder)[:80]}: cannot be used ({error.strerror}); choose another folder") from error


def make_folder(folder: Path, wanted: str = "a folder") -> None:
    """Make a folder, unless it is there.

    Raises:
        DataError: as `check_folder`; or it cannot be made.
    """
    check_folder(folder, wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error


def check_new_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The paths of files that are to be written into a folder, none of which is there yet.

    Raises:
        DataError: as `check_folder`; or a file of that name is there.
    """
    check_folder(folder)
    targets = [folder / name for name in names]
    for target in targets:
        if target.exists():
            raise DataError(f"{target}: is there already; choose an empty folder")
    return targets


def check_out(
    out: Path,
    endings: Sequence[str] = (".csv",),
    *,
    option: str = "--out",
    inputs: Iterable[Path] = (),
    force: bool | None = False,
) -> bool:
    """Check, before any work, that a file can be written; its folder need not be there yet.

    Args:
        out: the file.
        endings: what its name may end in; the first is the one that is told.
        option: what named it, for the error.
        inputs: files that it is made from, which are never replaced.
        force: whether ``--force`` was given, and a file that is there is to be replaced; None where there is no
            such option.

    Returns:
        whether something is there, which will be replaced.

    Raises:
        DataError: the name ends in something else; it is a folder's or an input's; a file is there already, be it
            a link to nowhere; or as `check_folder`.
    """
    if out.suffix.lower() not in endings:
        raise DataError(f"{option} {out}: expected a name that ends in {endings[0]}")
    check_folder(out.parent, f"a folder for {out.name}")
    found = None
    try:
        there = out.exists()
        if there and not out.is_file():
            found = "is a folder" if out.is_dir() else "is not a regular file"
        elif there and any(path.exists() and out.samefile(path) for path in inputs):
            found = "is one of the input files"
    except OSError as error:
        raise DataError(
            f"{option} {str(out)[:80]}: cannot be used ({error.strerror}); choose another name"
        ) from error
    there = there or out.is_symlink()
    hint = "choose another name" + (", nothing is overwritten" if force is None else "")
    if found is None and there and not force:
        found = "is there already"
        hint += "" if force is None else ", or replace it: --force"
    if found is not None:
        raise DataError(f"{option} {out}: {found}; {hint}")
    return there


def copy_sample(folder: Path) -> list[Path]:
    """Write the bundled sample and its data card into `folder`.

    Raises:
        DataError: a file of that name is there already, or the folder cannot be written; no file is left then.
    """
    sources = sorted(path for path in _SAMPLE.iterdir() if path.suffix in {".csv", ".md"})
    targets = check_new_files(folder, [source.name for source in sources])
    make_folder(folder)
    try:
        with all_or_none() as written:
            for source, target in zip(sources, targets, strict=True):
                with whole_file(target) as building:
                    building.write_bytes(source.read_bytes())
                written.append(target)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return targets
