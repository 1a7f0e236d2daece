"""The fields of a recipe's section `generate`, and the combinations that are valid."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from llm_summ.core.engine_registry import AUTO, Capability, check_engine_name, engine_spec, names_of_engines_that
from llm_summ.recipe.request_body import SentField, check_extra_body, further_fields
from llm_summ.recipe.section import Section

__all__ = ["EngineName", "GenerateFields", "ServerFields"]

EngineName = Annotated[str, AfterValidator(check_engine_name)]
_LEAST_TEMPERATURE = 0.01


class ServerFields(Section):
    """A server that speaks OpenAI's protocol, for the engine openai. Its key comes from OPENAI_API_KEY.

    Attributes:
        url: the base of its paths, usually with /v1 at the end.
        model: the model's name on the server; None: the only model that it serves.
        prompt: ``tokens`` sends the ids that were trained, which vLLM's servers take; ``chat`` sends messages, and
            the server applies its own chat template.
        concurrency: requests at a time.
        requests_per_minute: the highest rate; None: no limit.
        patience_minutes: how long requests are retried if the server fails or is unreachable.
        price: for a million prompt tokens and a million completion tokens, in any currency; the cost is printed
            at the end.
        extra_body: further fields for the body of every request, which this server accepts.
        leave_out: fields that are not sent, because this server refuses them.
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
        except ValueError:  # the port is not a number
            is_address = False
        if not is_address:
            raise ValueError(f"found {url!r}, expected an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "holds a user, a password or a query, which would be stored with the run; put the key into "
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


class GenerateFields(Section):
    """How summaries are generated.

    Attributes:
        limit: ``predicted`` stops a generation at the length within which 99.5 % of the training completions for
            dialogues of similar length ended, and at `max_new_tokens` at the latest; ``fixed`` stops it at
            `max_new_tokens`.
        n: candidates for each dialogue.
        temperature: 0: the likeliest token at every step (greedy); above 0: tokens are sampled.
        top_p: sample from the likeliest tokens that together have this probability.
        top_k: sample from this number of the likeliest tokens; 0: from all.
        beams: the number of beams (beam search); not every engine supports it.
        no_repeat_ngram: no sequence of this number of tokens is repeated in a completion; 0: no restriction. Not
            every engine supports it.
        length_penalty: beam search divides the log-probability of a text by its length to this power. 0: their sum
            counts, 1: their mean; the higher, the longer the texts.
        min_new_tokens: tokens that a completion has at least.
        tensor_parallel: GPUs that a model is divided among; not every engine supports it.
        data_parallel: workers that share the dialogues, each with the whole model, with an engine on this machine.
        prove: whether to prove with one prompt, before a generation, that the engine uses the trained weights.
        server: for an engine that sends requests to a server.
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
    length_penalty: float = 1.0
    min_new_tokens: int = Field(default=0, ge=0)
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
                f"beams {self.beams} and temperature {self.temperature:g} exclude each other; set one of them"
            )
        if self.n > 1 and not self.temperature and self.beams < self.n:
            raise ValueError(
                f"n {self.n}: greedy candidates would all be the same; set temperature above 0, or beams to at "
                f"least {self.n}"
            )
        if 0 < self.temperature < _LEAST_TEMPERATURE:
            raise ValueError(
                f"temperature {self.temperature:g}: samples only the likeliest token; set it to 0, or to at least "
                f"{_LEAST_TEMPERATURE:g}"
            )
        if not self.temperature and (self.top_p < 1 or self.top_k):
            raise ValueError("top_p and top_k are for sampling; set temperature above 0, or leave them out")
        if self.beams > 1 and self.limit == "predicted":
            raise ValueError(
                "limit predicted cannot be used with beams, as a limit decides which text wins; set limit to fixed"
            )
        if self.length_penalty != 1 and self.beams == 1:
            raise ValueError("length_penalty is for beam search; set beams above 1, or leave it out")
        if self.min_new_tokens >= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens {self.min_new_tokens} is not below max_new_tokens {self.max_new_tokens}; lower it"
            )
        if self.min_new_tokens and self.limit == "predicted":
            raise ValueError(
                "min_new_tokens cannot be used with limit predicted, which may be lower; set limit to fixed"
            )
        self._suits_the_engine()
        if self.base_quantization != "none" and self.adapter == "merge":
            raise ValueError("adapter merge and base_quantization nf4 exclude each other; choose one")
        return self

    def _suits_the_engine(self) -> None:
        if self.engine == AUTO:
            return
        spec = engine_spec(self.engine)
        if spec.can("messages") and self.server.prompt == "chat" and self.top_k:
            raise ValueError("top_k: requests with messages (server.prompt chat) do not support it; leave it out")
        if self.n > 1 and not spec.can("candidates"):
            raise ValueError(f"n: the engine {spec.name} generates one text for each dialogue; set it to 1")
        if self.data_parallel > 1 and not spec.can("data_parallel"):
            raise ValueError(f"data_parallel: the engine {spec.name} does not support it; set it to 1")
        for name, capability in self.needs.items():
            if not spec.can(capability):
                able = names_of_engines_that(capability) or "none that is installed"
                raise ValueError(
                    f"{name} works only with the engine {able}, found {spec.name}; leave one of them out"
                )

    @property
    def needs(self) -> dict[str, Capability]:
        """Settings that only some engines support, such as ``beams 4``, and the capability that each needs."""
        settings: dict[str, tuple[Capability, bool]] = {
            f"beams {self.beams}": ("beams", self.beams > 1),
            f"no_repeat_ngram {self.no_repeat_ngram}": ("no_repeat_ngram", self.no_repeat_ngram > 0),
            f"min_new_tokens {self.min_new_tokens}": ("min_tokens", self.min_new_tokens > 0),
            f"base_quantization {self.base_quantization}": ("quantize", self.base_quantization != "none"),
        }
        return {name: capability for name, (capability, is_set) in settings.items() if is_set}
