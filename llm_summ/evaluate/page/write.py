"""Write an evaluation as one self-contained page: no network requests, only its own inline script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from llm_summ import __version__
from llm_summ.core.errors import DataError
from llm_summ.core.files import whole_file
from llm_summ.data.source import check_out
from llm_summ.evaluate.evaluation import Evaluation
from llm_summ.evaluate.page.content import FLAGS, row_flags, script_data
from llm_summ.evaluate.page.curves import length_curves
from llm_summ.predictions.raw_file import run_of
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import FIGURES
from llm_summ.score.metric import PACKAGES
from llm_summ.score.significance import FEW_ROWS

__all__ = ["check_page", "page_html", "write_page"]

_HERE = Path(__file__).parent


def check_page(out: Path) -> None:
    """Check, before anything is scored, that a page can be written.

    Raises:
        DataError: the name does not end in .html, the file already exists, or its folder cannot be written.
    """
    check_out(out, (".html", ".htm"), option="--html", force=None)


def write_page(evaluation: Evaluation, out: Path) -> None:
    """Write the page of an evaluation, completely or not at all.

    Raises:
        DataError: `check_page` would raise, or the file cannot be written.
        InputError: mecab-ko is needed and cannot be loaded.
    """
    check_page(out)
    content = page_html(evaluation)
    try:
        with whole_file(out) as building:
            building.write_bytes(content)
    except OSError as error:
        raise DataError(f"--html {out}: cannot be written ({error.strerror}); choose another name") from error


def page_html(evaluation: Evaluation) -> bytes:
    """Return the page in UTF-8; the same evaluation gives the same bytes.

    Raises:
        InputError: mecab-ko is needed and cannot be loaded.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    run = run_of(evaluation.predictions)
    rows = script_data(evaluation)
    counts = Counter(name for flags in row_flags(evaluation).values() for name in flags)
    text = environment.get_template("page.html").render(
        version=__version__,
        evaluation=evaluation,
        name=evaluation.predictions.name if run is None else f"{run.name} · {evaluation.predictions.name}",
        scores=_scores(evaluation),
        few=len(rows) < FEW_ROWS,
        curves=length_curves(evaluation.rows),
        flags=[(name, label, counts[name]) for name, label in FLAGS.items() if counts[name]],
        topics=Counter(row["topic"] for row in rows if row["topic"]).most_common(),
        speakers=sorted(Counter(row["speakers"] for row in rows).items()),
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        data=Markup(_json({"rows": rows, "flags": FLAGS})),
    )
    # The name of a file may have bytes that are not text.
    return text.encode("utf-8", "replace")


def _scores(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a line a package: its name, its signature, and each figure with its interval, if it has one."""

    def line(package: str, score: CorpusScore, asked: bool) -> dict[str, Any]:
        return {
            "package": package,
            "signature": evaluation.summaries.sign(score),
            "figures": [
                (getattr(score, name), evaluation.intervals.get(name) if asked else None) for name in FIGURES
            ],
        }

    other = evaluation.metric.other_variant().variant
    return [
        line(PACKAGES[evaluation.metric.variant], evaluation.score, True),
        line(PACKAGES[other], evaluation.other, False),
    ]


def _json(value: object) -> str:
    """Return JSON that cannot end a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
