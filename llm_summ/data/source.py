"""Which file a name means, and the sample that comes with the package."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from llm_summ.errors import DataError

__all__ = ["KINDS", "copy_sample", "resolve_source", "short_names", "source_name"]

KINDS = (".csv", ".jsonl", ".parquet")
"""The endings of data files."""

_SAMPLE = Path(__file__).parent / "sample"
_SAMPLE_PARTS = ("train", "dev", "test")


def resolve_source(source: str) -> Path:
    """The file that a source means: a path, or ``sample:train``, ``sample:dev``, ``sample:test``.

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
    path = Path(source)
    try:
        if path.is_file():
            return path
        if path.is_dir():
            raise DataError(f"{source}: is a folder; expected a CSV, JSONL or parquet file")
        names = [other.name for other in path.parent.glob("*") if other.suffix in KINDS]
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise DataError(f"{source[:80]}: not the name of a file ({error})") from error
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean {path.parent / near[0]}?" if near else "`llm-summ data sample DIR` writes an example"
    raise DataError(f"{source}: no such file; {hint}")


def source_name(source: str) -> str:
    """A short name of a source for file names: ``dev.csv`` is ``dev``, ``sample:dev`` is ``sample-dev``."""
    return source.replace(":", "-") if source.startswith("sample:") else Path(source).stem


def short_names(sources: Sequence[str]) -> list[str]:
    """The names of files as a table shows them: without folders, if they differ then."""
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(names) else list(sources)


def copy_sample(folder: Path) -> list[Path]:
    """Write the bundled sample and its data card into `folder`.

    Raises:
        DataError: a file of that name is there already; nothing is written then.
    """
    sources = sorted(path for path in _SAMPLE.iterdir() if path.suffix in {".csv", ".md"})
    targets = [folder / path.name for path in sources]
    for target in targets:
        if target.exists():
            raise DataError(f"{target}: is there already; choose an empty folder")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; expected a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    for source, target in zip(sources, targets, strict=True):
        target.write_bytes(source.read_bytes())
    return targets
