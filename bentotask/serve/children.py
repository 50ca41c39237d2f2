"""The two processes of a service: how each is started, and how it is known to be ready."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

from bentotask.errors import ConfigurationError
from bentotask.process import Child
from bentotask.worker.ready import READY

#: Threads of the web process. One that waits for a task's result costs little more than memory.
WEB_THREADS: Final = 32
#: Seconds that the web may take to finish its requests, beyond the longest direct call.
_DRAIN: Final = 30.0
#: What "every address" means to a client on this machine.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound


def python() -> list[str]:
    """Return the words that run a module with this Python.

    ``-P``: no file of the user's working directory takes the place of a module on the way.
    """
    return [sys.executable, "-P", "-m"]


def web_command(target: str, *options: str) -> list[str]:
    """Return the command that serves a service's HTTP, with options of gunicorn's."""
    return [*python(), "gunicorn", *options, f"bentotask.serve:wsgi({target!r})"]


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; it stays the same through every reload.

    Raises:
        ConfigurationError: that is not possible; tells why.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server((host, address[1]), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {_reason(error)}; choose another with --host "
            "or --port"
        ) from None


def _reason(error: OSError | OverflowError) -> str:
    number = getattr(error, "errno", None) or 0
    # The resolver's numbers are negative, and its words its own.
    return os.strerror(number) if number > 0 else str(error.args[-1])


class WebProcess:
    """gunicorn, on a socket that is open already.

    Args:
        target: ``MODULE:SERVICE``.
        listener: the socket.
        env: its environment.
        call_timeout: seconds that a request may take.
    """

    def __init__(
        self, target: str, listener: socket.socket, env: Mapping[str, str], call_timeout: float
    ) -> None:
        host, self._port = listener.getsockname()[:2]
        self._host = _EVERYWHERE.get(host, host)
        descriptor = listener.fileno()
        command = web_command(
            target,
            *("--bind", f"fd://{descriptor}"),
            *("--worker-class", "gthread", "--threads", str(WEB_THREADS)),
            *("--graceful-timeout", str(int(_DRAIN + call_timeout)), "--log-level", "warning"),
        )
        self.child = Child("web", command, env=env, pass_fds=[descriptor])

    @property
    def url(self) -> str:
        """Where it is found from this machine."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def ready(self) -> bool:
        """Ask whether it can accept tasks."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing is held here: the socket is lent."""


class WorkerProcess:
    """Celery, which tells through a pipe how far it has come.

    Args:
        target: ``MODULE:SERVICE``.
        slots: how many tasks run at once, ``None`` for what the service says.
        env: its environment.
    """

    def __init__(self, target: str, slots: int | None, env: Mapping[str, str]) -> None:
        self._steps: set[int] = set()
        self._pipe, end = os.pipe()
        os.set_blocking(self._pipe, False)
        # Two workers of one name do not get along, and a second serve may use the same broker.
        # A greeting of the neighbours would cost a second and brings nothing: claims decide.
        options = ["--hostname", f"serve-{os.getpid()}@%h", "--loglevel", "INFO"]
        options += ["--without-mingle", "--without-gossip"]
        if slots is not None:
            options += ["--concurrency", str(slots)]
        command = [*python(), "bentotask", "worker", "--supervised", str(end), target, *options]
        self.child = Child("worker", command, env=env, pass_fds=[end])
        os.close(end)

    def ready(self) -> bool:
        """Whether it takes messages and has an instance to run them on."""
        with contextlib.suppress(BlockingIOError):
            self._steps.update(os.read(self._pipe, 4096))
        return self._steps >= READY

    def close(self) -> None:
        """Listen no longer."""
        os.close(self._pipe)
