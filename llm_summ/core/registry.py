"""Registries: things with a name, such as engines, of this package and of others.

The package's own are known from the start. Another package declares an entry point of the registry's group. These
are searched when a name is unknown, or when all are listed. A program calls `register`, which adds an entry to its
own process only. Code is named by a path ``module:name``, and `load_late` imports it when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib import metadata
from typing import Any, Generic, Protocol, TypeVar

from llm_summ.core.errors import InputError, first_line
from llm_summ.core.formatting import did_you_mean

__all__ = ["Named", "Registry", "load_late"]


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name, by which it is found."""


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Things of one kind by their names.

    Args:
        kind: the word for them in messages, such as ``engine``.
        group: of the entry points, such as ``llm_summ.engines``.
        entries: their type, which is checked; a protocol must be one that can be checked at runtime.
        built_in: the package's own, in the order in which they are listed.
        reserved: further names that are valid, and name no entry.
        error: the class of error if an entry point cannot be used.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        entries: Any,
        built_in: Iterable[T],
        *,
        reserved: tuple[str, ...] = (),
        error: type[InputError] = InputError,
    ) -> None:
        self.group = group
        self.built_in = tuple(built_in)
        self._kind, self._entries, self._reserved, self._error = kind, entries, reserved, error
        self._registered: dict[str, T] = {entry.name: entry for entry in self.built_in}
        self._searched = False

    def register(self, entry: T) -> None:
        """Make an entry known to this process.

        Raises:
            ValueError: it is of another type, its name is taken, or its name cannot be part of a file's name.
        """
        if not isinstance(entry, self._entries):
            raise ValueError(f"{self._kind}: found {entry!r}, expected {self._expected}")
        kind, name = self._kind, entry.name
        if name in self._reserved or self._registered.get(name, entry) != entry:
            raise ValueError(f"{kind} {name}: there is another {kind} of this name; choose another name")
        if not name.isidentifier():
            raise ValueError(f"{kind} {name!r}: expected letters, digits and '_', as in file names")
        self._registered[name] = entry

    def all(self) -> list[T]:
        """Return all entries: the package's own, those of other packages, and those that were registered.

        Raises:
            InputError: an entry point cannot be imported, or is of another type.
        """
        if not self._searched:
            for point in metadata.entry_points(group=self.group):
                try:
                    self.register(point.load())
                except Exception as error:
                    found = first_line(error)
                    expected = "" if self._expected in found else f", expected {self._expected}"
                    raise self._error(
                        f"entry point {point.name} of {self.group}: {found}{expected}; remove or repair the "
                        "package that declares it"
                    ) from error
            self._searched = True
        return list(self._registered.values())

    def names(self) -> list[str]:
        """Return all valid names, the reserved ones first."""
        return [*self._reserved, *(entry.name for entry in self.all())]

    def has(self, name: str) -> bool:
        """Return whether a name is valid; entry points are searched only if it is not known yet."""
        return name in self._reserved or name in self._registered or name in self.names()

    def check(self, name: str) -> str:
        """Return a name, if it is valid.

        Raises:
            ValueError: it is not; the message lists the valid ones.
        """
        if self.has(name):
            return name
        names = self.names()
        if not names:
            raise ValueError(
                f"found {name!r}, and no installed package has a {self._kind}; install one or leave it out"
            )
        shown = [repr(known) for known in names]
        expected = " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
        hint = did_you_mean(name, names)
        raise ValueError(f"found {name!r}, expected {expected}{hint and f'; {hint}'}")

    def get(self, name: str) -> T:
        """Return the entry of a name that is not reserved.

        Raises:
            ValueError: there is none.
        """
        return self._registered[self.check(name)]

    @property
    def _expected(self) -> str:
        name = self._entries.__name__
        return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def load_late(path: str, where: str, expected: str, error: type[InputError] = InputError) -> Any:
    """Import and return what a path names.

    Args:
        path: ``module:name``.
        where: what names the path, for an error.
        expected: what the path should name, for an error.
        error: the class of the error.

    Raises:
        InputError: of the class `error`: the module or the name does not exist.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as caught:
        raise error(f"{where}: cannot load {path} ({first_line(caught)}); expected module:{expected}") from caught
