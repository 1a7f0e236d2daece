"""``manifest.json``: the inputs of a run, and the result of its training."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from llm_summ.core.stored_model import StoredModel

__all__ = ["Budget", "DataPart", "DeviceRecord", "Manifest", "PromptRecord", "Resumption", "TrainingResult"]


class PromptRecord(StoredModel):
    """The prompt of a training.

    Attributes:
        name: of its template.
        sha256: of the template's text, with normalised line ends.
    """

    name: str | None = None
    sha256: str | None = None


class DeviceRecord(StoredModel):
    """Where a training ran.

    Attributes:
        kind: "cpu" or "cuda".
        name: of the processor or GPU.
        dtype: of the computation, such as "bfloat16".
        count: how many devices trained together.
    """

    kind: str | None = None
    name: str | None = None
    dtype: str | None = None
    count: int = 1


class DataPart(StoredModel):
    """The data of one part: train, dev or test.

    Attributes:
        rows: the number of dialogues in all its files.
        sha256: of each file, by its name in the recipe.
    """

    rows: int | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_one_source(cls, value: Any) -> Any:
        """Read the format of early versions, in which a part had one file: a `source` and its hash."""
        if isinstance(value, dict) and isinstance(value.get("sha256"), str):
            return value | {"sha256": {str(value.get("source", "")): value["sha256"]}}
        return value


class Budget(StoredModel):
    """The number of steps that fit into `train.max_minutes`.

    Attributes:
        minutes: the recipe's.
        steps: optimizer steps of the training.
        rows: dialogues of an evaluation.
        fixed_at: the step after which the number of steps was fixed.
        all_steps: optimizer steps of the training without a budget.
        earlier: `fixed_at` and `steps` of earlier estimates that were replaced; shape (n, 2).
    """

    minutes: float | None = None
    steps: int
    rows: int
    fixed_at: int
    all_steps: int
    earlier: tuple[tuple[int, int], ...] = ()


class Resumption(StoredModel):
    """A resumption of a training.

    Attributes:
        at: the time; ISO, UTC.
        step: the checkpoint's; 0: there was no checkpoint.
    """

    at: str
    step: int


class TrainingResult(StoredModel):
    """The result of a training that ended.

    Attributes:
        finished: the time; ISO, UTC.
        seconds: of the training, evaluations included.
        steps: the number of optimizer steps.
        stopped_early: whether `evaluation.patience` ended it.
        picked_step: the step whose weights were kept.
        picked_score: the dev score of that step, from 0 to 100; None: it was not evaluated.
        tokens: the number that were trained on.
        last_loss: of the last logged step; None: it was not finite.
        memory_gib: the peak.
        adapter_sha256: of the weights that were kept, an adapter's or a whole model's.
    """

    finished: str | None = None
    seconds: float | None = None
    steps: int | None = None
    stopped_early: bool | None = None
    picked_step: int | None = None
    picked_score: float | None = None
    tokens: int | None = None
    last_loss: float | None = None
    memory_gib: float | None = None
    adapter_sha256: str | None = None


class Manifest(StoredModel):
    """The inputs of a run, and the result of its training.

    Attributes:
        started: the time; ISO, UTC.
        seed: the recipe's.
        device: the device that it was started on.
        recipe_sha256: of the resolved recipe.
        prompt: the trained prompt.
        data: by part: train, dev, test.
        base: the identity of the base model, from `llm_summ.models.content_stamp.base_stamp`.
        stop_id: the token that ends a summary.
        shortened: ids of training rows whose dialogues lost turns.
        versions: of llm-summ, Python and the libraries.
        platform: the operating system.
        git: the commit of the working folder, with ``+`` if it had changes; None outside a repository.
        kept: hashes of the files that prompts depend on, by name; None: they are not written yet.
        resumed: every resumption.
        budget: the steps that fit into `train.max_minutes`; None: no such limit, or not known yet.
        from_run: the run and the hash of the adapter that the training started from (`train.from_run`).
        callbacks: the hash of each file or module of `train.callbacks`.
        training: None: the training has not ended.
    """

    started: str | None = None
    seed: int | None = None
    device: DeviceRecord | None = None
    recipe_sha256: str | None = None
    prompt: PromptRecord | None = None
    data: dict[str, DataPart] = Field(default_factory=dict)
    base: dict[str, Any] | None = None
    stop_id: int | None = None
    shortened: list[str] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    platform: str | None = None
    git: str | None = None
    kept: dict[str, str] | None = None
    resumed: list[Resumption] = Field(default_factory=list)
    budget: Budget | None = None
    from_run: dict[str, str] | None = None
    callbacks: dict[str, str] = Field(default_factory=dict)
    training: TrainingResult | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the training ended."""
        return self.training is not None
