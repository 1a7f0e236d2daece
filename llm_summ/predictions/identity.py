"""The identity of a prediction file: everything that its texts depend on, in a JSON file next to it.

Two files with the same identity have the same texts. `llm_summ.predictions.store` continues a file only if its
identity is unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from llm_summ.core.stored_model import StoredModel

__all__ = [
    "DataIdentity",
    "DecodingIdentity",
    "PredictionIdentity",
    "PromptIdentity",
    "differences",
    "identity_path",
    "read_identity",
]


class _Frozen(StoredModel):
    model_config = ConfigDict(frozen=True)


class PromptIdentity(_Frozen):
    """The prompt: the fields of the recipe's section `prompt`, and the template's hash.

    Attributes:
        sha256: of the template's text.
    """

    sha256: str | None = None


class DecodingIdentity(_Frozen):
    """Settings of decoding that is not greedy; the fields are those of `llm_summ.generate.engine.Decoding`.

    Attributes:
        n: candidates for each dialogue.
        temperature: 0 takes the likeliest token.
        top_p: nucleus sampling.
        top_k: 0: from all tokens.
        beams: 1: no beam search.
        no_repeat_ngram: 0: repetition is allowed.
        length_penalty: of beam search; 1: a text's mean log-probability counts.
        min_new_tokens: tokens before a text may end.
        seed: the recipe's.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    beams: int = 1
    no_repeat_ngram: int = 0
    length_penalty: float = 1.0
    min_new_tokens: int = 0
    seed: int | None = None


class DataIdentity(_Frozen):
    """The data.

    Attributes:
        source: as the user named it.
        sha256: of ids and dialogues in their order.
    """

    source: str | None = None
    sha256: str | None = None


class PredictionIdentity(_Frozen):
    """Everything that the texts of a prediction file depend on.

    Attributes:
        engine: the engine that generated them.
        adapter: hash of the weights that were trained, "the server's" where a server has them; None: the base
            model wrote the texts, or the engine has no model.
        version: of the engine's package; None: the engine is not a package's.
        base: the base model, as the recipe names it.
        revision: of the base model on its hub.
        base_stamp: identifies the base model's files.
        base_quantization: how the base's weights were stored during the generation.
        attached: whether the adapter was attached instead of merged.
        device: "cpu" or "cuda".
        dtype: of the computation.
        server: the address and settings of the requests to a server.
        prompt: the prompt.
        kept: hashes, by name, of the run's files that prompts depend on.
        stop_id: the token that ends a summary.
        max_new_tokens: of a summary.
        limit: how the limit of a summary is set, "fixed" or "predicted".
        budget: hash of the file that predicts it.
        decoding: "greedy", or how tokens were chosen.
        data: the data that the predictions are of.
    """

    engine: str
    adapter: str | None
    version: str | None = None
    base: str | None = None
    revision: str | None = None
    base_stamp: dict[str, Any] | None = None
    base_quantization: str | None = None
    attached: bool | None = None
    device: str | None = None
    dtype: str | None = None
    server: dict[str, Any] | None = None
    prompt: PromptIdentity | None = None
    kept: dict[str, str] = Field(default_factory=dict)
    stop_id: int | None = None
    max_new_tokens: int | None = None
    limit: str | None = None
    budget: str | None = None
    decoding: Literal["greedy"] | DecodingIdentity | None = None
    data: DataIdentity | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether the texts were written without trained weights: a floor to compare with."""
        return self.adapter is None

    @property
    def label(self) -> str:
        """The engine, with ``.untuned`` added for a baseline."""
        return self.engine + ".untuned" * self.is_baseline

    @property
    def beams(self) -> int:
        """Beams of the beam search; 1: no beam search."""
        return self.decoding.beams if isinstance(self.decoding, DecodingIdentity) else 1

    def same_setup(self, other: PredictionIdentity) -> bool:
        """Return whether both have the same engine, prompt and decoding, and both or neither an adapter."""
        return self._setup() == other._setup()

    def _setup(self) -> tuple[object, ...]:
        decoding = self.to_json().get("decoding")
        if isinstance(decoding, dict):
            decoding = {name: value for name, value in decoding.items() if name != "seed"}
        return self.label, None if self.prompt is None else self.prompt.sha256, decoding


def identity_path(path: Path) -> Path:
    """Return the path of a prediction file's identity."""
    return path.with_suffix(".json")


def read_identity(path: Path) -> PredictionIdentity | None:
    """Return the identity of a prediction file; None: the JSON file is missing, damaged or not an identity."""
    if path.suffix.lower() != ".jsonl":
        return None
    try:
        value = json.loads(identity_path(path).read_text(encoding="utf-8"))
        return PredictionIdentity.model_validate(value)
    except (OSError, ValueError, RecursionError, ValidationError):
        return None


def differences(first: PredictionIdentity | None, second: PredictionIdentity | None) -> list[str]:
    """Return the fields in which two identities differ, their data aside, such as ``decoding.temperature``.

    If one of them is not known, nothing is returned.
    """
    if first is None or second is None:
        return []
    return list(_differing(first.to_json() | {"data": None}, second.to_json() | {"data": None}))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key in {**first, **second}:
        left, right = first.get(key), second.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _differing(left, right, f"{above}{key}.")
        elif left != right:
            yield f"{above}{key}"
