"""Post-processing: an ordered list of named steps on stored raw predictions, which stay as they are."""

from llm_summ.post.steps import STEPS, PostReport, post_process

__all__ = ["STEPS", "PostReport", "post_process"]
