"""The fields of a recipe, with their defaults and the combinations that are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from llm_summ.core.objective_registry import OBJECTIVES
from llm_summ.core.post_step_registry import POST_STEPS
from llm_summ.recipe.generate_fields import GenerateFields
from llm_summ.recipe.section import Section

__all__ = [
    "DataFields",
    "EvaluationFields",
    "LoraFields",
    "ModelFields",
    "ObjectiveName",
    "PostStep",
    "PromptFields",
    "Recipe",
    "Tracker",
    "TrainFields",
    "WeightsName",
]

PostStep = Annotated[str, AfterValidator(POST_STEPS.check)]
WeightsName = Literal["lora", "full"]
ObjectiveName = Annotated[str, AfterValidator(OBJECTIVES.check)]
Tracker = Literal["wandb", "trackio", "tensorboard"]
OptimizerName = Literal[
    "auto", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "lion_8bit", "adafactor", "sgd"
]

_Count = Annotated[int, Field(ge=1)]
_CALLBACK = re.compile(r"(?:(?P<file>.+\.py)|(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)):(?P<class>[^\W\d]\w*)")


class ModelFields(Section):
    """The base model, and the precision its frozen weights are stored in.

    Attributes:
        add_tokens: words that get a token of their own, such as ``#Person1#``: the table of embeddings grows by
            them, and each begins as the mean of the tokens that it consisted of.
        language: mBART's code of the texts' language; None: ko_KR where the tokenizer has it.
    """

    base: str = Field(min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False
    quantization: Literal["nf4", "fp4", "int8", "none"] = "nf4"
    double_quantization: bool = True
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    add_tokens: list[Annotated[str, Field(min_length=1)]] = []
    language: str | None = Field(default=None, min_length=1)


class DataFields(Section):
    """Where the dialogues are: a CSV, JSONL or parquet path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    `train` may be several files. `shuffle` (by the recipe's seed) is applied first, then `limit`: they determine
    the rows of the training and their order.
    """

    train: str | list[str] = Field(min_length=1)
    dev: str | None = Field(default=None, min_length=1)
    test: str | None = Field(default=None, min_length=1)
    shuffle: bool = False
    limit: int | None = Field(default=None, ge=1)

    @property
    def train_sources(self) -> list[str]:
        """The training files, one or several."""
        return [self.train] if isinstance(self.train, str) else self.train


class PromptFields(Section):
    """How a dialogue becomes token ids. Lengths are in tokens of the base model."""

    template: str = Field(default="plain", min_length=1)
    chat: Literal["auto", "always", "never"] = "auto"
    max_prompt_tokens: int = Field(default=1024, ge=16)
    max_answer_tokens: int = Field(default=256, ge=2)
    truncation: Literal["middle", "head", "tail", "error"] = "middle"
    examples: int = Field(default=0, ge=0, le=32)
    max_examples_tokens: int = Field(default=512, ge=1)
    length_buckets: int = Field(default=5, ge=2, le=20)


class LoraFields(Section):
    """The adapter: LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Attributes:
        r: the rank of the product B A.
        alpha: the product is scaled by alpha / r.
        dropout: the share of a layer's inputs that is dropped before the adapter.
        targets: the layers that are adapted.
        rslora: scale by alpha / sqrt(r) instead (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732).
        init: the initial A: PEFT's default (Kaiming), `gaussian`, or `eva`, from the principal components of the
            layers' inputs (Paischer et al. 2024, https://arxiv.org/abs/2410.07170); B is zero at first.
        learning_rate_ratio: LoRA+: the learning rate of B relative to that of A (Hayou et al. 2024,
            https://arxiv.org/abs/2402.12354).
    """

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["all-linear"] | list[str] = "all-linear"
    rslora: bool = False
    init: Literal["default", "gaussian", "eva"] = "default"
    learning_rate_ratio: float | None = Field(default=None, ge=1)


class TrainFields(Section):
    """The optimisation. An optimizer step takes `batch_size` rows.

    Attributes:
        weights: what is trained: a LoRA adapter next to the frozen base, or all of the base's weights. Recipes of
            earlier versions call this field `method`; that name is still accepted.
        objective: the loss that is minimised; sft: the cross entropy of the reference summaries.
        from_run: a finished run whose adapter the training starts from: a name in the folder of runs, or a path.
            Base and LoRA fields must be those of that run; `lora.dropout` may differ.
        micro_batch_size: rows that are computed at a time. Their gradients are summed to that of the batch: this
            changes speed and memory, and apart from dropout and rounding nothing else. `auto` starts with a
            size that is estimated to fit. On out-of-memory it is halved, and the step is retried.
        packing: concatenate the rows of a micro batch instead of padding them; no row attends to another.
        neftune_alpha: noise on the embeddings (Jain et al. 2023, https://arxiv.org/abs/2310.05914).
        label_smoothing: the share of a target that is spread over the vocabulary.
        max_minutes: the longest duration of a training, from the command to its result, evaluations included.
            After a few steps the speed is known; the number of steps is then fixed and stored with the run.
        save_minutes: minutes between checkpoints, which are also saved at every evaluation, every `save_steps`
            steps, and at a signal.
        keep_checkpoints: how many of the latest are kept, in addition to the best.
        parallel: with several devices, whether each stores the whole model (ddp) or a part of it (fsdp).
        callbacks: your own classes of transformers' `TrainerCallback`, as ``FILE.py:Class`` or ``module:Class``. A
            file is found next to the recipe, or else from the working directory.
    """

    weights: WeightsName = "lora"
    objective: ObjectiveName = "sft"
    from_run: str | None = Field(default=None, min_length=1)
    epochs: float = Field(default=2.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"] = (
        "cosine"
    )
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: _Count | Literal["auto"] = "auto"
    group_by_length: bool = True
    packing: bool = False
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    optimizer: OptimizerName = "auto"
    neftune_alpha: float | None = Field(default=None, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    log_every: int = Field(default=1, ge=1)
    log_layers: bool = False
    save_minutes: float | None = Field(default=10.0, gt=0)
    save_steps: int | None = Field(default=None, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    parallel: Literal["ddp", "fsdp"] = "ddp"
    callbacks: list[str] = []

    @field_validator("callbacks")
    @classmethod
    def _name_classes(cls, callbacks: list[str], info: ValidationInfo) -> list[str]:
        """Check the form, and find files next to the recipe; whether they can be imported is checked later."""
        folder: Path | None = (info.context or {}).get("folder")
        found = []
        for name in callbacks:
            match = _CALLBACK.fullmatch(name)
            if match is None:
                raise ValueError(
                    f"found {name!r}, expected FILE.py:Class or module:Class, such as hooks.py:LogGradients"
                )
            file = match["file"]
            if file and folder is not None and (folder / file).is_file():
                name = f"{folder / file}:{match['class']}"
            found.append(name)
        return found

    def checkpoints(self, *, on_gpu: bool) -> bool:
        """Return whether `gradient_checkpointing` on that device recomputes activations in the backward pass."""
        return self.gradient_checkpointing == "on" or (self.gradient_checkpointing == "auto" and on_gpu)

    def optimizer_name(self, *, on_gpu: bool) -> OptimizerName:
        """Return the optimizer that `optimizer` means on that device."""
        if self.optimizer == "auto":
            return "paged_adamw_8bit" if on_gpu else "adamw_torch"
        return self.optimizer


class EvaluationFields(Section):
    """The evaluations on `data.dev` during the training, and the choice of a checkpoint by them.

    Attributes:
        every: the number of optimizer steps between evaluations, or after each epoch; the last step is always
            evaluated, too.
        rows: the number of dialogues, chosen by the seed; None takes all.
        pick: the checkpoint that becomes the result: the best by the competition's score of greedily generated
            summaries, by the loss, or the last one.
        patience: stop after this number of evaluations in a row that do not improve on the best by `min_gain`.
        min_gain: in points of the score (0 to 100) if the pick is by score, otherwise in the loss.
        batch_size: prompts at a time.
        decoding: ``greedy``, or ``recipe``: with the beams of the section `generate`, which is slower.
    """

    every: _Count | Literal["epoch", "never"] = "epoch"
    rows: int | None = Field(default=64, ge=1)
    pick: Literal["score", "loss", "last"] = "score"
    patience: int | None = Field(default=None, ge=1)
    min_gain: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=16, ge=1)
    decoding: Literal["greedy", "recipe"] = "greedy"


class Recipe(Section):
    """A whole recipe; immutable."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    model: ModelFields
    data: DataFields
    prompt: PromptFields = PromptFields()
    lora: LoraFields = LoraFields()
    train: TrainFields = TrainFields()
    evaluation: EvaluationFields = EvaluationFields()
    track: list[Tracker] = []
    generate: GenerateFields = GenerateFields()
    post: list[PostStep] = ["strip", "join_lines", "collapse_whitespace", "cut_unfinished"]

    @field_validator("train")
    @classmethod
    def _goes_together(cls, train: TrainFields, info: ValidationInfo) -> TrainFields:
        if train.weights == "full":
            model, lora = info.data.get("model"), info.data.get("lora")
            if model is not None and model.quantization != "none":
                raise ValueError(
                    "weights full cannot be used with quantized weights, which cannot be trained; set "
                    "model.quantization to none"
                )
            if lora is not None and (
                lora.learning_rate_ratio is not None or lora.init != "default" or lora.rslora
            ):
                raise ValueError(
                    "weights full has no adapter; leave out lora.learning_rate_ratio, init and rslora"
                )
            if train.from_run is not None:
                raise ValueError("from_run starts from an adapter, and weights full has none; set one of them")
        elif train.from_run is not None and (lora := info.data.get("lora")) is not None and lora.init != "default":
            raise ValueError(
                f"from_run starts from a trained adapter, lora.init {lora.init} from a new one; leave one out"
            )
        if train.packing and train.neftune_alpha is not None:
            raise ValueError(
                "packing cannot be used with neftune_alpha, whose noise depends on the length of a row; choose one"
            )
        return train

    @field_validator("evaluation")
    @classmethod
    def _patience_needs_evaluations(cls, evaluation: EvaluationFields) -> EvaluationFields:
        if evaluation.patience is not None and evaluation.every == "never":
            raise ValueError("patience needs evaluations; set every to epoch or to a number of steps")
        if evaluation.patience is not None and evaluation.pick == "last":
            raise ValueError("patience needs a score or loss to improve; set pick to score or loss")
        return evaluation

    @field_validator("track")
    @classmethod
    def _each_tracker_once(cls, track: list[Tracker]) -> list[Tracker]:
        if len(set(track)) < len(track):
            raise ValueError(f"[{', '.join(track)}] names a tracker twice; name each once")
        return track
