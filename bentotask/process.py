"""Child processes that never outlive this one, and one place where whatever happens is heard."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

#: Linux's prctl(2); elsewhere a killed parent leaves its children to end by themselves.
_PRCTL: Final = getattr(ctypes.CDLL(None), "prctl", None)
_PR_SET_PDEATHSIG: Final = 1

#: Which signals ask to stop. A terminal that is closed sends the first.
STOP: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent``, its parent, dies in whatever way.

    The kernel counts the death of the *thread* that forked, so only a main thread may start us.
    What our children fork is their own affair: Celery's pool asks for the same, and gunicorn's
    workers look for their parent every second.
    """
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


class Child:
    """A command in a process group of its own: a Ctrl-C at the terminal reaches its parent alone.

    Args:
        name: what it is called when it is told of.
        argv: the command.
        env: its whole environment.
        pass_fds: the file descriptors that it inherits.
        output: the file that takes what it says; ``None`` for the parent's own output.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        output: Path | None = None,
    ) -> None:
        self.name = name
        parent = os.getpid()
        with contextlib.ExitStack() as files:
            log = None if output is None else files.enter_context(output.open("wb"))
            self._popen = subprocess.Popen(  # noqa: S603 - our own words, no shell
                argv,
                env=env,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - two system calls, no lock
            )

    def __repr__(self) -> str:
        return f"<{self.name} (process {self.pid})>"

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        code = self._popen.returncode
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    @property
    def exit_code(self) -> int:
        """What a shell would call its ending."""
        code = self._popen.returncode
        return 128 - code if code < 0 else code

    def terminate(self) -> None:
        """Ask it to end."""
        self._popen.terminate()

    def kill(self) -> None:
        """End it and its whole group at once."""
        # Also when it has ended: its own children may still be there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


class Bell:
    """Where a process with children sleeps until something happens.

    Signals ring it, and so may other threads; nothing runs inside of a signal's handler. Lives as
    long as its ``with`` block, on the main thread.
    """

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {}
        for number in (*STOP, signal.SIGCHLD):
            # What nohup has switched off stays off.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    def ring(self, number: int) -> None:
        """Wake the sleeper and tell it ``number``; from any thread."""
        with contextlib.suppress(OSError):
            os.write(self._write, bytes([number]))

    def wait(self, seconds: float) -> bytes:
        """Return the numbers that were rung, after at most ``seconds``."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        return os.read(self._read, 4096) if ready else b""

    def stop_asked(self, seconds: float) -> bool:
        """Wait for what happens next and tell whether it is a request to stop."""
        return any(number in STOP for number in self.wait(seconds))

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for ``condition`` and tell whether it came within ``seconds``.

        A request to stop ends the wait too, and is heard again after it.
        """
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self.stop_asked(min(left, 1.0)):
                self.ring(signal.SIGTERM)
                return condition()
        return True
