"""Names of files on the command line: checked before any work; and the sample that comes with the package."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from llm_summ.core.errors import DataError, file_problem
from llm_summ.core.files import all_or_none, whole_file
from llm_summ.core.formatting import did_you_mean
from llm_summ.data.formats import format_names, is_data_file
from llm_summ.data.formats.archive import is_slack_folder

__all__ = [
    "check_folder",
    "check_new_files",
    "check_out",
    "copy_sample",
    "make_folder",
    "resolve_source",
    "short_names",
    "source_name",
]

_SAMPLE = Path(__file__).parent / "sample"
_SAMPLE_PARTS = ("train", "dev", "test")


def resolve_source(source: str, *, option: str | None = None) -> Path:
    """Return the file of a source: a path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    Args:
        source: the path, or the name of a part of the sample.
        option: the option that names another file, such as ``--set data.train=PATH``; for the error if the user
            may not have typed this name.

    Raises:
        DataError: the file does not exist.
    """
    if source.startswith("sample:"):
        part = source.removeprefix("sample:")
        if part not in _SAMPLE_PARTS:
            raise DataError(
                f"{source}: no such part of the sample; expected sample:train, sample:dev or sample:test"
            )
        return _SAMPLE / f"{part}.csv"
    if not source:
        raise DataError(f"found an empty name; expected the name of a {format_names()} file")
    path = Path(source)
    try:
        if path.is_file() or is_slack_folder(path):
            return path
        if path.exists():
            what = "is a folder" if path.is_dir() else "is not a regular file"
            raise DataError(f"{source}: {what}; expected a {format_names()} file")
        names = [other.name for other in path.parent.glob("*") if is_data_file(other)]
    except PermissionError as error:
        raise DataError(file_problem(source, "read", error)) from error
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise DataError(f"{source[:80]}: not the name of a file ({error})") from error
    hint = did_you_mean(path.name, names, show=path.parent.joinpath)
    named = "" if option is None else f"{'Name' if hint else 'name'} yours: {option}"
    advice = " ".join(filter(None, (hint, named))) or "`llm-summ data sample DIR` writes an example"
    raise DataError(f"{source}: no such file; {advice}")


def source_name(source: str) -> str:
    """Return a name of a source for file names: ``dev`` for ``dev.csv``, ``sample-dev`` for ``sample:dev``."""
    return source.replace(":", "-") if source.startswith("sample:") else Path(source).stem


def short_names(sources: Sequence[str]) -> list[str]:
    """Return the names of files for a table: without folders, if all names then differ."""
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(names) else list(sources)


def check_folder(folder: Path, wanted: str = "a folder") -> None:
    """Check, before any work, that files can be written into a folder; it need not exist.

    Args:
        folder: the folder.
        wanted: what is expected, for the error, such as "a folder for the pictures".

    Raises:
        DataError: the folder or one above it is a file, or has no permission to be read or written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: is a file; expected {wanted}")
        nearest = next(above for above in (folder, *folder.parents, Path()) if above.exists())
        reason = errno.EACCES if nearest.is_dir() else errno.ENOTDIR
        if reason == errno.ENOTDIR or not os.access(nearest, os.W_OK | os.X_OK):
            what = "written" if nearest == folder else "made"
            raise DataError(f"{folder}: cannot be {what} ({os.strerror(reason)}); choose another folder")
    except OSError as error:
        raise DataError(f"{str(folder)[:80]}: cannot be used ({error.strerror}); choose another folder") from error


def make_folder(folder: Path, wanted: str = "a folder") -> None:
    """Make a folder, unless it exists.

    Raises:
        DataError: as `check_folder`; or it cannot be made.
    """
    check_folder(folder, wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error


def check_new_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the paths of new files in a folder.

    Raises:
        DataError: as `check_folder`; or a file of that name exists.
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
    """Check, before any work, that a file can be written; its folder need not exist.

    Args:
        out: the file.
        endings: the endings that its name may have; the error names the first.
        option: the option that named it, for the error.
        inputs: files that it is made from, which are never replaced.
        force: whether an existing file is replaced (``--force``); None if the command has no such option.

    Returns:
        whether a file exists, which will be replaced.

    Raises:
        DataError: the name has another ending; it is that of a folder or an input; a file exists already, even if
            it is a broken link; or as `check_folder`.
    """
    if out.suffix.lower() not in endings:
        raise DataError(f"{option} {out}: expected a name that ends in {endings[0]}")
    check_folder(out.parent, f"a folder for {out.name}")
    problem = None
    try:
        exists = out.exists()
        if exists and not out.is_file():
            problem = "is a folder" if out.is_dir() else "is not a regular file"
        elif exists and any(path.exists() and out.samefile(path) for path in inputs):
            problem = "is one of the input files"
    except OSError as error:
        raise DataError(
            f"{option} {str(out)[:80]}: cannot be used ({error.strerror}); choose another name"
        ) from error
    exists = exists or out.is_symlink()
    hint = "choose another name" + (", nothing is overwritten" if force is None else "")
    if problem is None and exists and not force:
        problem = "is there already"
        hint += "" if force is None else ", or replace it: --force"
    if problem is not None:
        raise DataError(f"{option} {out}: {problem}; {hint}")
    return exists


def copy_sample(folder: Path) -> list[Path]:
    """Write the bundled sample and its data card into `folder`.

    Raises:
        DataError: a file of that name exists, or the folder cannot be written. No file is left behind.
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
