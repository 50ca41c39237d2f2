"""Sends with requests: the body of the blocking client."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Final, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ReadTimeoutError

from bentotask.client._link import BaseLink, Done, Wire, advance, mapped
from bentotask.dialect import Flow, Pause, Response
from bentotask.errors import RequestTimeout, ServerUnreachable, TransportError

T = TypeVar("T")

#: What requests' errors are called here; :func:`_kind` tells more of ``ConnectionError``.
WALL: Final[Mapping[type[BaseException], type[TransportError]]] = {
    requests.exceptions.RequestException: TransportError,
    requests.exceptions.ConnectionError: TransportError,
    # Nothing was sent.
    requests.exceptions.ConnectTimeout: ServerUnreachable,
    requests.exceptions.ProxyError: ServerUnreachable,
    requests.exceptions.SSLError: ServerUnreachable,
    requests.exceptions.URLRequired: ServerUnreachable,
    requests.exceptions.MissingSchema: ServerUnreachable,
    requests.exceptions.InvalidSchema: ServerUnreachable,
    requests.exceptions.InvalidURL: ServerUnreachable,
    requests.exceptions.InvalidHeader: ServerUnreachable,
    # No answer in time.
    requests.exceptions.Timeout: RequestTimeout,
    # The answer could not be read to its end.
    requests.exceptions.HTTPError: TransportError,
    requests.exceptions.TooManyRedirects: TransportError,
    requests.exceptions.ChunkedEncodingError: TransportError,
    requests.exceptions.ContentDecodingError: TransportError,
    requests.exceptions.StreamConsumedError: TransportError,
    requests.exceptions.RetryError: TransportError,
    requests.exceptions.UnrewindableBodyError: TransportError,
    requests.exceptions.InvalidJSONError: TransportError,
}

#: Connections kept open for threads that share a client, and for ``map``.
_POOL: Final = 64

_NEVER: Final = threading.Event()


class SyncLink(BaseLink):
    """The blocking way to one server. Threads may share it, and both sides of a fork."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float | None,
        server_ready_timeout: float | None,
    ) -> None:
        super().__init__(url, token, timeout, server_ready_timeout)
        # By process: two processes that write to one connection read each other's answers.
        self._sessions: dict[int, requests.Session] = {}

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if session := self._sessions.pop(os.getpid(), None):
            session.close()

    def run(self, flow: Flow[T], halt: threading.Event = _NEVER) -> T:
        """Drive ``flow`` to its end, or until ``halt`` is set."""
        answer: Response | TransportError | None = None
        while not isinstance(step := advance(flow, answer), Done):
            if halt.is_set():
                raise CancelledError
            if isinstance(step, Pause):
                halt.wait(step.seconds)
                answer = None
            else:
                answer = self._answer(self.wire(step))
        return step.value

    def _answer(self, wire: Wire) -> Response | TransportError:
        try:
            return self._sent(wire)
        except requests.exceptions.RequestException as exc:
            failure = self.failure(_kind(exc), wire, exc)
            failure.__cause__ = exc
            return failure

    def _sent(self, wire: Wire) -> Response:
        response = self._session().request(
            wire.method,
            wire.url,
            headers=wire.headers,
            data=wire.content,
            timeout=wire.timeout,
            # Followed, a POST may come out as a GET, and the token somewhere else.
            allow_redirects=False,
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, response.content)

    def _session(self) -> requests.Session:
        pid = os.getpid()
        if pid not in self._sessions:
            self._sessions.setdefault(pid, _new_session())
        return self._sessions[pid]


def _new_session() -> requests.Session:
    session = requests.Session()
    # An auth of its own, even one that does nothing, keeps ~/.netrc from replacing the token.
    session.auth = lambda request: request
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_POOL))
    return session


def _kind(error: requests.exceptions.RequestException) -> type[TransportError]:
    """Tell what kind of failure it is; ``ConnectionError`` alone may be any of the three."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, ReadTimeoutError):
        return RequestTimeout
    if type(error) is requests.exceptions.ConnectionError and isinstance(cause, MaxRetryError):
        # requests itself never retries, so this is the first attempt to connect.
        return ServerUnreachable
    return mapped(WALL, error)
