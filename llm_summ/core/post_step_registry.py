"""The registry of post-processing steps: the values of a recipe's `post`. No step is imported here.

A new step is a function from `PostInput` (`llm_summ.post`) to a text, and one entry in `POST_STEPS`. A step of
another package is not named here: that package declares an entry point of the group ``llm_summ.post_steps`` whose
value is a `PostStepSpec`, or a program calls `POST_STEPS.register`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_summ.core.registry import Registry, load_late

__all__ = ["POST_STEPS", "PostStepSpec"]


@dataclass(frozen=True, slots=True)
class PostStepSpec:
    """A step that can be named in a recipe.

    Attributes:
        name: used in recipes, on the command line and in a score's signature.
        function: ``module:name`` of a function from `PostInput` to a text; imported when the step runs. The same
            input always gives the same text, and a second pass changes nothing.
        needs_dialogue: whether it reads `PostInput.dialogue`.
    """

    name: str
    function: str
    needs_dialogue: bool = False

    def load(self) -> Any:
        """Import and return the function.

        Raises:
            InputError: it does not exist.
        """
        return load_late(self.function, f"post: {self.name}", "function from a PostInput to a text")


POST_STEPS = Registry(
    "post step",
    "llm_summ.post_steps",
    PostStepSpec,
    [
        PostStepSpec("clean_characters", "llm_summ.post.cleanup:clean_characters"),
        PostStepSpec("repair_tags", "llm_summ.post.speakers:repair_tags"),
        PostStepSpec("drop_prompt", "llm_summ.post.cleanup:drop_prompt"),
        PostStepSpec("cut_loops", "llm_summ.post.cleanup:cut_loops"),
        PostStepSpec("drop_repeats", "llm_summ.post.sentences:drop_repeats"),
        PostStepSpec("repair_speakers", "llm_summ.post.speakers:repair_speakers", needs_dialogue=True),
        PostStepSpec("strip", "llm_summ.post.steps:strip"),
        PostStepSpec("join_lines", "llm_summ.post.steps:join_lines"),
        PostStepSpec("collapse_whitespace", "llm_summ.post.steps:collapse_whitespace"),
        PostStepSpec("cut_unfinished", "llm_summ.post.sentences:cut_unfinished"),
        PostStepSpec("whole_sentences", "llm_summ.post.sentences:whole_sentences"),
        PostStepSpec("cut_to_limit", "llm_summ.post.limits:cut_to_limit", needs_dialogue=True),
    ],
)
"""All steps, in a sensible order: a step works on what the steps before it repaired. Those of others come last."""
