"""The fields of a recipe, with their defaults and what goes together."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from llm_summ.core.engine_registry import AUTO, Capability, check_engine_name, engine_spec, engines_that
from llm_summ.recipe.request_body import SentField, check_extra_body, further_fields

__all__ = [
    "DataFields",
    "EngineName",
    "EvaluationFields",
    "GenerateFields",
    "LoraFields",
    "ModelFields",
    "ObjectiveName",
    "PostStep",
    "PromptFields",
    "Recipe",
    "ServerFields",
    "Tracker",
    "TrainFields",
    "WeightsName",
]

PostStep = Literal[
    "clean_characters",
    "repair_tags",
    "drop_prompt",
    "cut_loops",
    "drop_repeats",
    "repair_speakers",
    "strip",
    "join_lines",
    "collapse_whitespace",
    "cut_unfinished",
    "whole_sentences",
    "cut_to_limit",
]
EngineName = Annotated[str, AfterValidator(check_engine_name)]
WeightsName = Literal["lora", "full"]
ObjectiveName = Literal["sft"]
Tracker = Literal["wandb", "trackio", "tensorboard"]
OptimizerName = Literal[
    "auto", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "lion_8bit", "adafactor", "sgd"
]

_Count = Annotated[int, Field(ge=1)]
_LEAST_TEMPERATURE = 0.01


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelFields(_Section):
    """Which base model, and how its weights are held while the adapter is trained."""

    base: str = Field(min_length=1)
    revision: str | None = None
    trust_remote_code: bool = False
    quantization: Literal["nf4", "fp4", "int8", "none"] = "nf4"
    double_quantization: bool = True
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"


class DataFields(_Section):
    """Where the dialogues are: a CSV, JSONL or parquet path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    `train` may be several files. `shuffle` (by the recipe's seed) and then `limit` say which of their rows are
    trained, and in which order.
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


class PromptFields(_Section):
    """How a dialogue becomes token ids. Lengths are in tokens of the base model."""

    template: str = Field(default="plain", min_length=1)
    chat: Literal["auto", "always", "never"] = "auto"
    max_prompt_tokens: int = Field(default=1024, ge=16)
    max_answer_tokens: int = Field(default=256, ge=2)
    truncation: Literal["middle", "head", "tail", "error"] = "middle"
    examples: int = Field(default=0, ge=0, le=32)
    max_examples_tokens: int = Field(default=512, ge=1)
    length_buckets: int = Field(default=5, ge=2, le=20)


class LoraFields(_Section):
    """The adapter: LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Attributes:
        r: the rank of its products.
        alpha: it is scaled by alpha / r.
        dropout: the share of what a layer is given that the adapter does not see.
        targets: which layers are adapted.
        rslora: scale it by alpha / sqrt(r) instead (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732).
        init: how A begins: as PEFT does by default (Kaiming), `gaussian`, or `eva`, from the principal components
            of what layers are given (Paischer et al. 2024, https://arxiv.org/abs/2410.07170); B begins at zero.
        learning_rate_ratio: LoRA+'s: how many times faster B learns than A (Hayou et al. 2024,
            https://arxiv.org/abs/2402.12354).
    """

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["all-linear"] | list[str] = "all-linear"
    rslora: bool = False
    init: Literal["default", "gaussian", "eva"] = "default"
    learning_rate_ratio: float | None = Field(default=None, ge=1)


class TrainFields(_Section):
    """The optimisation. `batch_size` rows make one optimizer step.

    Attributes:
        weights: what is trained: a LoRA adapter next to the frozen base, or all of the base's weights. Recipes of
            earlier versions call this field `method`, and are read as they are.
        objective: what is minimised; sft: the cross entropy of the reference summaries.
        from_run: a finished run whose adapter the training begins with: a name in the folder of runs, or a path.
            Base and LoRA fields must be those of that run; `lora.dropout` may differ.
        micro_batch_size: rows that are computed at a time. The sum of their gradients is the batch's: this changes
            speed and memory, and nothing else but dropout and rounding. `auto` begins with what is estimated to
            fit. Where memory does not do, it is halved, and the step is made anew.
        packing: rows of a micro batch stand one after the other instead of being padded; none sees another.
        neftune_alpha: noise on the embeddings (Jain et al. 2023, https://arxiv.org/abs/2310.05914).
        label_smoothing: the share of a target that is spread over the vocabulary.
        max_minutes: how long a training may take, from the command to its result. After a few steps the rate is
            known, and the number of steps is fixed and kept with the run. Evaluations count.
        save_minutes: a checkpoint is saved that often; also at every evaluation, at `save_steps`, and at a signal.
        keep_checkpoints: how many of the last are kept, beside the best.
        parallel: with several devices, whether each holds the whole model (ddp) or a part of it (fsdp).
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

    def checkpoints(self, *, on_gpu: bool) -> bool:
        """Whether activations are made anew in the backward pass: what `gradient_checkpointing` means there."""
        return self.gradient_checkpointing == "on" or (self.gradient_checkpointing == "auto" and on_gpu)

    def optimizer_name(self, *, on_gpu: bool) -> OptimizerName:
        """The optimizer that `optimizer` means there."""
        if self.optimizer == "auto":
            return "paged_adamw_8bit" if on_gpu else "adamw_torch"
        return self.optimizer


class EvaluationFields(_Section):
    """What is done with `data.dev` during the training, and what is made of it.

    Attributes:
        every: after so many optimizer steps, or after each epoch; the last step is always evaluated, too.
        rows: how many dialogues, chosen by the seed; None takes all.
        pick: which checkpoint becomes the result: the best by the competition's score of greedily generated
            summaries, by the loss, or the last one.
        patience: stop after so many evaluations in a row that do not better the best before them by `min_gain`.
        min_gain: in points of the score (0 to 100) if the pick is by score, or else in the loss.
        batch_size: prompts at a time.
    """

    every: _Count | Literal["epoch", "never"] = "epoch"
    rows: int | None = Field(default=64, ge=1)
    pick: Literal["score", "loss", "last"] = "score"
    patience: int | None = Field(default=None, ge=1)
    min_gain: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=16, ge=1)


class ServerFields(_Section):
    """A server that speaks OpenAI's protocol, for the engine openai. Its key comes from OPENAI_API_KEY.

    Attributes:
        url: where its paths begin, as a rule with /v1 at the end.
        model: its name there; None: the only one that it serves.
        prompt: ``tokens`` sends the ids that were trained, which vLLM's servers take; ``chat`` sends messages, and
            the server applies its own chat template.
        concurrency: requests at a time.
        requests_per_minute: no more than that; None: as many as can be.
        patience_minutes: how long a server that fails, or is not there, is asked again.
        price: for a million tokens asked and answered, in any currency; the sum is said at the end.
        extra_body: further fields of the body of every request, which this server knows.
        leave_out: fields that this server refuses, and that are not sent.
    """

    url: str = "http://127.0.0.1:8000/v1"
    model: str | None = None
    prompt: Literal["tokens", "chat"] = "tokens"
    concurrency: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    patience_minutes: float = Field(default=10, gt=0)
    price: list[Annotated[float, Field(ge=0)]] | None = Field(default=None, min_length=2, max_length=2)
    extra_body: dict[str, Any] = {}
    leave_out: list[SentField] = []

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str) -> str:
        parts = urlsplit(url)
        try:
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            is_address = False
        if not is_address:
            raise ValueError(f"found {url!r}, expected an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "holds a user, a password or a query, which would be written into the run; put the key into "
                "OPENAI_API_KEY"
            )
        return url

    @field_validator("extra_body", mode="before")
    @classmethod
    def _adds_what_the_engine_does_not_set(cls, extra_body: object, info: ValidationInfo) -> dict[str, Any]:
        return check_extra_body(extra_body, info.data.get("prompt"))

    @property
    def further_fields(self) -> dict[str, Any]:
        """Fields of every request's body that no other field of the recipe sets: `extra_body` and its defaults."""
        return further_fields(self.prompt, self.extra_body, self.leave_out)

    @property
    def body_identity(self) -> dict[str, Any]:
        """The part of the predictions' identity that depends on these fields; empty for a plain body."""
        changes = {"extra_body": self.further_fields, "leave_out": sorted(self.leave_out)}
        return {name: value for name, value in changes.items() if value}


class GenerateFields(_Section):
    """How summaries are generated.

    Attributes:
        limit: ``predicted`` cuts a generation off where 99.5 % of the training completions to dialogues of such a
            length had ended, and at `max_new_tokens` at the latest; ``fixed`` at `max_new_tokens`.
        n: candidates for each dialogue.
        temperature: 0: the likeliest token at every step (greedy); above it tokens are drawn.
        top_p: drawn from the likeliest tokens that together have this probability.
        top_k: drawn from so many of the likeliest; 0: from all.
        beams: texts that are kept side by side (beam search); not every engine can.
        no_repeat_ngram: no run of so many tokens comes twice in a completion; 0: it may. Not every engine can.
        tensor_parallel: GPUs that a model is divided among; not every engine can.
        data_parallel: workers that share the dialogues, each with the whole model, with an engine on this machine.
        prove: whether to look at one prompt before a generation: that the engine computes with what was trained.
        server: for an engine that asks a server.
    """

    engine: EngineName = AUTO
    max_new_tokens: int = Field(default=160, ge=1)
    limit: Literal["fixed", "predicted"] = "fixed"
    n: int = Field(default=1, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    beams: int = Field(default=1, ge=1)
    no_repeat_ngram: int = Field(default=0, ge=0)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    adapter: Literal["auto", "attach", "merge"] = "auto"
    base_quantization: Literal["none", "nf4"] = "none"
    batch_size: int = Field(default=16, ge=1)
    gpu_memory: float = Field(default=0.9, gt=0, le=1)
    tensor_parallel: int = Field(default=1, ge=1)
    data_parallel: int = Field(default=1, ge=1)
    prove: bool = True
    server: ServerFields = ServerFields()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.beams > 1 and self.temperature:
            raise ValueError(
                f"beams {self.beams} does not go with temperature {self.temperature:g}; set one of them"
            )
        if self.n > 1 and not self.temperature and self.beams < self.n:
            raise ValueError(
                f"n {self.n}: greedy candidates would all be the same; set temperature above 0, or beams to at "
                f"least {self.n}"
            )
        if 0 < self.temperature < _LEAST_TEMPERATURE:
            raise ValueError(
                f"temperature {self.temperature:g}: draws nothing but the likeliest token; set it to 0, or to "
                f"{_LEAST_TEMPERATURE:g} at least"
            )
        if not self.temperature and (self.top_p < 1 or self.top_k):
            raise ValueError("top_p and top_k are for drawn tokens; set temperature above 0, or leave them out")
        if self.beams > 1 and self.limit == "predicted":
            raise ValueError("limit predicted does not go with beams, of which a limit decides which text wins")
        self._suits_the_engine()
        if self.base_quantization != "none" and self.adapter == "merge":
            raise ValueError("adapter merge does not go with base_quantization nf4; choose one of them")
        return self

    def _suits_the_engine(self) -> None:
        if self.engine == AUTO:
            return
        spec = engine_spec(self.engine)
        if spec.can("messages") and self.server.prompt == "chat" and self.top_k:
            raise ValueError("top_k: messages (server.prompt chat) cannot ask for it; leave it out")
        if self.n > 1 and not spec.can("candidates"):
            raise ValueError(f"n: the engine {spec.name} knows one text for each dialogue; set it to 1")
        if self.data_parallel > 1 and not spec.can("data_parallel"):
            raise ValueError(f"data_parallel does not go with the engine {spec.name}; set it to 1")
        for name, capability in self.needs.items():
            if not spec.can(capability):
                able = " or ".join(one.name for one in engines_that([capability])) or "none that is installed"
                raise ValueError(f"{name} works with engine {able} only, found {spec.name}; leave one of them out")

    @property
    def needs(self) -> dict[str, Capability]:
        """What not every engine on this machine can do, such as ``beams 4``, and the capability that it needs."""
        asked: dict[str, tuple[Capability, bool]] = {
            f"beams {self.beams}": ("beams", self.beams > 1),
            f"no_repeat_ngram {self.no_repeat_ngram}": ("no_repeat_ngram", self.no_repeat_ngram > 0),
            f"base_quantization {self.base_quantization}": ("quantize", self.base_quantization != "none"),
        }
        return {name: capability for name, (capability, is_asked) in asked.items() if is_asked}


class Recipe(_Section):
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
                    "weights full does not go with quantized weights, which cannot be trained; set "
                    "model.quantization to none"
                )
            if lora is not None and (
                lora.learning_rate_ratio is not None or lora.init != "default" or lora.rslora
            ):
                raise ValueError(
                    "weights full has no adapter; leave lora.learning_rate_ratio, init and rslora out"
                )
            if train.from_run is not None:
                raise ValueError("from_run gives an adapter, and weights full has none; set one of them")
        elif train.from_run is not None and (lora := info.data.get("lora")) is not None and lora.init != "default":
            raise ValueError(
                f"from_run gives a trained adapter, and lora.init {lora.init} a new one; leave one of them out"
            )
        if train.packing and train.neftune_alpha is not None:
            raise ValueError("packing does not go with neftune_alpha, whose noise depends on the length of a row")
        return train

    @field_validator("evaluation")
    @classmethod
    def _patience_needs_evaluations(cls, evaluation: EvaluationFields) -> EvaluationFields:
        if evaluation.patience is not None and evaluation.every == "never":
            raise ValueError("patience needs evaluations; set every to epoch or to a number of steps")
        if evaluation.patience is not None and evaluation.pick == "last":
            raise ValueError("patience needs something to gain; set pick to score or loss")
        return evaluation

    @field_validator("track")
    @classmethod
    def _each_tracker_once(cls, track: list[Tracker]) -> list[Tracker]:
        if len(set(track)) < len(track):
            raise ValueError(f"a tracker stands twice in [{', '.join(track)}]; name each once")
        return track
