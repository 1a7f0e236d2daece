"""The result of verifying a merge: the systems with their scores, warnings, tables and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.files import whole_directory, write_text
from llm_summ.core.formatting import labelled
from llm_summ.core.tables import TextTable
from llm_summ.merge.layers import LayerCheck
from llm_summ.predictions.finished import signature_after
from llm_summ.predictions.prediction import Prediction
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import FIGURES
from llm_summ.score.significance import paired

__all__ = ["MergeVerification", "ModelVariant"]

_CHANCE = 0.01


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One variant of the model, and its summaries.

    Attributes:
        name: such as ``nf4 + adapter``.
        predictions: the raw texts, one for each dialogue.
        score: of the post-processed texts.
    """

    name: str
    predictions: tuple[Prediction, ...]
    score: CorpusScore

    @property
    def ended(self) -> int:
        """Number of outputs that the model ended, with the stop token."""
        return sum(prediction.finish_reason == "stop" for prediction in self.predictions)

    def same(self, other: ModelVariant) -> int:
        """Return how many texts are equal to those of another system."""
        pairs = zip(self.predictions, other.predictions, strict=True)
        return sum(one.summary == two.summary for one, two in pairs)


@dataclass(frozen=True, slots=True)
class MergeVerification:
    """The merged folder compared with its sources.

    Attributes:
        data: the data file, as the user named it.
        systems: the quantized base with the adapter, if it was trained on a quantized base; the full-precision
            base with the adapter; the merged folder, loaded from disk.
        post: the steps of post-processing before scoring.
        layers: the check of a few layers; None if the formula does not hold for them.
        other_prompts: number of prompts for which the folder's own tokenizer gives other ids.
    """

    data: str
    systems: tuple[ModelVariant, ...]
    post: tuple[str, ...]
    layers: LayerCheck | None
    other_prompts: int

    @property
    def merged(self) -> ModelVariant:
        """The merged folder."""
        return self.systems[-1]

    @property
    def attached(self) -> ModelVariant:
        """The full-precision base with the adapter attached."""
        return self.systems[-2]

    @property
    def warnings(self) -> list[str]:
        """Warnings, a line each."""
        warnings = []
        if self.layers is not None and not self.layers.rounding <= 1:  # nan too
            warnings.append(
                f"{self.layers.where}: merged weights differ from W + scale B A by up to "
                f"{self.layers.largest:.1e}, {self.layers.rounding:.1f} times what rounding explains; serve the "
                "base with the adapter attached"
            )
        if self.other_prompts:
            warnings.append(
                f"the folder's tokenizer gives other ids than the training's for {self.other_prompts} of "
                f"{len(self.merged.predictions)} prompts; send token ids to the server"
            )
        apart = paired(
            [row.final for row in self.attached.score.per_row], [row.final for row in self.merged.score.per_row]
        )
        if apart.p_randomisation < _CHANCE:
            warnings.append(
                f"merged scores {apart.difference:+.2f} points compared with {self.attached.name} (95 % "
                f"{apart.low:+.2f} to {apart.high:+.2f}, p {apart.p_randomisation:.4f}): more than rounding "
                "explains, since rounding raises scores as often as it lowers them"
            )
        return warnings

    def table(self) -> TextTable:
        """Return the systems, a row each."""
        rows = len(self.merged.predictions)
        headers = (f"greedy, {rows} dialogues", *("R-1", "R-2", "R-L", "final", "merged −", "same texts", "ended"))
        return TextTable(
            headers,
            [
                (
                    system.name,
                    *(f"{getattr(system.score, name):.2f}" for name in FIGURES),
                    "" if system is self.merged else f"{self.merged.score.final - system.score.final:+.2f}",
                    "" if system is self.merged else f"{system.same(self.merged)} of {rows}",
                    f"{system.ended} of {rows}",
                )
                for system in self.systems
            ],
        )

    def lines(self) -> list[str]:
        """Return further results for people that are not in the table."""
        signature = labelled("signature", self._sign(self.merged))
        if self.layers is None:
            return [signature]
        comparison = (
            f"{self.layers.layers} compared with W + scale B A: the largest difference is "
            f"{self.layers.largest:.1e}, {self.layers.rounding:.0%} of what rounding explains"
        )
        return [labelled("layers", comparison), signature]

    def _sign(self, system: ModelVariant) -> str:
        return signature_after(system.score, self.post)

    def to_json(self) -> dict[str, Any]:
        """Return the verification for programs, without the texts."""
        return {
            "data": Path(self.data).name,  # the folder may be published
            "rows": len(self.merged.predictions),
            "systems": [
                {
                    "name": system.name,
                    **{name: getattr(system.score, name) for name in FIGURES},
                    "merged_minus": {
                        name: getattr(self.merged.score, name) - getattr(system.score, name) for name in FIGURES
                    },
                    "same_texts": system.same(self.merged),
                    "ended": system.ended,
                    "signature": self._sign(system),
                }
                for system in self.systems
            ],
            "layers": None if self.layers is None else self.layers.to_json(),
            "other_prompts": self.other_prompts,
            "warnings": self.warnings,
        }

    def write_texts(self, folder: Path) -> None:
        """Write all raw texts, a file for each system."""
        with whole_directory(folder) as building:
            for system in self.systems:
                lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in system.predictions)
                name = system.name.split(",")[0].replace(" ", "")
                write_text(building / f"{name}.jsonl", "".join(lines))
