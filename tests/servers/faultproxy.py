"""A TCP proxy that misbehaves on request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from tests.servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

#: ``up`` is what the client sends, ``down`` what the server answers.
Direction = Literal["up", "down"]

#: Closing such a socket sends a reset and no end of stream.
_RESET: Final = struct.pack("ii", 1, 0)


class FaultProxy:
    """Stands between a client and a server on 127.0.0.1 and fails as networks do.

    One event loop in one thread owns every socket, so a fault is in force when the method that
    asks for it returns. :meth:`heal` ends whatever was asked for.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = free_port()
        self._delay = 0.0
        self._budget: dict[Direction, int | None] = {"up": None, "down": None}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}")
        self._thread.daemon = True
        self._thread.start()
        self.heal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def through(self, url: str) -> str:
        """Return the URL of a server as seen through this proxy."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    def connections(self) -> int:
        """Return how many connections run through it."""

        async def count() -> int:
            return len(self._links)

        return self._do(count())

    def heal(self) -> None:
        """Pass everything on, at once."""

        async def heal() -> None:
            self._delay = 0.0
            self._budget = {"up": None, "down": None}
            self._flowing.set()
            if self._server is None:
                self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

        self._do(heal())

    def blackhole(self) -> None:
        """Accept connections and bytes but pass nothing on, as behind a dead router."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        self._settle()

    def refuse(self) -> None:
        """Refuse new connections, as a port where nothing listens. Those that exist live on."""
        self._loop.call_soon_threadsafe(self._stop_listening)
        self._settle()

    def reset_all(self) -> None:
        """Reset every connection on both sides. New ones are accepted."""
        self._loop.call_soon_threadsafe(self._reset_links)
        self._settle()

    def delay(self, seconds: float) -> None:
        """Hold every piece of data back for this long."""
        self._loop.call_soon_threadsafe(setattr, self, "_delay", seconds)
        self._settle()

    def cut_after(self, size: int, direction: Direction = "up") -> None:
        """Let ``size`` more bytes pass this way, over all connections, then cut the one at hand.

        Those bytes arrive; after them comes the end of the stream, and the sender is reset. With
        ``down`` a confirmation gets lost: the server has it all, the client never hears. It
        happens once.
        """
        self._loop.call_soon_threadsafe(self._budget.__setitem__, direction, size)
        self._settle()

    def close(self) -> None:
        """Reset what is open and end the thread."""

        async def close() -> None:
            self._stop_listening()
            self._reset_links()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _settle(self) -> None:
        """Return after the loop has done what it was asked to, and closed what that aborted."""
        self._do(asyncio.sleep(0))

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _reset_links(self) -> None:
        for link in self._links:
            link.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            _reset(writer)
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, "up", link),
                self._pump(far_reader, writer, "down", link),
            )
        finally:
            self._links.discard(link)
            link.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        link: _Link,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self._delay)
                await self._flowing.wait()
                budget = self._budget[direction]
                passed = data if budget is None else data[:budget]
                writer.write(passed)
                await writer.drain()
                if budget is None:
                    continue
                if len(passed) < len(data):
                    self._budget[direction] = None
                    writer.close()  # sends what it still has
                    link.reset()
                    return
                self._budget[direction] = budget - len(passed)
            if not writer.is_closing():
                writer.write_eof()


class _Link:
    """The two halves of one connection."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.halves = (near, far)

    def reset(self) -> None:
        for writer in self.halves:
            _reset(writer)

    def close(self) -> None:
        for writer in self.halves:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
