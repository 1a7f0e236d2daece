"""Pools to choose from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from llm_summ.score.metric import Metric
from llm_summ.select.mbr import Choices, Settings, choose, compare_candidates
from llm_summ.select.pool import Member, Pool

WORDS = Metric(tokens="space")


def pool_of(*members: Sequence[Sequence[str]], confidence: Sequence[Sequence[float]] | None = None) -> Pool:
    """Return a pool of files, each with its texts of every dialogue; `confidence` is the first file's."""
    found = []
    for place, texts in enumerate(members):
        sure = None if confidence is None or place else tuple(map(tuple, confidence))
        name = f"{chr(ord('A') + place)} {place}.csv"
        found.append(Member(name, Path(f"{place}.csv"), tuple(map(tuple, texts)), sure))
    return Pool(tuple(f"dev_{row}" for row in range(len(members[0]))), tuple(found))


def single(*texts: str) -> Pool:
    """Return a pool of one dialogue, with a text of each file."""
    return pool_of(*([[text]] for text in texts))


def chosen(pool: Pool, settings: Settings, metric: Metric = WORDS) -> tuple[list[str], Choices]:
    """Return the text for every dialogue, and the choices."""
    choices = choose(compare_candidates(pool, metric), settings)
    texts = [texts[index] for texts, index in zip(pool.candidates(), choices.index.tolist(), strict=True)]
    return texts, choices


def write_jsonl(path: str, rows: Sequence[dict[str, object]]) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline=""
    )
    return Path(path)
