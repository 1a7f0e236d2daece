"""Folds for cross-validation: dialogues in parts of equal size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FOLDS", "fold_of_each"]

FOLDS = 5


def fold_of_each(ids: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """Return the fold of each dialogue, from 0 to `FOLDS` - 1; it does not depend on the order of the ids.

    Args:
        ids: of the dialogues, shape ``[rows]``.
        seed: of the random assignment.

    Returns:
        the folds, shape ``[rows]``.
    """
    import numpy as np

    shuffled = sorted(ids)
    random.Random(seed).shuffle(shuffled)
    fold = {identity: number % FOLDS for number, identity in enumerate(shuffled)}
    return np.array([fold[identity] for identity in ids])
