"""Every error of bentotask: one tree, and one event beside it.

::

    BentotaskError
    ├── DeclarationError             a mistake in a service's class, told when it is declared
    ├── ConfigurationError           a setting that cannot work, told at start
    ├── NotInTaskError               progress() or context() outside of a running task
    ├── HTTPError                    an answer with a status; what a client raises
    │   ├── BadRequest           400 the request cannot be understood
    │   │   ├── InvalidInput     400 the input does not fit the signature; .detail says where
    │   │   └── NotCompleted     400 get or retry of a task that has not ended
    │   ├── Unauthorized         401 no token, or a wrong one
    │   ├── NotFound             404 no such endpoint
    │   │   └── TaskNotFound     404 unknown, expired, malformed or another endpoint's id
    │   ├── MethodNotAllowed     405 the verb does not fit the route
    │   ├── Conflict             409 the task's state forbids it
    │   │   └── TaskCancelled    409 get of a cancelled task
    │   ├── TooLarge             413 the body is over the limit
    │   ├── UnsupportedMediaType 415 a body that nothing here reads
    │   ├── TooManyRequests      429 the queue is full; .retry_after says when to return
    │   ├── TaskFailed           500 the task ended without a result
    │   ├── Unavailable          503 broker or result backend unreachable; .retry_after
    │   └── TaskNotDone          504 a direct call outlasted traffic.timeout; .task_id goes on
    └── TransportError               a client got no answer at all
        ├── ServerUnreachable        could not connect
        ├── RequestTimeout           connected, but no answer in time
        └── WaitTimeout              wait(timeout=) ran out; the task goes on

    TaskStopped                      raised inside a task that was asked to stop
    └── TaskTimeout                  ... because its attempt ran longer than timeout=

:class:`TaskStopped` is no ``Exception``, for the reason that ``asyncio.CancelledError`` is none: a
task that answers ``except Exception`` with a friendly result must still stop.

A task may raise an :class:`HTTPError` of its own to choose the status that ``get`` answers with.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BentotaskError(Exception):
    """The root: catch this to catch everything that bentotask raises on purpose."""


class DeclarationError(BentotaskError, TypeError):
    """A service class that cannot be served; names the class, the method and what to write."""


class ConfigurationError(BentotaskError):
    """A setting that cannot work; names the setting, its source and the next step."""


class NotInTaskError(BentotaskError, RuntimeError):
    """Something that only exists while a task runs was asked for outside of one."""


class TaskStopped(BaseException):
    """The running task was asked to stop (``cancel`` with ``force=true``).

    A task may catch it to clean up; whatever it does then, the attempt ends as stopped.
    """


class TaskTimeout(TaskStopped):
    """The attempt ran longer than ``timeout=``."""


class HTTPError(BentotaskError):
    """An answer with a status.

    Args:
        message: one sentence for people; the ``error`` of the body.
        status: the HTTP status, where it differs from the class's own.
        detail: structured reasons, for validation.
        task_id: the task it is about, where there is one.
        retry_after: seconds after which to try again, where that helps.
        body: the answer's body as the client read it, decoded from JSON where it was JSON.
    """

    #: the HTTP status of the class
    default_status: ClassVar[int] = 500

    def __init__(  # noqa: PLR0913 - one keyword a fact, all optional
        self,
        message: str = "",
        *,
        status: int | None = None,
        detail: Any = None,
        task_id: str | None = None,
        retry_after: float | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.detail = detail
        self.task_id = task_id
        self.retry_after = retry_after
        self.body = body


class BadRequest(HTTPError):
    """The request cannot be understood."""

    default_status = 400


class InvalidInput(BadRequest):
    """The input does not fit the endpoint's signature; ``detail`` lists where and why."""


class NotCompleted(BadRequest):
    """The task has not ended yet."""


class Unauthorized(HTTPError):
    """No token, or a wrong one."""

    default_status = 401


class NotFound(HTTPError):
    """No such route or endpoint."""

    default_status = 404


class TaskNotFound(NotFound):
    """An id that is unknown, expired, malformed or another endpoint's."""

    def __init__(self, message: str = "task_id not found", **facts: Any) -> None:
        super().__init__(message, **facts)


class MethodNotAllowed(HTTPError):
    """The HTTP method does not fit the route."""

    default_status = 405


class Conflict(HTTPError):
    """The task's state forbids what was asked."""

    default_status = 409


class TaskCancelled(Conflict):
    """The task was cancelled, so there is no result."""


class TooLarge(HTTPError):
    """The request's body is over the limit."""

    default_status = 413


class UnsupportedMediaType(HTTPError):
    """A body of a type that the endpoint does not read."""

    default_status = 415


class TooManyRequests(HTTPError):
    """The queue is full; come back after ``retry_after`` seconds."""

    default_status = 429


class TaskFailed(HTTPError):
    """The task ended without a result; the message is ``Type: text`` of its error."""

    default_status = 500


class Unavailable(HTTPError):
    """The broker or the result backend cannot be reached; nothing was accepted."""

    default_status = 503


class TaskNotDone(HTTPError):
    """A direct call waited its time; the task goes on under ``task_id``."""

    default_status = 504


class TransportError(BentotaskError):
    """A client got no answer at all; names the URL and the next step."""


class ServerUnreachable(TransportError):
    """No connection could be made."""


class RequestTimeout(TransportError, TimeoutError):
    """Connected, but no answer within the client's timeout."""


class WaitTimeout(TransportError, TimeoutError):
    """The task did not end within the time that the caller was willing to wait."""
