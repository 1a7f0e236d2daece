"""All runs for people: a table of figures, and below it what differs, what is the same, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
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
from llm_summ.ledger.entry import Entry, pick, seconds_of
from llm_summ.ledger.leaderboard import FEWEST, Agreement
from llm_summ.recipe import (
    DataFields,
    GenerateFields,
    LoraFields,
    ModelFields,
    PromptFields,
    Recipe,
    TrainFields,
)

__all__ = ["Listing", "listing"]

_OWN_CELL = ("model.base", "model.quantization", "prompt.template", "data.train", "lora.r")
_ALWAYS = ("run", "score", "lb", "finished (UTC)", "min", "recipe")
_ALL_SHOWN = 4  # with more fields that vary, a run shows those only in which it is unlike most runs
_PAIRS_SHOWN = 10
_SECTIONS = (Recipe, ModelFields, DataFields, PromptFields, LoraFields, TrainFields, GenerateFields)


@dataclass(frozen=True, slots=True)
class Listing:
    """All runs: the table, and the lines below it."""

    table: Table
    lines: tuple[str, ...]


def listing(ledger: Ledger) -> Listing:
    """Set all runs side by side: figures in a table; what differs between runs, and what does not, below it."""
    from rich.cells import cell_len

    entries = ledger.entries
    varying = [name for name in ledger.varying if name not in _OWN_CELL]
    usual = _usual(ledger, varying) if len(varying) > _ALL_SHOWN else {}
    figures = [_figures(ledger, entry) for entry in entries]
    making = [_making(entry, varying, usual) for entry in entries]
    same_figures, same_making = (_same_in_all(rows) for rows in (figures, making))
    headers = tuple(header for header in (figures or [{}])[0] if header not in same_figures)
    lines = [f"  {header:<9} {cell}" for header, cell in (same_figures | same_making).items() if cell]
    if lines:
        lines.insert(0, "in all runs:" if len(entries) > 1 else "of it:")
    differing: list[str] = []
    width = max((cell_len(entry.run.name) for entry in entries), default=0)
    for entry, cells in zip(entries, making, strict=True):
        own = [
            f"{header} {cell}" if header in ("prompt", "train") else cell
            for header, cell in cells.items()
            if cell and header not in same_making
        ]
        space = " " * (width - cell_len(entry.run.name))
        differing += [f"  {entry.run.name}{space}  {'; '.join(own)}"] if own else []
    lines += ["what differs:", *differing] if differing else []
    if usual:
        lines.append(f"  where nothing is said: {', '.join(_assign(*pair) for pair in usual.items())}")
    lines += [f"{entry.run.name}: {entry.state}: {reason}" for entry in entries for reason in entry.reasons]
    lines += signature_lines(ledger.signatures)
    lines += _same(ledger)
    lines += _leaderboard(ledger)
    return Listing(
        Table(headers, tuple(tuple(row[header] for header in headers) for row in figures)), tuple(lines)
    )


def _usual(ledger: Ledger, names: Sequence[str]) -> dict[str, Any]:
    """The commonest value of each field; of equally common ones, that of the run that stands first."""
    recipes = [entry.fields for entry in ledger.entries if entry.fields]
    values = {name: [recipe[name] for recipe in recipes] for name in names}
    return {name: max(found, key=found.count) for name, found in values.items()}


def _same_in_all(rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """Cells that need not be shown for each run, by header; a run that lacks one says so by its state."""
    same = {}
    for header in (rows or [{}])[0]:
        cells = {row[header] for row in rows if row[header]}
        if not cells or (len(cells) == 1 and header not in _ALWAYS):
            same[header] = "" if header == "sig" else "".join(cells)
    return same


def _figures(ledger: Ledger, entry: Entry) -> dict[str, str]:
    """What a run reached, by header."""
    score = ledger.score(entry)
    seconds = pick(entry.manifest, float, "training", "seconds")
    finished = seconds_of(pick(entry.manifest, str, "training", "finished"))
    return {
        "run": entry.run.name + (" (latest)" if entry.latest else ""),
        "score": score_cell(score, 1) if score else "",
        "data": ledger.data_names[score.key] + (", untuned" if score.untuned else "") if score else "",
        "sig": letter(ledger.signatures, score.signature) if score else "",
        "lb": ", ".join(figure_cell(note.score) for note in entry.leaderboard),
        "finished (UTC)": time_cell(finished) if entry.state == "finished" else entry.state,
        "min": f"{seconds / 60:,.1f}" if seconds is not None else "",
    }


def _making(entry: Entry, varying: Sequence[str], usual: dict[str, Any]) -> dict[str, str]:
    """What a run was made of, by header."""
    name = pick(entry.manifest, str, "prompt", "name") or entry.fields.get("prompt.template") or ""
    prompt = f"{name} {(pick(entry.manifest, str, 'prompt', 'sha256') or '')[:8]}".strip()
    fields = [
        _assign(name, entry.fields[name])
        for name in varying
        if name in entry.fields and (name not in usual or entry.fields[name] != usual[name])
    ]
    return {
        "model": model_cell(entry),
        "prompt": prompt,
        "train": data_cell(entry, "train"),
        "recipe": ", ".join(fields),
        "adapter": adapter_cell(entry),
    }


def _same(ledger: Ledger) -> list[str]:
    shared = [("adapter", ledger.same_adapters), ("submission", ledger.same_submissions)]
    return [
        f"{', '.join(names)}: the same {what} (SHA-256 {sha256[:8]})"
        for what, found in shared
        for sha256, names in found.items()
    ]


def _leaderboard(ledger: Ledger) -> list[str]:
    """How local and leaderboard scores go together, or how many runs are missing."""
    if ledger.both is None:
        return []
    runs = ledger.both[1]
    inside = {entry.run.name for entry, _, _ in runs}
    outside = [entry.run.name for entry in ledger.entries if entry.leaderboard and entry.run.name not in inside]
    left_out = (
        [f"  left out, without a local score of the same data and signature: {', '.join(outside)}"]
        if outside
        else []
    )
    agreement = ledger.agreement
    if agreement is None:
        both = f"{len(runs)} run{' has' if len(runs) == 1 else 's have'} both"
        return [
            f"leaderboard against local scores: {both}, of the same data and signature; "
            f"{FEWEST - len(runs)} more, and it can be said how they go together",
            *left_out,
        ]
    rank = agreement.rank
    if rank is None:
        correlation = "no rank correlation, since one side is constant"
    else:
        p = "" if rank.p is None else f", p {rank.p:.3f}"
        correlation = f"Spearman's rank correlation {rank.rho:.2f} (n {rank.n}{p})"
    mark = f", signature {letter(ledger.signatures, agreement.signature)}" if len(ledger.signatures) > 1 else ""
    return [
        f"leaderboard against local scores ({agreement.data}{mark}): {correlation}, "
        f"mean difference {agreement.difference:+.2f}",
        *_swapped(agreement),
        *left_out,
    ]


def _swapped(agreement: Agreement) -> list[str]:
    if not agreement.swapped:
        return ["  no two runs stand in another order"]
    scores = {name: (local, posted) for name, local, posted in agreement.runs}
    lines = []
    for one, other in agreement.swapped[:_PAIRS_SHOWN]:
        (local, posted), (other_local, other_posted) = scores[one], scores[other]
        lines.append(
            f"  in another order: {one} and {other} (local {local:.2f} and {other_local:.2f}, "
            f"leaderboard {posted:.2f} and {other_posted:.2f})"
        )
    more = len(agreement.swapped) - _PAIRS_SHOWN
    return lines + ([f"  … and {more} more pairs"] if more > 0 else [])


def _assign(name: str, value: Any) -> str:
    """A field with its value; its section is left out where no other has a field of that name."""
    last = name.rpartition(".")[2]
    alone = sum(last in section.model_fields for section in _SECTIONS) == 1
    return f"{last if alone else name}={value_cell(value)}"
