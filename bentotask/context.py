"""What a running method may know and say: its id, its progress, whether it should stop.

A :class:`Context` is made by whoever runs the method (a worker, the web process, a test) and
reaches user code in two ways: as a parameter annotated ``ctx: Context``, or through
:func:`progress` and :func:`current`. It does no I/O itself; what it is told, it hands to the two
callables that its maker gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Self

from bentotask.errors import NotInTaskError, TaskStopped
from bentotask.record import Progress

_current: Final[ContextVar[Context]] = ContextVar("bentotask_context")


@dataclass(frozen=True, kw_only=True)
class RequestInfo:
    """The HTTP request behind the call."""

    #: lower-case names; credentials are never kept
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class ResponseInfo:
    """The HTTP response to be: set these to change it."""

    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def _ignore(_: Progress) -> None:
    """Take progress that nobody follows, as in an ``@api`` method."""


def _never() -> bool:
    return False


def _forget(_: Callable[[], object]) -> None:
    """Take what nobody will cancel."""


@dataclass(kw_only=True)
class Context:
    """One run of a method; it lives as long as the run."""

    #: the task's id; ``None`` in an ``@api`` method, which is no task
    task_id: str | None = None
    #: the how-manieth attempt this is, from 1
    attempt: int = 1
    request: RequestInfo = field(default_factory=RequestInfo)
    response: ResponseInfo = field(default_factory=ResponseInfo)
    on_progress: Callable[[Progress], None] = field(default=_ignore, repr=False)
    asked_to_stop: Callable[[], bool] = field(default=_never, repr=False)
    #: given what cancels the coroutine of an ``async def`` method, from any thread
    on_coroutine: Callable[[Callable[[], object]], None] = field(default=_forget, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked this task to stop (``cancel`` with ``force=true``)."""
        return self.asked_to_stop()

    def raise_if_cancelled(self) -> None:
        """Stop here when asked to.

        Raises:
            TaskStopped: the task was asked to stop.
        """
        if self.cancelled:
            raise TaskStopped

    def progress(self, current: float, total: float | None = None, message: str = "") -> None:
        """Tell how far the task is; cheap enough for every step of a loop.

        What is no finite number is not told: a long run shall not be lost to that.

        Args:
            current: steps done.
            total: steps in all, when known.
            message: a line for people.
        """
        if all(math.isfinite(number) for number in (current, total or 0)):
            self.on_progress(
                Progress(
                    current=_plain(current),
                    total=None if total is None else _plain(total),
                    message=str(message),
                )
            )

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def _plain(number: float) -> float:
    """Return a number of Python's own: numpy's are none in JSON."""
    return int(number) if float(number).is_integer() else float(number)


def current() -> Context:
    """Return the context of the method that is running.

    Raises:
        NotInTaskError: no method of a service is running here.
    """
    try:
        return _current.get()
    except LookupError:
        raise NotInTaskError(
            "no task is running here: context and progress exist only inside a service's method "
            "(threads that it starts need contextvars.copy_context())"
        ) from None


def current_task_id() -> str | None:
    """Return the id of the task that is running, ``None`` outside of one."""
    context = _current.get(None)
    return None if context is None else context.task_id


def progress(current: float, total: float | None = None, message: str = "") -> None:
    """Tell how far the running task is. See :meth:`Context.progress`.

    In a plain unit test, where no task runs, it does nothing: a method must run unchanged there.
    """
    context = _current.get(None)
    if context is not None:
        context.progress(current, total, message)
