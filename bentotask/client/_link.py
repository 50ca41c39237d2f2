"""The way to one server, as both clients think of it. Nothing here sends."""

from __future__ import annotations

import base64
import errno
import functools
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import SplitResult, unquote, urlencode, urlsplit, urlunsplit

from bentotask.client import _flows
from bentotask.client._endpoints import EndpointSchema
from bentotask.client._multipart import wire_body
from bentotask.codec.problems import did_you_mean
from bentotask.dialect import Flow, Pause, Request, Response
from bentotask.errors import (
    ConfigurationError,
    RequestTimeout,
    ServerUnreachable,
    TransportError,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Wire:
    """A request as it is sent. The headers hold the token, so this is never shown."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    #: seconds, ``None`` for no limit
    timeout: float | None

    def __repr__(self) -> str:
        return f"<{self.method} {self.url}>"


@dataclass(frozen=True)
class Done(Generic[T]):
    """A flow's end and its outcome."""

    value: T


def advance(flow: Flow[T], answer: Response | TransportError | None) -> Request | Pause | Done[T]:
    """Take one step of ``flow``: tell it the answer, return what it wants next."""
    try:
        if isinstance(answer, TransportError):
            return flow.throw(answer)
        return flow.send(answer)
    except StopIteration as end:
        return Done(end.value)


class BaseLink:
    """A client's way to one server: its URL, the token, and the endpoints once they are known.

    The arguments are the client's. A subclass sends: it has ``run(flow)`` and ``close()``.

    Raises:
        ConfigurationError: the URL or the token cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float | None,
        server_ready_timeout: float | None,
    ) -> None:
        self._root, self.shown, credentials = _split(url)
        self._headers = {"User-Agent": _user_agent()}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {_clean(token)}"
        elif credentials is not None:
            self._headers["Authorization"] = f"Basic {credentials}"
        self._timeout = timeout
        self._ready_timeout = server_ready_timeout
        self.schema: dict[str, EndpointSchema] | None = None

    # The schema is fetched by the first who needs it. Two at once fetch it twice, to the same end.

    def described(self) -> Flow[dict[str, EndpointSchema]]:
        """Return the endpoints by name, from the server the first time."""
        if self.schema is None:
            if self._ready_timeout is not None:
                yield from _flows.until_ready(self.shown, self._ready_timeout)
            self.schema = yield from _flows.fetch_schema()
        return self.schema

    def found(self, name: str) -> Flow[EndpointSchema]:
        """Return one endpoint.

        Raises:
            AttributeError: the service has none of this name.
        """
        endpoints = yield from self.described()
        if name not in endpoints:
            raise self._unknown(name, endpoints)
        return endpoints[name]

    def check(self, name: str) -> None:
        """Tell at once that an endpoint does not exist, where the endpoints are known already.

        Raises:
            AttributeError: the service has none of this name.
        """
        if self.schema is not None and name not in self.schema:
            raise self._unknown(name, self.schema)

    def _unknown(self, name: str, endpoints: Mapping[str, EndpointSchema]) -> AttributeError:
        hint = did_you_mean(name, endpoints)
        return AttributeError(f"the service at {self.shown} has no endpoint {name!r}{hint}")

    def wire(self, request: Request) -> Wire:
        """Make ``request`` ready to send."""
        headers = {**self._headers, **request.headers}
        content = None
        if request.body is not None:
            headers["Content-Type"], content = wire_body(request.body)
        query = f"?{urlencode(request.query)}" if request.query else ""
        timeout = self._timeout if request.timeout is None else request.timeout
        return Wire(
            request.method,
            f"{self._root}{request.path}{query}",
            headers,
            content,
            None if timeout is None else timeout + request.hold,
        )

    def failure(
        self, kind: type[TransportError], wire: Wire, cause: BaseException
    ) -> TransportError:
        """Tell that no answer came: where, why, and what to do about it."""
        where = wire.url.replace(self._root, self.shown, 1)
        if kind is ServerUnreachable:
            return kind(
                f"cannot reach {where}: {_reason(cause)}; is the server running, and at this URL?"
            )
        if kind is RequestTimeout:
            return kind(
                f"no answer from {where} within {wire.timeout} s; the server may still be at "
                "work on it: give the client a longer timeout=, or submit() instead of calling"
            )
        return kind(
            f"the exchange with {where} broke off: {_reason(cause)}; whether the server acted on "
            "it is not known"
        )


def mapped(
    wall: Mapping[type[BaseException], type[TransportError]], error: BaseException
) -> type[TransportError]:
    """Return what a foreign error is called here: the entry nearest in its family tree."""
    return next((wall[kind] for kind in type(error).__mro__ if kind in wall), TransportError)


def _split(url: str) -> tuple[str, str, str | None]:
    """Return the URL without credentials, the one to show, and the credentials in Base64."""
    if (parts := _parts(url.strip())) is None:
        raise ConfigurationError(
            f"{_masked(url)!r} is not the URL of a service; one looks like http://localhost:3000"
        )
    path = parts.path.rstrip("/")
    host = parts.netloc.rpartition("@")[2]
    root = urlunsplit((parts.scheme, host, path, "", ""))
    if parts.username is None:
        return root, root, None
    user, password = unquote(parts.username), unquote(parts.password or "")
    shown = urlunsplit((parts.scheme, f"{parts.username}:***@{host}", path, "", ""))
    return root, shown, base64.b64encode(f"{user}:{password}".encode()).decode()


def _parts(url: str) -> SplitResult | None:
    """Take an absolute HTTP URL apart, ``None`` when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check: a port must be a number, and a possible one
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


def _masked(url: str) -> str:
    """Hide whatever stands before an ``@``: of a broken URL, nobody knows which part is secret."""
    return f"***@{url.rpartition('@')[2]}" if "@" in url else url


def _clean(token: str) -> str:
    """Return the token without the line break that a file leaves; never show it."""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise ConfigurationError(
            "the token is empty, or holds characters that a header cannot carry"
        )
    return token


@functools.cache
def _user_agent() -> str:
    return f"bentotask/{importlib.metadata.version('bentotask')}"


def _reason(error: BaseException) -> str:
    """Find the operating system's own words at the bottom of a library's chain of errors."""
    words = [_words(exc) for exc in _chain(error) if isinstance(exc, OSError)]
    return next(filter(None, reversed(words)), None) or str(error) or type(error).__name__


def _words(error: OSError) -> str | None:
    # asyncio puts words of its own in place of the system's; those of the resolver (gaierror,
    # whose numbers are negative) are only in the error itself.
    number = error.errno or 0
    return os.strerror(number) if number in errno.errorcode else error.strerror


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
