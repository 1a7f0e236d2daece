"""Model families: everything that depends on the architecture of a base, one module each.

A family is chosen from the base's configuration, with `family_of` or `family_of_config`. A new one is a module
here and an instance in `FAMILIES`, before those that include its bases as well. A family of another package is
not named here: that package declares an entry point of the group ``llm_summ.families`` whose value is an instance,
or a program calls `FAMILIES.register`.

A few other modules ask whether a base is an encoder-decoder: those that refuse bases (the gate, vLLM's support),
prepare a model for CPUs, keep caches, or estimate a duration.

Shapes: b rows of a micro batch, s tokens of the longest, n target tokens in all of them, h the width of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from llm_summ.core.engine_registry import Capability
from llm_summ.core.errors import ModelError
from llm_summ.core.registry import Registry
from llm_summ.models.base_facts import BaseFacts, facts_of
from llm_summ.models.families.causal import IGNORED, Causal
from llm_summ.models.families.seq2seq import Seq2Seq
from llm_summ.prompt import TokenizedExample
from llm_summ.prompt.frame import Frame

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
    """

    ids: Any

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
        peft_task_type: PEFT's name of the task of such a model.
        pipeline_tag: the hub's name of the task of such a model.
        needs: the capabilities of a local engine that generates with such a model.
        continues_prompt: whether a completion continues its prompt in one sequence.
        padding_side: of prompts in a batch for generation.
    """

    name: str
    peft_task_type: str
    pipeline_tag: str
    needs: frozenset[Capability]
    continues_prompt: bool
    padding_side: Literal["left", "right"]

    def includes(self, facts: BaseFacts) -> bool:
        """Return whether a base is of this family."""

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

    def context_tokens(self, prompt: int, completion: int) -> int:
        """Return the number of tokens that a prompt and its completion take of the context."""


CAUSAL: ModelFamily = Causal()
"""Decoders, which continue the prompt."""

SEQ2SEQ: ModelFamily = Seq2Seq()
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
