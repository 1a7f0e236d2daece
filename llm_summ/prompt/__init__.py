"""Templates, and the one renderer that turns a dialogue into token ids."""

from llm_summ.prompt.render import Renderer, Row, make_renderer
from llm_summ.prompt.template import Template, load_template

__all__ = ["Renderer", "Row", "Template", "load_template", "make_renderer"]
