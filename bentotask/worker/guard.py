"""One thread a process that watches its running tasks: limits, requests to stop, progress.

The same on every pool. Celery's own limits do not exist on threads and solo, its ``terminate``
may hit the wrong task, and a progress written by the task itself would slow it down. A task that
ends within the first look costs nothing here.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bentotask.errors import TaskStopped, TaskTimeout, Unavailable
from bentotask.record import Progress
from bentotask.store import Store

logger = logging.getLogger(__name__)

#: Seconds between two looks at the running tasks: progress reaches the store at most this often.
LOOK: Final = 0.5
#: Seconds between two questions to the store whether a task shall stop.
ASK: Final = 1.0
#: Seconds that a task gets to end by itself once it was told to stop.
GRACE: Final = 5.0

#: Ignored by default, so that one that comes late does no harm; unused by Celery and billiard.
_SIGNAL: Final = signal.SIGURG


@dataclass(eq=False, kw_only=True)
class Run:
    """One attempt while it runs."""

    task_id: str
    #: which attempt of the task it is
    attempt: int
    #: seconds it may run, ``None`` for any
    timeout: float | None
    #: called when it does not end within the grace; ends the record, may end the process
    give_up: Callable[[], None]
    thread: int = field(default_factory=threading.get_ident)
    started: float = field(default_factory=time.monotonic)
    #: what the task said last
    last_word: Progress | None = None
    #: the same, until it is written
    unwritten: Progress | None = None
    #: why it shall stop, once it shall
    stop: TaskStopped | None = None
    #: cancels the coroutine that it runs, if it runs one
    cancel: Callable[[], object] | None = None
    ended: bool = False
    asked_at: float = field(default_factory=time.monotonic)
    told_at: float | None = None
    given_up: bool = False

    def tell(self, progress: Progress) -> None:
        """Take what the task says; the guard writes it."""
        self.last_word = self.unwritten = progress


class Guard:
    """Watches the runs of one process; its thread starts with the first and stays.

    Args:
        store: where progress goes and requests to stop come from.
        interrupts: whether a task may be interrupted from outside; under gevent and eventlet one
            thread carries many tasks, so there it cannot.
    """

    def __init__(self, store: Store, *, interrupts: bool = True) -> None:
        self._store = store
        self._interrupts = interrupts
        self._runs: set[Run] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, run: Run) -> Iterator[None]:
        """Watch ``run`` while the body executes, and raise in it what should stop it.

        Whatever the body makes of that, a run that was told to stop ends as stopped.

        Raises:
            TaskStopped: the run was told to stop.
        """
        self._take_in(run)
        try:
            try:
                yield
            finally:
                run.ended = True  # from here on a signal raises nothing any more
        finally:
            try:
                self._let_go(run)
            except TaskStopped:
                self._let_go(run)  # it came from outside and late; there is only one
            if run.stop is not None:
                raise run.stop

    def _take_in(self, run: Run) -> None:
        if self._interrupts and threading.current_thread() is threading.main_thread():
            signal.signal(_SIGNAL, self._on_signal)
        with self._changed:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._watch, name="bentotask-guard", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def _let_go(self, run: Run) -> None:
        with self._changed:
            self._runs.discard(run)
        if run.told_at is not None and run.thread != threading.main_thread().ident:
            # An exception set from outside may still be on its way to this thread.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(run.thread), None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._runs:
                    self._changed.wait()
                runs = list(self._runs)
            time.sleep(LOOK)
            for run in runs:
                try:
                    if not run.ended:
                        self._look_at(run)
                except Exception:
                    # One task's trouble must not leave the others without a guard.
                    logger.exception("task %s: the guard could not look after it", run.task_id)

    def _look_at(self, run: Run) -> None:
        now = time.monotonic()
        if run.stop is None:
            run.stop = self._reason_to_stop(run, now)
        if run.stop is None or run.given_up:
            return
        if run.told_at is None:
            logger.warning("task %s is stopped: %s", run.task_id, _why(run.stop))
            run.told_at = now
            self._interrupt(run)
        elif now - run.told_at > GRACE and not run.ended:
            run.give_up()
            run.given_up = True

    def _reason_to_stop(self, run: Run, now: float) -> TaskStopped | None:
        if run.timeout is not None and now - run.started >= run.timeout:
            return TaskTimeout(f"the attempt ran longer than timeout={run.timeout:g} s")
        progress, run.unwritten = run.unwritten, None
        if progress is None and now - run.asked_at < ASK:
            return None
        run.asked_at = now
        try:
            stop = self._store.report(run.task_id, progress, attempt=run.attempt)
        except Unavailable as error:
            logger.warning("task %s: its progress was not written: %s", run.task_id, error)
            run.unwritten = run.unwritten or progress
            return None
        return TaskStopped("asked to stop") if stop else None

    def _interrupt(self, run: Run) -> None:
        """Raise the reason inside the task's own thread."""
        if run.cancel is not None:
            run.cancel()
            return
        if not self._interrupts:
            return
        if run.thread == threading.main_thread().ident:
            # A signal also wakes a sleep or a blocking read; only the main thread handles them.
            signal.pthread_kill(run.thread, _SIGNAL)
            return
        with self._changed:
            if not run.ended:
                # Takes effect between two bytecodes, so a blocking call ends first.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(run.thread), ctypes.py_object(type(run.stop))
                )

    def _on_signal(self, _number: int, _frame: object) -> None:
        # Runs in the main thread itself, so a run that it finds here cannot end meanwhile.
        for run in self._runs:
            if run.thread == threading.get_ident() and run.stop is not None and not run.ended:
                raise run.stop


def _why(stop: TaskStopped) -> str:
    return str(stop) or "asked to stop"


def kill_this_process() -> None:
    """End this pool process at once; the task in it cannot be ended otherwise."""
    os.kill(os.getpid(), signal.SIGKILL)
