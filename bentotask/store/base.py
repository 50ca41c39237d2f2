"""Where records rest: the policy in public methods, the storage in private ones.

Every race between workers, cancellers and copies of a message is decided by one primitive that a
driver must supply, :meth:`Store._swap`: replace a record's state if its version is still the
expected one. Which step may follow which is the record's own business
(:class:`bentotask.record.TaskRecord`); which server holds it, the driver's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

from bentotask.codec import Blob, Payload, pack, unpack
from bentotask.config import mask_url
from bentotask.errors import TaskNotFound, Unavailable
from bentotask.record import Progress, TaskError, TaskRecord

logger = logging.getLogger(__name__)

#: What a client should wait before it asks again when a backend is away, seconds.
RETRY_AFTER: Final = 5.0

#: One step of a record: the next record, or None where the step is not allowed.
Step = Callable[[TaskRecord], TaskRecord | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record as a driver keeps it. What was not asked for is ``None``."""

    version: int
    #: :meth:`TaskRecord.submission` as JSON
    submission: str
    #: :meth:`TaskRecord.state` as JSON
    state: str
    #: :class:`Progress` as JSON
    progress: str | None = None
    input: bytes | None = None
    result: bytes | None = None

    def record(self) -> TaskRecord:
        """Return the record that this row holds."""
        return TaskRecord.restored(
            json.loads(self.submission),
            json.loads(self.state),
            json.loads(self.progress) if self.progress else None,
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a swap writes."""

    #: the version that the row must still have
    expected: int
    version: int
    state: str
    progress: str | None = None
    result: bytes | None = None
    #: seconds after which the row may vanish, set with the terminal states
    keep_for: float | None = None
    #: when that is, seconds since the epoch
    expires_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The outcome of one step: whether it was ours, and what is known now."""

    won: bool
    #: the record after the step, whoever made it; ``None`` when there is none
    record: TaskRecord | None
    #: the packed input, for whoever begins
    input: bytes | None = None


class Store(ABC):
    """Records, inputs and results of tasks.

    Every public method raises :class:`~bentotask.errors.Unavailable` when the server cannot be
    reached within the store's timeout.
    """

    #: whether a swap is one atomic step; otherwise a cancel is best effort, and told so at start
    atomic: ClassVar[bool] = True
    #: whether the server removes expired rows by itself
    expires_by_itself: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        #: fit for logs: the password is masked
        self.shown = mask_url(url)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shown}>"

    # -- what the contract needs ---------------------------------------------------------------

    def put(self, record: TaskRecord, packed_input: bytes) -> None:
        """Keep a new record with its input. Done before its message is published.

        A record of the same id is left as it is.
        """
        with self._wall():
            self._insert(
                record.id,
                Row(
                    version=record.version,
                    submission=json.dumps(record.submission()),
                    state=json.dumps(record.state()),
                    input=packed_input,
                ),
            )

    def get(self, task_id: str) -> TaskRecord:
        """Return the record.

        Raises:
            TaskNotFound: there is none, or its retention is over.
        """
        return self._known(task_id).record()

    def get_input(self, task_id: str) -> tuple[TaskRecord, bytes]:
        """Return the record and its packed input.

        Raises:
            TaskNotFound: there is none, or its retention is over.
        """
        row = self._known(task_id, "input")
        return row.record(), row.input or b""

    def get_result(self, task_id: str) -> tuple[TaskRecord, Payload | None]:
        """Return the record and, once it succeeded, its result.

        Raises:
            TaskNotFound: there is none, or its retention is over.
        """
        row = self._known(task_id, "result")
        return row.record(), None if row.result is None else _unpacked(row.result)

    def begin(self, task_id: str, *, retries: int = 0, redelivered: bool = False) -> Claim:
        """A worker claims the task for an attempt; it may run it only when it won."""
        guess = TaskRecord(id=task_id) if retries == 0 and not redelivered else None
        return self._step(
            task_id,
            lambda record: record.begun(retries=retries, redelivered=redelivered),
            known=guess,
        )

    def cancel(self, task_id: str, *, known: TaskRecord | None = None) -> Claim:
        """Cancel the task if it has not begun; won means that it never will."""
        return self._step(task_id, TaskRecord.cancelled, known=known)

    def request_stop(self, task_id: str) -> Claim:
        """Ask the worker that runs the task to stop it."""
        return self._step(task_id, TaskRecord.stop_requested)

    def succeed(self, task_id: str, payload: Payload, *, known: TaskRecord | None = None) -> Claim:
        """Keep the result and end the task.

        Args:
            task_id: the task.
            payload: what ``get`` shall answer.
            known: the record as the worker knows it, which saves reading it.
        """
        return self._step(task_id, TaskRecord.succeeded, known=known, payload=payload)

    def fail(self, task_id: str, error: TaskError, *, known: TaskRecord | None = None) -> Claim:
        """End the task without a result."""
        return self._step(task_id, lambda record: record.failed(error), known=known)

    def stop(self, task_id: str, *, known: TaskRecord | None = None) -> Claim:
        """End a task that stopped because it was asked to."""
        return self._step(task_id, TaskRecord.stopped, known=known)

    def attempt_failed(self, known: TaskRecord, error: TaskError) -> Claim:
        """Note why the attempt of ``known`` failed; won means that another shall follow."""
        attempt = known.attempts
        return self._step(
            known.id, lambda record: record.attempt_failed(error, attempt=attempt), known=known
        )

    def report(self, task_id: str, progress: Progress | None, *, attempt: int = 0) -> bool:
        """Note how far an attempt is, and return whether it should stop.

        It should when somebody asked for it, and when a later attempt has begun: the broker had
        lost this worker. One round trip; it never brings back a record that is gone.
        """
        with self._wall():
            text = None if progress is None else json.dumps(asdict(progress))
            state = self._annotate(task_id, text)
        known = {} if state is None else json.loads(state)
        superseded = attempt > 0 and known.get("attempts", 0) > attempt
        return bool(known.get("cancel_requested")) or superseded

    def wait(self, task_id: str, timeout: float) -> TaskRecord:
        """Return the record as soon as the task has ended, or as it is after ``timeout`` seconds.

        Raises:
            TaskNotFound: there is no such task.
        """
        deadline = time.monotonic() + timeout
        for pause in _pauses():
            record = self.get(task_id)
            left = deadline - time.monotonic()
            if record.status.is_terminal or left <= 0:
                return record
            time.sleep(min(pause, left))
        raise AssertionError  # _pauses never ends

    def sweep(self) -> int:
        """Remove what has expired, and return how many; safe to run beside other sweeps."""
        with self._wall():
            return self._remove_expired(time.time())

    def ping(self) -> None:
        """Make sure that the server answers."""
        with self._wall():
            self._ping()

    def close(self) -> None:  # noqa: B027 - most drivers have nothing to close
        """Give back connections."""

    # -- one mechanism for every step ------------------------------------------------------------

    def _step(
        self,
        task_id: str,
        step: Step,
        *,
        known: TaskRecord | None = None,
        payload: Payload | None = None,
    ) -> Claim:
        """Take ``step`` from the record as ``known``, or as read, until it is ours or refused.

        Starting from a guess (a fresh task is pending at version 0) makes the usual case one
        round trip: the swap itself finds out whether the guess was right. A guess knows no
        retention, so only steps that do not end the task may start from one.
        """
        result = None if payload is None else _packed(payload)
        row, record = None, known
        while True:
            if record is None:
                row = self._read(task_id)
                if row is None:
                    return Claim(won=False, record=None)
                record = row.record()
            after = step(record)
            if after is None and row is None:
                record = None  # only the guess forbids it: ask
                continue
            if after is None:
                return Claim(won=False, record=record)
            change = _change(record, after, result)
            with self._wall():
                won, row = self._swap(task_id, change)
            if row is None:
                return Claim(won=False, record=None)
            record = row.record()
            if won:
                return Claim(won=True, record=record, input=row.input)
            if row.version == change.version and row.state == change.state:
                # The answer to our swap was lost on the way, and its repetition finds our writing.
                row = self._read(task_id, "input") or row
                return Claim(won=True, record=record, input=row.input)

    def _known(self, task_id: str, *blobs: str) -> Row:
        row = self._read(task_id, *blobs)
        if row is None or row.record().is_expired(time.time()):
            raise TaskNotFound
        return row

    def _read(self, task_id: str, *blobs: str) -> Row | None:
        with self._wall():
            return self._load(task_id, *blobs)

    @contextlib.contextmanager
    def _wall(self) -> Iterator[None]:
        """Turn the driver's own errors into ours."""
        try:
            yield
        except self._foreign_errors as error:
            # Where the server is, is for the log; a caller cannot use it and need not know.
            logger.warning("the result backend %s cannot be used: %r", self.shown, error)
            raise Unavailable(
                "the result backend cannot be reached; try again later", retry_after=RETRY_AFTER
            ) from error

    # -- what a driver supplies --------------------------------------------------------------------

    #: the exceptions that mean: the server is away
    _foreign_errors: ClassVar[tuple[type[BaseException], ...]] = (OSError,)

    @abstractmethod
    def _insert(self, task_id: str, row: Row) -> None:
        """Keep a new row; an existing one stays."""

    @abstractmethod
    def _load(self, task_id: str, *blobs: str) -> Row | None:
        """Return the row, with those of ``input`` and ``result`` that ``blobs`` names."""

    @abstractmethod
    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        """Write ``change`` if the row has the expected version, in one atomic step.

        Returns whether it was written, and the row as it is now: with its input when it was
        written, ``None`` when there is none.
        """

    @abstractmethod
    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        """Write the progress beside an existing row and return its state, ``None`` without one."""

    @abstractmethod
    def _remove_expired(self, now: float) -> int:
        """Remove the rows whose ``expires_at`` has passed."""

    @abstractmethod
    def _ping(self) -> None:
        """Raise unless the server answers."""


def _change(before: TaskRecord, after: TaskRecord, result: bytes | None) -> Change:
    ended = after.status.is_terminal
    progress = before.progress
    return Change(
        expected=before.version,
        version=after.version,
        state=json.dumps(after.state()),
        # The last progress rides along with the end, so that none is lost to throttling.
        progress=json.dumps(asdict(progress)) if ended and progress is not None else None,
        result=result,
        keep_for=after.retention if ended else None,
        expires_at=after.expires_at,
    )


def _packed(payload: Payload) -> bytes:
    return pack({**asdict(payload), "headers": dict(payload.headers), "body": Blob(payload.body)})


def _unpacked(packed: bytes) -> Payload:
    fields: dict[str, Any] = unpack(packed)
    return Payload(**{**fields, "body": fields["body"].data})


def _pauses() -> Iterator[float]:
    """Yield pauses that grow from 2 ms to 100 ms, with jitter so that waiters spread out."""
    pause = 0.002
    while True:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads waiters, guards nothing
        pause = min(pause * 1.5, 0.1)
