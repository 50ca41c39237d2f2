"""The values that cross a wire: inert, and the same on both sides of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Parameter name -> JSON-able tree whose leaves may be :class:`Blob`. A root input is
#: ``{parameter: value}`` too. It maps onto the keyword arguments of a Celery message.
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Blob:
    """A binary leaf: bytes with what is known about them."""

    #: the exact bytes
    data: bytes
    #: e.g. ``image/png``, without parameters; ``None`` when nobody said
    media_type: str | None = None
    #: as the sender named it; never trusted as a path
    filename: str | None = None

    def __repr__(self) -> str:
        return f"Blob({len(self.data)} bytes, {self.media_type}, {self.filename!r})"


@dataclass(frozen=True)
class Body:
    """A request's body: ``data`` for JSON or a raw file, ``fields`` for a form."""

    #: lower-case, without parameters; empty when the request named none
    media_type: str
    #: the exact bytes, unless the body is a form
    data: bytes = b""
    #: the parts of a form in their order: text as ``str``, files as :class:`Blob`
    fields: Sequence[tuple[str, str | Blob]] = ()


@dataclass(frozen=True)
class Payload:
    """An encoded result: exactly what ``get`` answers with."""

    #: the exact bytes
    body: bytes
    #: the value of ``Content-Type``, with parameters where it has some
    media_type: str
    #: for ``Content-Disposition``, set when the result is a file
    filename: str | None = None
    #: the HTTP status
    status: int = 200
    #: headers that the task chose
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bare_type(self) -> str:
        """The media type without parameters, lower-case."""
        return self.media_type.partition(";")[0].strip().lower()


def is_plain(document: Document) -> bool:
    """Tell whether no :class:`Blob` is anywhere in ``document``."""
    # A stack, not recursion: a document may be nested as deep as a JSON parser allows.
    stack: list[Any] = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, Blob):
            return False
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list | tuple):
            stack.extend(node)
    return True
