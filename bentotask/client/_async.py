"""Sends with httpx: the body of the client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import ClassVar, Final, Self, TypeVar

import httpx

from bentotask.client._link import BaseLink, Done, Wire, advance, mapped
from bentotask.dialect import Flow, Pause, Response
from bentotask.errors import RequestTimeout, ServerUnreachable, TransportError

T = TypeVar("T")

#: What httpx's errors are called here.
WALL: Final[Mapping[type[BaseException], type[TransportError]]] = {
    httpx.HTTPError: TransportError,
    # Nothing was sent.
    httpx.ConnectError: ServerUnreachable,
    httpx.ConnectTimeout: ServerUnreachable,
    httpx.ProxyError: ServerUnreachable,
    httpx.UnsupportedProtocol: ServerUnreachable,
    httpx.LocalProtocolError: ServerUnreachable,
    httpx.InvalidURL: ServerUnreachable,
    # No answer in time.
    httpx.TimeoutException: RequestTimeout,
    # The answer could not be read to its end.
    httpx.NetworkError: TransportError,
    httpx.RemoteProtocolError: TransportError,
    httpx.DecodingError: TransportError,
    httpx.TooManyRedirects: TransportError,
    httpx.HTTPStatusError: TransportError,
    httpx.StreamError: TransportError,
    httpx.CookieConflict: TransportError,
}
_FOREIGN: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)


#: Connections at a time (further requests wait in line), and how many of them are kept open.
_POOL: Final = httpx.Limits(max_connections=100, max_keepalive_connections=64)


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes longer than many a request, so it is done once a process.
    return httpx.create_ssl_context()


class Connection:
    """One httpx client and the event loop it belongs to; closed with that loop at the latest.

    An event loop closes its asynchronous generators before it ends (``asyncio.run`` sees to it),
    and so one of them can close what its loop must not leave open.
    """

    #: Every open one; held here because a generator that is garbage is closed too late.
    _OPEN: ClassVar[set[Connection]] = set()

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.http = httpx.AsyncClient(verify=_tls(), limits=_POOL)
        self._keeper = self._keep()

    @classmethod
    async def open(cls) -> Self:
        """Open one for the running loop."""
        for stale in [one for one in cls._OPEN if one.loop.is_closed()]:
            cls._OPEN.discard(stale)
        connection = cls()
        # Begun, the generator is the loop's to close. Nothing is awaited in it, so no other
        # coroutine runs in between.
        await anext(connection._keeper)
        cls._OPEN.add(connection)
        return connection

    @classmethod
    def opened(cls) -> int:
        """How many are open, of every client and every loop."""
        return len(cls._OPEN)

    async def _keep(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._OPEN.discard(self)
            await self.http.aclose()

    async def close(self) -> None:
        """Close it, on its own loop."""
        await self._keeper.aclose()

    def release(self) -> None:
        """Close it soon, from anywhere: from another thread, or while garbage is collected."""
        if self.loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):  # it closed just now
            self.loop.call_soon_threadsafe(self._close_here)

    def _close_here(self) -> None:
        # Kept, because a loop holds its tasks only weakly.
        self._closing = self.loop.create_task(self.close())


def _release_all(connections: dict[int, Connection]) -> None:
    for connection in connections.values():
        connection.release()


class AsyncLink(BaseLink):
    """The way to one server for asyncio, with connections of its own for each event loop."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float | None,
        server_ready_timeout: float | None,
    ) -> None:
        super().__init__(url, token, timeout, server_ready_timeout)
        # By the loop's id.
        self._connections: dict[int, Connection] = {}
        weakref.finalize(self, _release_all, self._connections).atexit = False

    async def close(self) -> None:
        """Close this loop's connections; a later request opens new ones."""
        if connection := self._connections.pop(id(asyncio.get_running_loop()), None):
            await connection.close()

    async def run(self, flow: Flow[T]) -> T:
        """Drive ``flow`` to its end."""
        answer: Response | TransportError | None = None
        while not isinstance(step := advance(flow, answer), Done):
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await self._answer(self.wire(step))
        return step.value

    async def _answer(self, wire: Wire) -> Response | TransportError:
        try:
            return await self._sent(wire)
        except _FOREIGN as exc:
            failure = self.failure(mapped(WALL, exc), wire, exc)
            failure.__cause__ = exc
            return failure

    async def _sent(self, wire: Wire) -> Response:
        connection = await self._connection()
        response = await connection.http.request(
            wire.method,
            wire.url,
            headers=wire.headers,
            content=wire.content,
            # Waiting in line for one of the connections is not the server's silence.
            timeout=httpx.Timeout(wire.timeout, pool=None),
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, response.content)

    async def _connection(self) -> Connection:
        """Return the running loop's connection."""
        loop = asyncio.get_running_loop()
        connection = self._connections.get(id(loop))
        # A loop that is gone may have left its id to this one.
        if connection is None or connection.loop is not loop or connection.http.is_closed:
            connection = self._connections[id(loop)] = await Connection.open()
        return connection
