"""A real HTTP server that says what a test scripts, and one way to drive both clients."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from bentotask.client import AsyncHTTPClient, SyncHTTPClient

TASK = "4594760f580045beb8963510f50f0d8d"
OTHER = "d414aa2629004754952e76fc613d3ffd"


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to answer; anything but bytes is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[dict[str, str], bytes]:
        if isinstance(self.body, bytes):
            return dict(self.headers), self.body
        return {"Content-Type": "application/json", **self.headers}, json.dumps(self.body).encode()


class Hangup(Exception):
    """Scripted in place of an answer: close the connection without a word."""


Line = Answer | Hangup | Callable[[Seen], Answer]


def endpoint(name: str, *, is_task: bool = True, **properties: Any) -> dict[str, Any]:
    """Describe an endpoint; a property with a ``default`` is optional."""
    required = [key for key, value in properties.items() if "default" not in value]
    return {
        "name": name,
        "route": f"/{name}",
        "input": {"type": "object", "properties": properties, "required": required},
        "output": {"type": "object", "additionalProperties": True},
        "is_task": is_task,
    }


SCHEMA = {
    "name": "Svc",
    "type": "service",
    "routes": [
        endpoint("echo", prompt={"type": "string"}, steps={"type": "integer", "default": 20}),
        endpoint("quick_info", is_task=False),
        endpoint("close"),
    ],
}


class Server:
    """Answers each request with the next line of its script; the last line repeats."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._script: dict[tuple[str, str], list[Line]] = defaultdict(list)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.on("GET", "/schema.json", Answer(200, SCHEMA))
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._http.sockets = self._sockets
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @property
    def connections(self) -> int:
        """How many connections were ever made."""
        return len(self._sockets)

    def on(self, method: str, path: str, *lines: Line) -> None:
        self._script[method, path] = list(lines)

    def script(self, method: str, path: str) -> list[Line]:
        """Return what is left of the script for one path."""
        return self._script[method, path]

    def asked(self, path: str) -> list[Seen]:
        """Return the requests to one path."""
        return [seen for seen in self.seen if seen.path == path]

    def line(self, seen: Seen) -> Answer:
        with self._lock:
            self.seen.append(seen)
            script = self._script.get((seen.method, seen.path), [])
            line = script.pop(0) if len(script) > 1 else next(iter(script), None)
        match line:
            case None:
                return Answer(404, {"error": f"nothing at {seen.method} {seen.path}"})
            case Hangup():
                raise line
            case Answer():
                return line
        return line(seen)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            thread.join()
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128
    sockets: list[socket.socket]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.sockets.append(request)
        super().process_request(request, client_address)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            try:
                answer = server.line(self.read())
            except Hangup:
                self.close_connection = True
                return
            headers, body = answer.encoded()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def read(self) -> Seen:
            parts = urlsplit(self.path)
            return Seen(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class Sync:
    """Drives the blocking client."""

    name = "sync"

    def __init__(self, url: str, **options: Any) -> None:
        self.client = SyncHTTPClient(url, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def do(self, step: Callable[[Any], Any]) -> Any:
        """Take a step; an iterator is read to its end."""
        outcome = step(self.client)
        return list(outcome) if inspect.isgenerator(outcome) else outcome

    def endpoints(self) -> list[str]:
        return self.client.endpoints


class Async:
    """Drives the client for asyncio, on one event loop."""

    name = "async"

    def __init__(self, url: str, **options: Any) -> None:
        self.client = AsyncHTTPClient(url, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.client.close())
        self._runner.close()

    def do(self, step: Callable[[Any], Any]) -> Any:
        """Take a step and await what it gives; an iterator is read to its end."""

        async def taken() -> Any:
            outcome = step(self.client)
            if inspect.isasyncgen(outcome):
                return [one async for one in outcome]
            return await outcome if inspect.isawaitable(outcome) else outcome

        return self._runner.run(taken())

    def endpoints(self) -> list[str]:
        return self._runner.run(self.client.endpoints())


Driver = Sync | Async
Open = Callable[..., Driver]


def status(word: str, **facts: Any) -> Answer:
    """Answer with a task's status."""
    body = {"task_id": TASK, "status": word, "created_at": "2026-01-02T03:04:05.000000+00:00"}
    return Answer(200, body | facts)
