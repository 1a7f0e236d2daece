"""Model families: everything that depends on the architecture of a base, one module each.

A family is chosen from the base's configuration, with `family_of` or `family_of_config`. A new one is a module
here and an instance in `FAMILIES`, before those that include its bases as well. A family of another package is
not named here: that package declares an entry point of the group ``llm_summ.families`` whose value is an instance,
or a program calls `FAMILIES.register`.

No other module asks which family a base is of: what follows from it is a field or a method here, named after what
it decides. Only the gate looks at the facts of a base that no family includes, to say why.

Shapes: b rows of a micro batch, s tokens of the longest, n target tokens in all of them, h the width of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from llm_summ.core.engine_registry import Capability
from llm_summ.core.errors import ModelError
from llm_summ.core.registry import Registry
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.families.causal import IGNORED, Causal
from llm_summ.models.families.seq2seq import Seq2Seq
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.frame import Frame
from llm_summ.recipe import Recipe

__all__ = [
    "CAUSAL",
    "FAMILIES",
    "IGNORED",
    "SEQ2SEQ",
    "GenerationState",
    "ModelFamily",
    "family_of",
    "family_of_config",
    "find_family",
]


class GenerationState(Protocol):
    """A batch of texts that are being generated.

    Attributes:
        ids: all ids of the decoder so far, shape (b, s); a completion begins behind those of the start.
        text_start: the index in a row of `ids` from which transformers counts a text.
    """

    ids: Any
    text_start: int

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `model.generate` that name the prompts and what was generated so far."""

    def keep(self, ids: Any, places: Any) -> None:
        """Continue with some rows.

        Args:
            ids: all ids by now, shape (b, s).
            places: the indexes of these rows, a tensor.
        """


@runtime_checkable
class ModelFamily(Protocol):
    """The code that depends on the architecture of a base.

    Attributes:
        name: of the family.
        plural: the word for its models in messages.
        peft_task_type: PEFT's name of the task of such a model.
        pipeline_tag: the hub's name of the task of such a model.
        needs: the capabilities of a local engine that generates with such a model.
        padding_side: of prompts in a batch for generation.
        has_fused_head: whether TRL's head, which shifts the labels, may compute the loss on a GPU.
        extends_prompt_states: whether a completion can be continued from the keys and values of its prompt.
        follows_instructions: whether a model may get another prompt than the one it was trained on.
    """

    name: str
    plural: str
    peft_task_type: str
    pipeline_tag: str
    needs: frozenset[Capability]
    padding_side: Literal["left", "right"]
    has_fused_head: bool
    extends_prompt_states: bool
    follows_instructions: bool

    def includes(self, facts: BaseFacts) -> bool:
        """Return whether a base is of this family."""

    def has_head(self, facts: BaseFacts) -> bool:
        """Return whether the weights of a base of this family have a head that writes text."""

    def training_findings(self, recipe: Recipe) -> Iterator[BaseFinding]:
        """Yield a finding for each setting of a training that has no use, or no effect, for such a base."""

    def auto_class(self) -> Any:
        """Return the class of transformers that loads such a model."""

    def frame(self, tokenizer: Any, config: Any) -> Frame | None:
        """Return the tokens around source and target; None: the completion continues the prompt.

        Args:
            tokenizer: of the base.
            config: of transformers.

        Raises:
            ModelError: they cannot be found.
        """

    def collate(
        self, examples: Sequence[TokenizedExample], pad_id: int, device: Any, *, packing: bool
    ) -> tuple[dict[str, Any], Any]:
        """Return model inputs and labels of a micro batch.

        Args:
            examples: at least one.
            pad_id: fills shorter rows; it is masked out.
            device: of the tensors.
            packing: concatenate the examples instead of padding them; they do not see each other.

        Returns:
            inputs, and labels of shape (b, s) with `IGNORED` for all tokens but targets. Packed: (1, s).
        """

    def blank_inputs(self, rows: int, length: int, target_tokens: int, *, packed: bool) -> dict[str, Any]:
        """Return inputs of the shape of a micro batch, with zeros in place of ids.

        Args:
            rows: b.
            length: tokens of the longest example, prompt, completion and stop id.
            target_tokens: n.
            packed: whether several examples are in one row.
        """

    def targets(self, labels: Any) -> Any:
        """Return the labels that the decoder's states are to predict, of shape (b, t)."""

    def target_states(self, states: Any, is_target: Any) -> Any:
        """Return the states of shape (n, h) from which the targets are predicted.

        Args:
            states: of the decoder, shape (b, s, h).
            is_target: whether each of `targets` differs from `IGNORED`, shape (b, t).
        """

    def forward_layers(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Run all layers on inputs of `collate`, with as few logits as possible."""

    def weights_per_token(self, weights: int) -> int:
        """Return how many of the weights in a model's layers a token is multiplied with."""

    def attention_parts(self, model: Any) -> list[Any]:
        """Return the parts of a model whose attention is chosen separately."""

    def next_token_inputs(self, ids: Any) -> dict[str, Any]:
        """Return inputs whose last logits are those of a next token, for a comparison of two engines.

        Args:
            ids: a prompt, shape (1, p).
        """

    def begin(self, model: Any, ids: Any, mask: Any, frame: Frame | None) -> GenerationState:
        """Begin a generation.

        Args:
            model: in evaluation mode.
            ids: the prompts, padded on `padding_side`, shape (b, s).
            mask: 0 for padding, of the same shape.
            frame: of the renderer that made the prompts.
        """

    def generation_fields(self, frame: Frame | None) -> dict[str, int]:
        """Return the fields of transformers' generation configuration that depend on the frame."""

    def cache(self, texts: Any, source: Any) -> Any:
        """Return the cache of a generation.

        Args:
            texts: an empty cache, for the keys and values of a decoder's tokens.
            source: an empty cache, for those of a source that an encoder has read.
        """

    def beam_cache(self, model: Any, arguments: dict[str, Any], beams: int) -> Any | None:
        """Return the cache of a beam search; None: transformers makes it.

        Args:
            model: whose cache's rows can be selected.
            arguments: of a `GenerationState` at its beginning, for b prompts.
            beams: of each prompt.
        """

    def completion_start(self, prompt: int) -> int:
        """Return the tokens before a completion in the result of `model.generate`, for prompts of that length."""

    def end_at(self, model: Any, stop_id: int, pad_id: int | None, frame: Frame | None) -> None:
        """Let a model's generation configuration end a text at the stop token.

        Args:
            model: to be trained; its generation configuration is changed.
            stop_id: the token that ends a training row.
            pad_id: of the tokenizer.
            frame: of the renderer.
        """

    def context_tokens(self, prompt: int, completion: int) -> int:
        """Return the number of tokens that a prompt and its completion take of the context."""

    def prompt_room(self, context: int, completion: int) -> int:
        """Return the tokens of the longest prompt in a context, next to a completion of that length."""

    def loading_code(self, folder: str) -> list[str]:
        """Return lines of Python that load a merged folder and write a summary."""


_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "WithLMHead")

CAUSAL: ModelFamily = Causal(_HEADS)
"""Decoders, which continue the prompt."""

# The head of an encoder-decoder is usually its table of embeddings; if not, loading finds it missing.
SEQ2SEQ: ModelFamily = Seq2Seq((*_HEADS, "Model"))
"""Encoder-decoders."""

FAMILIES: Registry[ModelFamily] = Registry(
    "family", "llm_summ.families", ModelFamily, [CAUSAL, SEQ2SEQ], error=ModelError
)
"""All families; each is an instance, whose methods import torch and transformers when they run."""


def find_family(facts: BaseFacts) -> ModelFamily | None:
    """Return the family of a base; None: the package can neither train nor use such a model.

    Families of other packages are asked first, so that they may take over a base that the package's own include.
    """
    own = FAMILIES.built_in
    others = [family for family in FAMILIES.all() if family not in own]
    return next((family for family in (*others, *own) if family.includes(facts)), None)


def family_of(facts: BaseFacts) -> ModelFamily:
    """Return the family of a base that passed the gate.

    Raises:
        ModelError: it belongs to no family.
    """
    family = find_family(facts)
    if family is None:
        names = ", ".join(FAMILIES.names())
        raise ModelError(
            f"model.base: {facts.saved_class or facts.configuration} belongs to no supported family; "
            f"expected one of: {names}"
        )
    return family


def family_of_config(config: Any) -> ModelFamily:
    """Return the family of a configuration of transformers.

    Raises:
        ModelError: it belongs to no family.
    """
    return family_of(facts_of(config))
