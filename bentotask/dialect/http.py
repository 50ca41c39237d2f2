"""A request and a response as values, and a conversation as a generator of them."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from bentotask.codec import Body

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What a client asks. It never holds a token: the client adds that as it sends."""

    #: ``GET``, ``POST`` or ``PUT``
    method: str
    #: the path below the server's URL, with a leading slash
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    #: ``None`` sends no body at all
    body: Body | None = None
    #: seconds without an answer before giving up, ``None`` for the client's own limit
    timeout: float | None = None
    #: seconds that the server is asked to hold its answer, which come on top of that limit
    hold: float = 0.0


@dataclass(frozen=True)
class Response:
    """What a server answered, read to the end."""

    status: int
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success (2xx); a task may choose which."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Decode the body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body)


@dataclass(frozen=True)
class Pause:
    """A step of a flow in which nothing is sent."""

    #: how long to do nothing
    seconds: float


#: A conversation without I/O. It yields a :class:`Request` and is sent its :class:`Response`, or
#: yields a :class:`Pause` and is sent ``None``; where no answer came, the ``TransportError`` is
#: thrown in. Whoever drives it does the sending and the sleeping. Its return value is the outcome.
#: (What is sent is typed ``Any`` because the type depends on what was yielded.)
Flow: TypeAlias = Generator[Request | Pause, Any, T]
