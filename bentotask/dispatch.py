"""The verbs of the contract: submit, status, result, cancel, retry, call. No HTTP, no broker."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from bentotask.codec import Document, Payload, pack
from bentotask.endpoint import Endpoint
from bentotask.errors import (
    Conflict,
    NotCompleted,
    TaskCancelled,
    TaskFailed,
    TaskNotDone,
    TaskNotFound,
    TooManyRequests,
    Unavailable,
)
from bentotask.record import TaskRecord, TaskStatus, is_task_id, new_task_id
from bentotask.store import Store

#: Longest that ``wait=`` may hold a request, seconds.
MAX_WAIT: Final = 60.0
#: How long a forced cancel waits for the task to have stopped, seconds.
STOP_WAIT: Final = 10.0
#: Headers that are never kept with a task.
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})

_shown: Final = reprlib.Repr()
_shown.maxdict, _shown.maxstring, _shown.maxother, _shown.maxlevel = 8, 80, 80, 3


class Publisher(Protocol):
    """Where accepted tasks leave; see :class:`bentotask.queue.Queue`."""

    def publish(  # noqa: PLR0913 - one keyword a fact of the message
        self,
        endpoint: Endpoint,
        task_id: str,
        *,
        shown_input: str = "",
        retries: int = 0,
        countdown: float | None = None,
        parent_id: str | None = None,
    ) -> None:
        """Put a task on its queue."""

    def revoke(self, task_id: str) -> None:
        """Tell workers to drop the task's message."""

    def ping(self) -> None:
        """Make sure that the broker answers."""


class Dispatcher:
    """The contract over a store and a queue.

    Every verb raises :class:`~bentotask.errors.TaskNotFound` for an id that is malformed,
    unknown, expired or another endpoint's, and :class:`~bentotask.errors.Unavailable` when the
    broker or the result backend is away.
    """

    def __init__(self, store: Store, queue: Publisher) -> None:
        self.store = store
        self._queue = queue

    def submit(
        self,
        endpoint: Endpoint,
        document: Document,
        *,
        headers: Mapping[str, str] | None = None,
        parent_id: str | None = None,
    ) -> TaskRecord:
        """Accept a task: check its input, store its record, publish its message.

        Raises:
            InvalidInput: the input does not fit the endpoint; nothing was stored.
            TooManyRequests: the queue is full; the task will not run.
        """
        endpoint.input.validate(document)
        record = _new_record(endpoint, headers=headers)
        return self._accept(
            endpoint, record, pack(document), shown=_shown.repr(document), parent_id=parent_id
        )

    def status(self, endpoint: Endpoint, task_id: str, *, wait: float = 0.0) -> TaskRecord:
        """Return the record, as soon as the task ends or after ``wait`` seconds."""
        record = self._owned(endpoint, task_id)
        if wait > 0 and not record.status.is_terminal:
            return self.store.wait(task_id, min(wait, MAX_WAIT))
        return record

    def result(self, endpoint: Endpoint, task_id: str, *, wait: float = 0.0) -> Payload:
        """Return the result.

        Raises:
            NotCompleted: the task has not ended, also not within ``wait`` seconds.
            TaskFailed: it ended without a result; the status is its error's own.
            TaskCancelled: it was cancelled.
        """
        if wait > 0:
            self.status(endpoint, task_id, wait=wait)
        _refuse_malformed(task_id)
        record, payload = self.store.get_result(task_id)
        _refuse_foreign(endpoint, record)
        if payload is not None and record.status is TaskStatus.SUCCESS:
            return payload
        raise _no_result(record)

    def cancel(self, endpoint: Endpoint, task_id: str, *, force: bool = False) -> TaskRecord:
        """Cancel a task that has not begun; with ``force`` also stop one that runs.

        Order matters: the claim decides, and the revoke that follows only saves work.

        Raises:
            Conflict: it has begun, or ended otherwise.
        """
        claim = self.store.cancel(task_id, known=self._owned(endpoint, task_id))
        record = claim.record
        if claim.won:
            self._queue.revoke(task_id)
        elif force and record is not None and record.status is TaskStatus.IN_PROGRESS:
            self.store.request_stop(task_id)
            record = self.store.wait(task_id, STOP_WAIT)
        if record is None:
            raise TaskNotFound
        if record.status is TaskStatus.CANCELLED or (force and not record.status.is_terminal):
            return record
        hint = "" if record.status.is_terminal else "; force=true stops a running task"
        raise Conflict(f"task {task_id} is already {record.status.value}{hint}", task_id=task_id)

    def retry(self, endpoint: Endpoint, task_id: str) -> TaskRecord:
        """Accept a new task with the input of one that has ended.

        Raises:
            NotCompleted: that one has not ended.
        """
        _refuse_malformed(task_id)
        old, packed_input = self.store.get_input(task_id)
        _refuse_foreign(endpoint, old)
        if not old.status.is_terminal:
            raise NotCompleted(f"task {task_id} is not completed yet", task_id=task_id)
        record = _new_record(endpoint, headers=old.headers, retry_of=task_id)
        return self._accept(endpoint, record, packed_input, shown=f"retry of {task_id}")

    def call(
        self,
        endpoint: Endpoint,
        document: Document,
        timeout: float,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Payload:
        """Submit and wait for the result.

        Raises:
            TaskNotDone: not within ``timeout`` seconds; the task goes on under its id.
            TaskFailed: it ended without a result.
        """
        record = self.submit(endpoint, document, headers=headers)
        try:
            after = self.store.wait(record.id, timeout)
        except Unavailable as error:
            error.task_id = record.id  # it was accepted, and goes on under this id
            raise
        if not after.status.is_terminal:
            raise TaskNotDone(
                f"task {record.id} is not completed after {timeout:g} s; it goes on: ask "
                f"{endpoint.route}/status for it",
                task_id=record.id,
            )
        return self.result(endpoint, record.id)

    def ping(self) -> None:
        """Make sure that tasks can be accepted."""
        self.store.ping()
        self._queue.ping()

    def _accept(
        self,
        endpoint: Endpoint,
        record: TaskRecord,
        packed_input: bytes,
        *,
        shown: str,
        parent_id: str | None = None,
    ) -> TaskRecord:
        """Store, then publish: a worker may be faster than our second step.

        A publish that failed may still arrive. So its task is claimed back: won means that it
        never runs, and the caller is told so; lost means that it runs already, so it was accepted.
        """
        self.store.put(record, packed_input)
        try:
            self._queue.publish(endpoint, record.id, shown_input=shown, parent_id=parent_id)
        except (Unavailable, TooManyRequests):
            claim = self.store.cancel(record.id)
            if claim.won or claim.record is None:
                raise
            return claim.record
        return record

    def _owned(self, endpoint: Endpoint, task_id: str) -> TaskRecord:
        _refuse_malformed(task_id)
        record = self.store.get(task_id)
        _refuse_foreign(endpoint, record)
        return record


class TaskHandle:
    """A task as code beside the queue holds it: its id and its verbs.

    What ``self.other_task.submit(...)`` gives inside of a service.
    """

    def __init__(self, dispatcher: Dispatcher, endpoint: Endpoint, task_id: str) -> None:
        self._dispatcher = dispatcher
        self._endpoint = endpoint
        self.id = task_id

    def get_status(self) -> TaskStatus:
        """Return the status word."""
        return self.status().status

    def status(self) -> TaskRecord:
        """Return all that is known of the task."""
        return self._dispatcher.status(self._endpoint, self.id)

    def get(self) -> Any:
        """Return the result as the method returned it.

        Raises:
            NotCompleted: the task has not ended.
            TaskFailed: it ended without a result.
            TaskCancelled: it was cancelled.
        """
        return self._endpoint.output.decode(self._dispatcher.result(self._endpoint, self.id))

    def cancel(self, *, force: bool = False) -> None:
        """Cancel the task. See :meth:`Dispatcher.cancel`."""
        self._dispatcher.cancel(self._endpoint, self.id, force=force)

    def retry(self) -> TaskHandle:
        """Submit the same input again and return the new task."""
        record = self._dispatcher.retry(self._endpoint, self.id)
        return TaskHandle(self._dispatcher, self._endpoint, record.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<TaskHandle {self._endpoint.full_name} {self.id}>"


def _new_record(
    endpoint: Endpoint, *, headers: Mapping[str, str] | None = None, retry_of: str | None = None
) -> TaskRecord:
    kept = {}
    if endpoint.input.context_parameter is not None:
        kept = {k.lower(): v for k, v in (headers or {}).items()}
        kept = {k: v for k, v in kept.items() if k not in _SECRET_HEADERS}
    return TaskRecord.submitted(
        new_task_id(), endpoint.full_name, endpoint.retention, retry_of=retry_of, headers=kept
    )


def _refuse_malformed(task_id: str) -> None:
    if not is_task_id(task_id):
        raise TaskNotFound


def _refuse_foreign(endpoint: Endpoint, record: TaskRecord) -> None:
    if record.endpoint != endpoint.full_name:
        raise TaskNotFound


def _no_result(record: TaskRecord) -> Exception:
    if record.status is TaskStatus.CANCELLED:
        return TaskCancelled(f"task {record.id} was cancelled", task_id=record.id)
    if record.error is not None and record.status is TaskStatus.FAILURE:
        return TaskFailed(str(record.error), status=record.error.status, task_id=record.id)
    return NotCompleted(f"task {record.id} is not completed yet", task_id=record.id)
