"""The ledger for people: a table of all runs with their differences below it, or all details of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_summ.core.errors import listed
from llm_summ.core.formatting import labelled, letters
from llm_summ.ledger.compare import FEWEST, Agreement, Ledger
from llm_summ.ledger.entry import RunEntry, Score, flatten

__all__ = ["Table", "listing", "run_page"]

_Rows = list[tuple[str, ...]]
Table = tuple[tuple[str, ...], _Rows]
"""The headers, and the rows."""

_MAIN = (
    *("model.base", "model.quantization", "prompt.template", "prompt.sha256"),
    *("data.train", "data.train.rows", "data.train.sha256", "lora.r"),
)
_FEW = 5  # with 4 runs even a perfect order has p = 0.083


def listing(ledger: Ledger) -> tuple[Table, list[str]]:
    """Return the page of all runs: a table of results; below it common fields, differences and problems."""
    from rich.cells import cell_len

    entries, varying = ledger.entries, ledger.varying
    rows = [_row(ledger, entry) for entry in entries]
    data = {row["data"] for row in rows} - {""}
    same = {"data" if len(data) == 1 else "", "sig" if len(ledger.signatures) < 2 else ""}
    headers = tuple(
        name for name in (rows[0] if rows else ()) if name not in same and any(row[name] for row in rows)
    )
    common = {"scored on": data.pop()} if len(data) == 1 else {}
    for entry in reversed(entries):
        common |= {name: _value(entry.fields[name]) for name in _MAIN if name in entry.fields.keys() - varying}
    shown = [f"  {name:<18} {value}" for name, value in common.items()]
    lines = ["in all runs that have it:" if len(entries) > 1 else "of this run:", *shown] if shown else []
    lines += ["what differs:"] if varying else []
    width = max((cell_len(entry.run.name) for entry in entries), default=0)
    for entry in entries:
        settings = [f"{name}={_value(entry.fields[name])}" for name in varying if name in entry.fields]
        space = " " * (width - cell_len(entry.run.name))
        lines += [f"  {entry.run.name}{space}  {', '.join(settings)}"] if settings else []
    lines += [f"{entry.run.name}: {entry.state}: {reason}" for entry in entries for reason in entry.reasons]
    lines += _signature_lines(ledger.signatures)
    for sha256, names in ledger.same_submissions.items():
        lines.append(f"{', '.join(names)}: the same submission (SHA-256 {sha256[:8]})")
    if ledger.agreement is not None:
        lines += _agreement_lines(ledger.agreement, ledger.signatures)
    return (headers, [tuple(row[name] for name in headers) for row in rows]), lines


def run_page(ledger: Ledger, entry: RunEntry) -> tuple[list[str], list[Table], list[str]]:
    """Return the page of one run: facts, tables, and the lines below them.

    Args:
        ledger: the runs; the run is compared with the latest of them.
        entry: the run; it need not be one of them.
    """
    signatures = tuple(dict.fromkeys(score.signature for score in reversed(entry.scores)))
    scores: _Rows = [
        (
            score.data,
            score.data_sha256[:8],
            score.engine,
            *(f"{figure:.2f}" for figure in (score.rouge1, score.rouge2, score.rougeL)),
            _score(score, 2),
            _time(score.scored),
            _letter(signatures, score.signature),
        )
        for score in reversed(entry.scores)
    ]
    submissions: _Rows = [
        (written.out, written.sha256[:8], written.predictions, written.engine or "", _time(written.written))
        for written in reversed(entry.submissions)
    ]
    posted: _Rows = [
        (f"{note.score:.2f}", _time(note.noted), (note.submission_sha256 or "")[:8], note.note or "")
        for note in entry.leaderboard
    ]
    latest = ledger.latest.fields if ledger.latest is not None else {}
    fields: _Rows = [
        (name, _value(value), _value(latest[name]) if name in latest and latest[name] != value else "")
        for name, value in entry.fields.items()
    ]
    tables: list[Table] = [
        (("data", "hash", "engine", "R-1", "R-2", "R-L", "final", "scored (UTC)", "sig"), scores),
        (("submission", "hash", "predictions", "engine", "written (UTC)"), submissions),
        (("leaderboard", "noted (UTC)", "submission", "note"), posted),
        (("field", "value", "of the latest run, where another"), fields),
    ]
    return _facts(entry), [table for table in tables if table[1]], _signature_lines(signatures)


def _row(ledger: Ledger, entry: RunEntry) -> dict[str, str]:
    score = ledger.score(entry)
    training = entry.manifest.training
    seconds = None if training is None else training.seconds
    untuned = ", untuned" if score and score.untuned else ""
    return {
        "run": entry.run.name + (" (latest)" if entry.latest else ""),
        "score": _score(score, 1) if score else "",
        "data": ledger.data_names[score.data_sha256] + untuned if score else "",
        "sig": _letter(ledger.signatures, score.signature) if score else "",
        "lb": "" if entry.best_posted is None else f"{entry.best_posted:.2f}",
        "finished (UTC)": _time(entry.time) if entry.state == "finished" else entry.state,
        "min": "" if seconds is None else f"{seconds / 60:,.1f}",
        "MB": "" if entry.weights_bytes is None else f"{entry.weights_bytes / 1e6:,.1f}",
    }


def _facts(entry: RunEntry) -> list[str]:
    manifest = entry.manifest.to_json()
    known = {name: value for name, value in manifest.items() if name in ("started", "device", "training")}
    facts = {"run": f"{entry.run.path}{' (the latest)' if entry.latest else ''}", "state": entry.state}
    return [
        *(f"{name:<24} {value}" for name, value in {**facts, **flatten(known)}.items()),
        *(f"{entry.state}: {reason}" for reason in entry.reasons),
    ]


def _signature_lines(signatures: Sequence[str]) -> list[str]:
    if len(signatures) < 2:
        return [labelled("signature", signature) for signature in signatures]
    lines = [f"signature {_letter(signatures, signature)}  {signature}" for signature in signatures]
    return [*lines, "scores with different signatures are not comparable"]


def _agreement_lines(agreement: Agreement, signatures: Sequence[str]) -> list[str]:
    """Return the agreement of local and leaderboard scores, or how many runs are missing."""
    n = len(agreement.runs)
    without = "without a local score of the same data, signature and engine"
    left_out = [f"  left out, {without}: {listed(agreement.left_out)}"] if agreement.left_out else []
    if agreement.difference is None:
        return [
            f"leaderboard against local scores: {n} run{' has' if n == 1 else 's have'} both, of the same data and"
            f" signature; the correlation needs {FEWEST - n} more",
            *left_out,
        ]
    mark = f", signature {_letter(signatures, agreement.signature)}" if len(signatures) > 1 else ""
    if agreement.rank is None:
        correlation = "no rank correlation, since one side is constant"
    else:
        p = "" if agreement.rank.p is None else f", p {agreement.rank.p:.3f}"
        few = ", too few to tell" if n < _FEW else ""
        correlation = f"Spearman's rank correlation {agreement.rank.rho:.2f} (n {n}{p}{few})"
    return [
        f"leaderboard against local scores ({agreement.data}{mark}): {correlation}, "
        f"mean difference {agreement.difference:+.2f}; the last score noted of each run",
        *left_out,
    ]


def _value(value: Any) -> str:
    """Return a field as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _letter(signatures: Sequence[str], signature: str) -> str:
    """Return the letter of a signature; a question mark if no run has it."""
    if signature not in signatures:
        return "?"
    return letters(len(signatures))[signatures.index(signature)]


def _score(score: Score, digits: int) -> str:
    """Return a score with its interval; `digits` are those of the interval."""
    ends = score.interval
    return f"{score.final:.2f}" + (f" [{ends.low:.{digits}f}, {ends.high:.{digits}f}]" if ends else "")


def _time(iso: str) -> str:
    """Return a time to the minute, from ISO."""
    return iso[:16].replace("T", " ")
