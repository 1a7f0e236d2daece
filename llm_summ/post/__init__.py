"""Post-processing: an ordered list of named steps on stored raw predictions, which are not changed."""

from llm_summ.post.post_input import PostInput
from llm_summ.post.steps import PostReport, StepChange, post_process

__all__ = ["PostInput", "PostReport", "StepChange", "post_process"]
