"""Jinja's sandbox for templates, with deterministic output.

Random built-ins (`lipsum`, the filter `random`) are removed, and values whose text contains an object's address
are refused, so that generation uses exactly the prompt of the training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jinja2
from jinja2 import StrictUndefined, TemplateAssertionError, TemplateError, Undefined, meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["FAULTS", "compile_source", "used_names"]

FAULTS = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(RuntimeError, SyntaxError, MemoryError),
)
"""The errors of compiling or rendering a template. An expression can fail like any Python expression
(``{{ topic + 1 }}``). Too deeply nested loops raise SyntaxError, and a macro that calls itself RecursionError."""

_GLOBALS = ("dict", "namespace", "range")
"""The functions that a template may call."""

_MOST_ITEMS = 1_000_000
_LARGEST_EXPONENT = 64


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with limits on `*` and `**` so that they cannot fill the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for items, times in ((left, right), (right, left)):
                repeats = isinstance(items, str | list | tuple) and isinstance(times, int)
                if repeats and len(items) * times > _MOST_ITEMS:
                    raise OverflowError(f"* makes more than {_MOST_ITEMS:,} characters or items")
        elif isinstance(right, int) and right > _LARGEST_EXPONENT:
            raise OverflowError(f"** with more than {_LARGEST_EXPONENT}")
        return super().call_binop(context, operator, left, right)


def _to_write(value: Any) -> Any:
    """Return an expression's value, unless its text would contain the address of an object."""
    if not isinstance(value, Undefined) and (callable(value) or isinstance(value, Iterator)):
        raise TypeError(f"found a {type(value).__name__}, expected a text; add | join, or () to call it")
    return value


def _make_environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_to_write)
    environment.globals = {name: environment.globals[name] for name in _GLOBALS}
    del environment.filters["random"]
    return environment


_ENVIRONMENT = _make_environment()


def compile_source(source: str) -> jinja2.Template:
    """Compile Jinja source.

    Raises:
        TemplateSyntaxError: the source is invalid, or uses a filter or test that does not exist.
        RecursionError: one of `FAULTS`; the source is nested too deeply.
    """
    # Jinja itself accepts an unknown filter inside a condition.
    for node in _ENVIRONMENT.parse(source).find_all((nodes.Filter, nodes.Test)):
        known = _ENVIRONMENT.filters if isinstance(node, nodes.Filter) else _ENVIRONMENT.tests
        if node.name not in known:
            raise TemplateAssertionError(f"No {type(node).__name__.lower()} named {node.name!r}.", node.lineno)
    return _ENVIRONMENT.from_string(source)


def used_names(source: str) -> set[str]:
    """Return the variables that a section uses without defining them."""
    return meta.find_undeclared_variables(_ENVIRONMENT.parse(source)) - set(_GLOBALS)
