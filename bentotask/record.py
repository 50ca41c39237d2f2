"""What is known of a task: words and facts, inert. Nothing here does I/O.

Every rule about which state may follow which is a method of :class:`TaskRecord` that returns the
next record, or ``None`` when the rule forbids the step. A store only has to swap one record for
the next in one atomic step; it never decides.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from typing import Any, Final, Self


class TaskStatus(str, Enum):  # noqa: UP042 - StrEnum would make text and value the same word
    """The five words of the contract.

    The text is upper-case and the value lower-case, because users of BentoML's documentation
    compare with both: ``status == "SUCCESS"`` and ``status.value == "success"``. Equality and
    hash are those of the text, so sets and dicts behave.
    """

    #: accepted, waiting for a worker
    PENDING = "pending"
    #: a worker runs it, or it waits between two automatic retries
    IN_PROGRESS = "in_progress"
    #: the result is ready
    SUCCESS = "success"
    #: ended without a result, for whatever cause
    FAILURE = "failure"
    #: cancelled before it began, or stopped on request
    CANCELLED = "cancelled"

    def __new__(cls, value: str) -> Self:
        """Make the upper-case word the text and keep the lower-case one as the value."""
        member = str.__new__(cls, value.upper())
        member._value_ = value
        return member

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing ever leaves this state."""
        return self in TERMINAL


#: The states that absorb. Said once, here.
TERMINAL: Final = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILURE, TaskStatus.CANCELLED})

#: Results are kept this long after completion unless the service says otherwise (BentoML's
#: documentation: "stored for a configurable amount of time, default 24 hours"). Seconds.
DEFAULT_RETENTION: Final = 24 * 3600.0

#: What Celery's and our own ids look like: uuid4, with or without hyphens.
_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def new_task_id() -> str:
    """Return a fresh id: 32 hexadecimal digits, random."""
    return uuid.uuid4().hex


def is_task_id(text: str) -> bool:
    """Tell whether ``text`` could be an id at all.

    Anything else is unknown without asking a backend, so that no user text can ever become part
    of a key, a path or a query.
    """
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a running task says it is."""

    #: steps done
    current: float
    #: steps in all, ``None`` when the task cannot know
    total: float | None = None
    #: a line for people
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskError:
    """Why a task ended (or an attempt failed) without a result; never a traceback."""

    #: the exception's class name, e.g. ``ValueError``
    type: str
    #: the exception's own text
    message: str
    #: the HTTP status that ``get`` answers with
    status: int = 500

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """One task. Times are seconds since the epoch (UTC); ``None`` until known."""

    #: the id that the caller holds
    id: str
    #: ``Service.method``, also the name of the Celery task
    endpoint: str = ""
    #: when it was accepted
    created_at: float = 0.0
    #: how long the outcome is kept after completion, seconds
    retention: float = DEFAULT_RETENTION
    #: the task this one repeats, when it came from ``retry``
    retry_of: str | None = None
    #: the HTTP headers of the submit, kept only for endpoints that take a ``Context``
    headers: dict[str, str] = field(default_factory=dict)

    #: goes up by one with every step; what a store compares when it swaps
    version: int = 0
    status: TaskStatus = TaskStatus.PENDING
    #: how often a worker has begun it
    attempts: int = 0
    #: how many automatic retries the latest attempt had behind it
    retries: int = 0
    #: when the latest attempt began
    executed_at: float | None = None
    #: when it reached a terminal state
    completed_at: float | None = None
    #: why it failed, or why the latest attempt did
    error: TaskError | None = None
    #: somebody asked a running task to stop
    cancel_requested: bool = False
    #: an attempt failed and the next has not begun, so nothing runs
    waiting: bool = False
    #: written beside the state, not part of it: it never changes ``version``
    progress: Progress | None = None

    @classmethod
    def submitted(
        cls,
        task_id: str,
        endpoint: str,
        retention: float,
        *,
        retry_of: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Self:
        """Return the record of a task that is accepted now."""
        return cls(
            id=task_id,
            endpoint=endpoint,
            created_at=time.time(),
            retention=retention,
            retry_of=retry_of,
            headers=headers or {},
        )

    @property
    def expires_at(self) -> float | None:
        """When the outcome is forgotten; a task that waits or runs is never forgotten."""
        return None if self.completed_at is None else self.completed_at + self.retention

    def is_expired(self, now: float) -> bool:
        """Whether the retention is over at ``now``."""
        return self.expires_at is not None and now >= self.expires_at

    # Each step below returns the next record, or None where it is not allowed.

    def begun(self, *, retries: int = 0, redelivered: bool = False) -> TaskRecord | None:
        """A worker starts an attempt.

        A task in progress may only begin again when the broker redelivered it (it has lost the
        worker, which is gone or out of its reach) or when a later automatic retry arrives. A
        second copy of the same message (a publish whose confirmation was lost) is neither and must
        not run beside the first; nor may the message of an earlier attempt.
        """
        if self.status.is_terminal or retries < self.retries:
            return None
        running = self.status is TaskStatus.IN_PROGRESS
        if running and not redelivered and retries <= self.retries:
            return None
        return self._next(
            status=TaskStatus.IN_PROGRESS,
            attempts=self.attempts + 1,
            retries=retries,
            executed_at=time.time(),
            waiting=False,
        )

    def attempt_failed(self, error: TaskError, *, attempt: int) -> TaskRecord | None:
        """The latest attempt failed and another will follow; an earlier one has no say."""
        if self.status is not TaskStatus.IN_PROGRESS or attempt != self.attempts:
            return None
        return self._next(error=error, waiting=True)

    def succeeded(self) -> TaskRecord | None:
        """The result is ready."""
        return self._ended(TaskStatus.SUCCESS, None)

    def failed(self, error: TaskError) -> TaskRecord | None:
        """It ended without a result."""
        return self._ended(TaskStatus.FAILURE, error)

    def stopped(self) -> TaskRecord | None:
        """A running task was stopped on request, or a waiting one was withdrawn."""
        return self._ended(TaskStatus.CANCELLED, None)

    def cancelled(self) -> TaskRecord | None:
        """The caller cancels it; only what has not begun can be cancelled for certain."""
        if self.status is not TaskStatus.PENDING:
            return None
        return self.stopped()

    def stop_requested(self) -> TaskRecord | None:
        """The caller asks a running task to stop; its worker watches for this.

        One that waits for its next attempt has no worker that could, so it stops here.
        """
        if self.status is not TaskStatus.IN_PROGRESS:
            return None
        if self.waiting:
            return self.stopped()
        return self._next(cancel_requested=True)

    def _ended(self, status: TaskStatus, error: TaskError | None) -> TaskRecord | None:
        if self.status.is_terminal:
            return None
        return self._next(status=status, error=error, completed_at=time.time())

    def _next(self, **changes: Any) -> TaskRecord:
        return replace(self, version=self.version + 1, **changes)

    # A record crosses into storage as two JSON objects: what is fixed at submission, and what
    # moves. Unknown keys are ignored, so that an older process reads a newer one's records.

    def submission(self) -> dict[str, Any]:
        """Return the fields that never change after submission, JSON-ready."""
        return {name: getattr(self, name) for name in _SUBMISSION}

    def state(self) -> dict[str, Any]:
        """Return the fields that the steps change, JSON-ready."""
        state = {name: getattr(self, name) for name in _STATE}
        state["status"] = self.status.value
        state["error"] = None if self.error is None else asdict(self.error)
        return state

    @classmethod
    def restored(
        cls,
        submission: dict[str, Any],
        state: dict[str, Any],
        progress: dict[str, Any] | None = None,
    ) -> Self:
        """Rebuild a record from what :meth:`submission` and :meth:`state` gave."""
        known: dict[str, Any] = {k: v for k, v in submission.items() if k in _SUBMISSION}
        known |= {k: v for k, v in state.items() if k in _STATE}
        known["status"] = TaskStatus(known["status"])
        if known.get("error") is not None:
            known["error"] = TaskError(**known["error"])
        if progress is not None:
            known["progress"] = Progress(**progress)
        return cls(**known)


_SUBMISSION: Final = ("id", "endpoint", "created_at", "retention", "retry_of", "headers")
_STATE: Final = tuple(
    f.name for f in fields(TaskRecord) if f.name not in {*_SUBMISSION, "progress"}
)
