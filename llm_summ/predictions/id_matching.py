"""Check that predictions belong to data: equal ids and equal dialogues. File names do not count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from llm_summ.core.errors import PredictionError, listed

__all__ = ["check_dialogues", "check_ids", "first_counted"]


def check_ids(
    path: Path,
    ids: Sequence[str],
    expected: Sequence[str],
    source: object,
    *,
    hint: str | None = None,
    may_have_more: bool = False,
) -> None:
    """Check that a file has the ids of the data.

    Args:
        path: the file.
        ids: its ids, in its order.
        expected: the ids of the data, in their order.
        source: the data, as the message names them.
        hint: what to do; None: which ids are expected.
        may_have_more: whether the file may have ids that the data lack.

    Raises:
        PredictionError: an id is missing, or is not in the data; names the first few.
    """
    present, known = set(ids), set(expected)
    missing = [name for name in expected if name not in present]
    extra = [] if may_have_more else [name for name in ids if name not in known]
    counted = first_counted(ids, expected)
    if counted is not None and missing:
        raise PredictionError(
            f"{path}: its ids were made by counting, and from {ids[counted]} on they belong to other rows "
            f"({source} has {expected[counted]} there); take each id from the data"
        )
    problems = []
    if missing:
        problems.append(f"lacks {len(missing)} of the {len(expected)} ids of {source} ({listed(missing)})")
    if extra:
        others = "1 id that is" if len(extra) == 1 else f"{len(extra)} ids that are"
        problems.append(f"has {others} not in {source} ({listed(extra)})")
    if problems:
        raise PredictionError(
            f"{path}: {' and '.join(problems)}; {hint or f'expected exactly the ids of {source}'}"
        )


def check_dialogues(
    path: Path, pairs: Iterable[tuple[str, bool]], source: object, hint: str = "generate from the same data"
) -> None:
    """Check that predictions were made from the dialogues of the data.

    Args:
        path: the file of the predictions.
        pairs: of every dialogue its id, and whether the hash of the file's dialogue is that of the data's.
        source: the data, as the message names them.
        hint: what to do.

    Raises:
        PredictionError: some were made from other dialogues; names the first few.
    """
    other = [name for name, same in pairs if not same]
    if other:
        differ = "1 differs" if len(other) == 1 else f"{len(other)} differ"
        raise PredictionError(
            f"{path}: made from other dialogues than those of {source} ({differ}: {listed(other)}); {hint}"
        )


def first_counted(ids: Sequence[str], expected: Sequence[str]) -> int | None:
    """Return the first row whose id is wrong because ids were made by counting; None: they were not."""
    if len(ids) != len(expected) or len(ids) < 2 or list(ids) == list(expected):
        return None
    match = re.fullmatch(r"(.*?)(\d{1,15})", ids[0], re.DOTALL)
    if not match or not expected[0].startswith(match[1]):
        return None
    if any(name != f"{match[1]}{int(match[2]) + row}" for row, name in enumerate(ids)):
        return None
    return next(row for row, (name, other) in enumerate(zip(ids, expected, strict=True)) if name != other)
