"""Post-processing: an ordered list of named steps on stored raw predictions, which stay as they are."""

from llm_summ.post.post_input import Draft
from llm_summ.post.steps import STEPS, Change, PostReport, post_process

__all__ = ["STEPS", "Change", "Draft", "PostReport", "post_process"]
