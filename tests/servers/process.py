"""One child process: started, watched, hurt and buried by a test."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

#: Every process of this run carries it in its environment, and so do the children it leaves.
_MARK = "BENTOTASK_TEST_RUN"
_RUN = uuid.uuid4().hex

#: Enough of a log to see the traceback, not so much that it hides the test.
_TAIL = 3000


class NeverHappenedError(AssertionError):
    """What a test waited for did not come; the message ends with what the process last said."""


class Process:
    """A command in a session of its own, so that its whole family can be signalled at once.

    It dies with pytest even when pytest is killed: ``setpriv`` asks the kernel for that
    (``PR_SET_PDEATHSIG``) before it turns into the command, and the pid stays the same. The kernel
    counts the death of the *thread* that started it, so this is asked only on the main thread.

    ``env`` is the whole environment, or ``None`` to inherit. ``user`` starts it as someone else.
    As a context manager it starts at once and is killed at the end, since whatever a graceful
    exit would save is thrown away; whoever wants one calls :meth:`stop` first.
    """

    started: ClassVar[list[Process]] = []

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.argv = [str(word) for word in argv]
        self.log_path = log
        self.env = {**(os.environ if env is None else env), _MARK: _RUN}
        self.cwd = cwd
        self.user = user
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __repr__(self) -> str:
        pid = self._popen.pid if self._popen else "not started"
        return f"<{' '.join(self.argv)} ({pid})>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill_group()

    def start(self) -> Self:
        """Start it, or start it again after its end; the log file keeps growing."""
        if self.alive():
            raise RuntimeError(f"{self!r} already runs")
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                [*self._wrapper(), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        if self not in Process.started:
            Process.started.append(self)
        return self

    @property
    def pid(self) -> int:
        """The pid of the latest start; also that of its session and process group."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit status of the latest start, negative for a signal; ``None`` while it runs."""
        return self._started().poll()

    def alive(self) -> bool:
        """Whether it runs. One that is paused is alive too."""
        return self._popen is not None and self._popen.poll() is None

    def log(self) -> str:
        """All it has said since its latest start, so that a second "ready" is not the first."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def send(self, signum: int) -> None:
        """Signal this one process."""
        self._started().send_signal(signum)

    def send_group(self, signum: int) -> None:
        """Signal it and every child that did not move to a session or group of its own."""
        if not self._pid_reused():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def pause(self) -> None:
        """Freeze the whole group: sockets stay open and nothing answers, as on a hung machine."""
        self.send_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self.send_group(signal.SIGCONT)

    def wait(self, timeout: float = 20) -> int:
        """Wait for its end and return the exit status."""
        try:
            return self._started().wait(timeout)
        except subprocess.TimeoutExpired:
            raise NeverHappenedError(_told(f"the end of {self!r}", timeout, self)) from None

    def stop(self, signum: int = signal.SIGTERM, timeout: float = 20) -> int:
        """Ask it to end and return the exit status; -9 tells that it had to be forced."""
        self.resume()
        self.send(signum)
        with contextlib.suppress(NeverHappenedError):
            self.wait(timeout)
        return self.kill_group()

    def kill(self) -> int:
        """SIGKILL for this process alone: its children learn of it in their own way."""
        self.send(signal.SIGKILL)
        return self.wait()

    def kill_group(self) -> int:
        """SIGKILL for it and its children, as when the machine goes away."""
        self.send_group(signal.SIGKILL)
        return self.wait()

    def _pid_reused(self) -> bool:
        """Whether ours was reaped and a stranger has its pid, which no child of ours keeps busy."""
        return not self.alive() and psutil.pid_exists(self.pid)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self!r} was never started")
        return self._popen

    def _wrapper(self) -> list[str]:
        """Words before the command that change who runs it and what ends it."""
        setpriv = shutil.which("setpriv")
        options: list[str] = []
        if threading.current_thread() is threading.main_thread():
            options += ["--pdeathsig", "KILL"]
        if self.user:
            options += ["--reuid", self.user, "--regid", self.user, "--init-groups"]
        return [setpriv, *options, "--"] if setpriv and options else []


def wait_until(
    condition: Callable[[], T | None],
    timeout: float,
    what: str,
    *,
    process: Process | None = None,
    interval: float = 0.02,
) -> T:
    """Return the first truthy value of ``condition``.

    ``what`` names the awaited thing in the error, and ``process`` is the one that should bring it
    about: its death ends the wait, and the tail of its log ends the error. ``OSError`` from the
    condition means "not yet", for most conditions talk to something that is still starting.
    """
    deadline = time.monotonic() + timeout
    trouble: OSError | None = None
    while True:
        gone = process is not None and not process.alive()  # before the condition: it may have won
        try:
            trouble = None
            if value := condition():
                return value
        except OSError as error:
            trouble = error
        if gone or time.monotonic() > deadline:
            raise NeverHappenedError(_told(what, timeout, process)) from trouble
        time.sleep(interval)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses and no outgoing connection will be given.

    The kernel's own choice (port 0) lies in the range of outgoing connections: a client that keeps
    retrying a killed server could then be given that very port, connect to itself, and hold the
    port when the server wants it back.
    """
    for _ in range(1000):
        port = 10_000 + secrets.randbelow(_first_outgoing_port() - 10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def leftovers() -> dict[int, str]:
    """Return pid and command line of every process of this run that still lives.

    A process is ours by the mark in its environment, which a daemon keeps when it leaves its
    session, or by its session, which a server keeps when it writes its title over its environment.
    """
    sessions = {process.pid for process in Process.started if not process._pid_reused()}
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (
                os.getsid(process.pid) in sessions or process.environ().get(_MARK) == _RUN
            ):
                found[process.pid] = " ".join(process.cmdline())
    return found


def _first_outgoing_port() -> int:
    with contextlib.suppress(OSError, ValueError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        return max(first, 11_000)
    return 32_768


def _told(what: str, timeout: float, process: Process | None) -> str:
    """Say what did not happen, why, and what the process said last."""
    if process is None:
        return f"{what}: not within {timeout} s"
    why = f"not within {timeout} s"
    if not process.alive():
        why = f"{process!r} ended with {process.returncode}"
    return f"{what}: {why}\n--- {process.log_path.name}\n{process.log()[-_TAIL:]}"
