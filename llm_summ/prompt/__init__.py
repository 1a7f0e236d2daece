"""Prompt templates, and the single renderer that converts a dialogue into token ids."""

from llm_summ.prompt.batch_rendering import Refused, render_rows
from llm_summ.prompt.examples import ExamplePool
from llm_summ.prompt.length import LengthTarget
from llm_summ.prompt.render import Renderer, make_renderer
from llm_summ.prompt.template import Template, bundled_templates, load_template
from llm_summ.prompt.tokenized_example import TokenizedExample

__all__ = [
    "ExamplePool",
    "LengthTarget",
    "Refused",
    "Renderer",
    "Template",
    "TokenizedExample",
    "bundled_templates",
    "load_template",
    "make_renderer",
    "render_rows",
]
