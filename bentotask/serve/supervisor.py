"""Starts web and worker, watches them and the embedded server, and ends them together."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Final

from bentotask.embedded import EmbeddedServer
from bentotask.process import STOP, Bell, Child
from bentotask.serve.children import WebProcess, WorkerProcess
from bentotask.serve.reload import CHANGED

#: Seconds that the rest may take to end after one has died.
GRACE: Final = 10.0
#: Seconds that both may take to end for a reload; an interrupted task runs again.
RELOAD_GRACE: Final = 5.0
#: Seconds between two looks while something is about to become ready, and after that.
_LOOK: Final = 0.1
_GLANCE: Final = 1.0

Say = Callable[[str], None]


class Supervisor:
    """One service's processes; nothing of them is left when :meth:`run` returns.

    Args:
        start: starts web and worker.
        name: the service's name.
        embedded: the server that they use, if it is ours to watch.
        listener: where the web listens.
        patient: whether a death is waited out until a file changes.
        bell: what is heard.
        say: tells the user a line.
    """

    def __init__(  # noqa: PLR0913 - one collaborator an argument
        self,
        start: Callable[[], tuple[WebProcess, WorkerProcess]],
        *,
        name: str,
        embedded: EmbeddedServer | None,
        listener: socket.socket,
        patient: bool,
        bell: Bell,
        say: Say,
    ) -> None:
        self._start_both = start
        self._name = name
        self._embedded = embedded
        self._listener = listener
        self._patient = patient
        self._bell = bell
        self._say = say
        #: web and worker, in the order in which they drain; none while a change is waited for
        self._parts: tuple[WebProcess | WorkerProcess, ...] = ()
        self._told_ready = False

    def run(self) -> int:
        """Serve until asked to stop or until a process dies; return the exit code."""
        try:
            self._start()
            while True:
                code = self._step()
                if code is not None:
                    return code
        finally:
            self._kill()

    def _step(self) -> int | None:
        rung = self._bell.wait(_GLANCE if self._told_ready else _LOOK)
        if any(number in STOP for number in rung):
            return self._drain()
        if CHANGED in rung:
            self._reload()
        if (dead := self._dead()) is not None:
            return self._bury(dead)
        self._tell_when_ready()
        return None

    def _start(self) -> None:
        self._told_ready = False
        if self._embedded is not None:
            # On this server there is no other worker, and none of ours at this moment.
            self._embedded.restore_unacknowledged()
        self._parts = web, _ = self._start_both()
        self._url = web.url

    def _tell_when_ready(self) -> None:
        if not self._told_ready and self._parts and all(part.ready() for part in self._parts):
            self._told_ready = True
            self._say(f"{self._name} is ready at {self._url} (Ctrl-C stops it)")

    def _children(self) -> list[Child]:
        embedded = [] if self._embedded is None else [self._embedded.child]
        return [*embedded, *(part.child for part in self._parts)]

    def _dead(self) -> Child | None:
        return next((child for child in self._children() if not child.alive), None)

    def _bury(self, dead: Child) -> int | None:
        """Tell who died and end the rest; return the exit code, unless a change may help."""
        fatal = not self._patient or (self._embedded is not None and dead is self._embedded.child)
        then = "stopping the rest" if fatal else "waiting for a change"
        self._say(f"the {dead.name} (process {dead.pid}) {dead.ending}; {then}")
        self._stop(GRACE)
        return (dead.exit_code or 1) if fatal else None

    def _reload(self) -> None:
        self._say("a file has changed: reloading")
        self._stop(RELOAD_GRACE)
        self._start()

    def _drain(self) -> int:
        """End in order: the web's requests may need the worker, and the worker its broker."""
        self._say("stopping: requests and running tasks are finished first (Ctrl-C again: at once)")
        self._listener.close()
        for part in self._parts:
            part.child.terminate()
            while part.child.alive:
                if self._bell.stop_asked(_GLANCE):
                    return 128 + signal.SIGINT
                if self._embedded is not None and not self._embedded.child.alive:
                    return self._embedded.child.exit_code or 1
        return 0

    def _stop(self, grace: float) -> None:
        """Ask both to end at once, and end them after ``grace`` seconds."""
        for part in self._parts:
            part.child.terminate()
        self._bell.until(lambda: not any(part.child.alive for part in self._parts), grace)
        self._kill()

    def _kill(self) -> None:
        for part in self._parts:
            part.child.kill()
            part.close()
        self._parts = ()
