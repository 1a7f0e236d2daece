"""One run in detail: facts, every score, its leaderboard scores, and what is special in its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_summ.ledger.cells import (
    Table,
    adapter_cell,
    data_cell,
    figure_cell,
    letter,
    model_cell,
    score_cell,
    signature_lines,
    time_cell,
    value_cell,
)
from llm_summ.ledger.compare import Ledger
from llm_summ.ledger.entry import Entry, pick, read_fields, seconds_of
from llm_summ.recipe import bundled_dir

__all__ = ["RunPage", "run_page"]

_BUNDLED = "qlora.yaml"


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run: facts, every score, its leaderboard scores, and what is special in its recipe.

    Attributes:
        facts: lines.
        tables: scores, leaderboard scores, fields.
        lines: what is said below them.
        differs: field -> whose recipe -> value, for fields that differ from the bundled recipe or the latest run.
    """

    facts: tuple[str, ...]
    tables: tuple[Table, ...]
    lines: tuple[str, ...]
    differs: dict[str, dict[str, Any]]


def run_page(ledger: Ledger, entry: Entry) -> RunPage:
    """One run in detail.

    Args:
        ledger: the runs that it is compared with.
        entry: the run; it need not be one of them.
    """
    signatures = tuple(dict.fromkeys(score.signature for score in reversed(entry.scores)))
    scores = tuple(
        (
            score.data,
            (score.data_sha256 or "")[:8],
            score.engine + (", untuned" if score.untuned else ""),
            *(figure_cell(pick(score.values, float, name)) for name in ("rouge1", "rouge2", "rougeL")),
            score_cell(score),
            time_cell(score.time),
            letter(signatures, score.signature),
        )
        for score in reversed(entry.scores)
    )
    posted = tuple(
        (
            figure_cell(note.score),
            time_cell(seconds_of(note.noted)),
            (note.submission_sha256 or "")[:8],
            note.note or "",
        )
        for note in entry.leaderboard
    )
    others = {f"recipes/{_BUNDLED}": read_fields(bundled_dir("recipes") / _BUNDLED)}
    if ledger.latest is not None and not entry.latest and ledger.latest.fields:
        others[f"{ledger.latest.run.name} (latest)"] = ledger.latest.fields
    differs = {
        name: {entry.run.name: value} | {whose: fields.get(name) for whose, fields in others.items()}
        for name, value in entry.fields.items()
        if any(fields.get(name) != value for fields in others.values())
    }
    tables = (
        Table(("data", "hash", "engine", "R-1", "R-2", "R-L", "final", "scored (UTC)", "sig"), scores),
        Table(("leaderboard", "noted (UTC)", "submission", "note"), posted),
        Table(
            ("field", entry.run.name, *others),
            tuple((name, *map(value_cell, values.values())) for name, values in differs.items()),
        ),
    )
    return RunPage(tuple(_facts(entry)), tables, tuple(signature_lines(signatures)), differs)


def _facts(entry: Entry) -> list[str]:
    manifest = entry.manifest
    training = {
        name: pick(manifest, float, "training", name) for name in ("seconds", "steps", "tokens", "last_loss")
    }
    seconds, steps, tokens, loss = training.values()
    trained = (
        f"{seconds / 60:,.1f} min" if seconds is not None else "",
        f"{steps:,.0f} steps" if steps is not None else "",
        f"{tokens:,.0f} tokens" if tokens is not None else "",
        f"last loss {loss:.3f}" if loss is not None else "",
    )
    prompt = (pick(manifest, str, "prompt", "name"), (pick(manifest, str, "prompt", "sha256") or "")[:8])
    device = [pick(manifest, str, "device", name) for name in ("kind", "name", "dtype")]
    versions = pick(manifest, dict, "versions") or {}
    seed = pick(manifest, int, "seed")
    shortened = pick(manifest, list, "shortened")
    adapter = (adapter_cell(entry), (pick(manifest, str, "training", "adapter_sha256") or "")[:8])
    facts = {
        "run": f"{entry.run.path}{' (the latest)' if entry.latest else ''}",
        "state": entry.state,
        "began": time_cell(seconds_of(pick(manifest, str, "started"))),
        "finished": time_cell(seconds_of(pick(manifest, str, "training", "finished"))),
        "training": ", ".join(filter(None, trained)),
        "model": model_cell(entry),
        "prompt": " ".join(filter(None, prompt)),
        **{part: data_cell(entry, part) for part in ("train", "dev", "test")},
        "shortened": f"{len(shortened)} training rows" if shortened else "",
        "adapter": ", ".join(filter(None, adapter)),
        "submission": (entry.submission_sha256 or "")[:8],
        "seed": "" if seed is None else str(seed),
        "device": ", ".join(filter(None, device)),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "platform": pick(manifest, str, "platform") or "",
        "git": pick(manifest, str, "git") or "",
    }
    lines = [f"{name:<10} {value}" for name, value in facts.items() if value]
    return lines + [f"{entry.state}: {reason}" for reason in entry.reasons]
