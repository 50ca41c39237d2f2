"""A Celery result backend whose rows are our records.

Celery writes a task's state through its result backend from many places: the child that ran it,
the parent that killed it at its time limit or saw it die, a revoke. All of them pass here, and
here they become steps of one record, of which the first terminal one stays. ``AsyncResult`` reads
the same record back, so ``Service.celery.AsyncResult(id)`` says what the contract says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from celery import Celery, states
from celery.backends.base import BaseBackend
from celery.exceptions import (
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)

from bentotask.codec import Payload
from bentotask.errors import HTTPError, TaskNotFound, Unavailable
from bentotask.record import TaskError, TaskStatus
from bentotask.store import Claim, Store, open_store
from bentotask.store.holding import StayedAway, hold

logger = logging.getLogger(__name__)

#: Celery's word for each of ours.
CELERY_STATES: Final = {
    TaskStatus.PENDING: states.PENDING,
    TaskStatus.IN_PROGRESS: states.STARTED,
    TaskStatus.SUCCESS: states.SUCCESS,
    TaskStatus.FAILURE: states.FAILURE,
    TaskStatus.CANCELLED: states.REVOKED,
}


class ResultBackend(BaseBackend):
    """Celery's view of a :class:`~bentotask.store.Store`; threads may share it.

    Args:
        app: the Celery application.
        url: the store's URL, where Celery makes the backend by its name.
        store: the store itself, where we make it.
    """

    thread_safe = True

    def __init__(
        self, app: Celery, url: str | None = None, store: Store | None = None, **options: Any
    ) -> None:
        super().__init__(app, url=url, **options)
        self.store = store if store is not None else open_store(str(url))
        #: tasks of this process whose outcome is stored already, as Celery is about to ask for
        self.settled: set[str] = set()

    def as_uri(self, include_password: bool = False) -> str:  # noqa: ARG002, FBT001, FBT002 - Celery's signature; a password is never shown
        """Return the URL for logs and banners."""
        return self.store.shown

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,  # noqa: ARG002 - a traceback is logged where it happened, never stored
        request: Any = None,  # noqa: ARG002 - the record knows all that it would tell
        **_: Any,
    ) -> Any:
        """Take the step that ``state`` means; in a terminal record nothing changes any more.

        A task stores its own outcome as it runs (see :mod:`bentotask.worker.task`). What is left
        comes from the worker's main process: a child that was killed at its limit, a revoke. That
        process must go on consuming, so a step that cannot be taken now is held in a thread.
        """
        if task_id in self.settled:
            self.settled.discard(task_id)
            return result
        step = partial(self._step, task_id, result, state)
        try:
            step()
        except Unavailable:
            name = f"the end of task {task_id}"
            threading.Thread(target=_hold_aside, args=(step, name), name="bentotask-hold").start()
        return result

    def _step(self, task_id: str, result: Any, state: str) -> Claim | None:
        if state == states.SUCCESS:
            payload = result if isinstance(result, Payload) else json_payload(result)
            return self.store.succeed(task_id, payload)
        if state == states.FAILURE:
            return self.store.fail(task_id, task_error(result))
        if state == states.REVOKED:
            return self.store.stop(task_id)
        return None  # STARTED and RETRY are the task's own writing

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """Celery's reading: what ``AsyncResult`` shows."""
        meta: dict[str, Any] = {"task_id": task_id, "result": None, "traceback": None}
        try:
            record, payload = self.store.get_result(task_id)
        except TaskNotFound:
            return {**meta, "status": states.PENDING}
        meta |= {"status": CELERY_STATES[record.status], "children": []}
        if record.completed_at is not None:
            meta["date_done"] = datetime.fromtimestamp(record.completed_at, UTC).isoformat()
        if payload is not None:
            meta["result"] = plain_value(payload)
        elif record.status is TaskStatus.CANCELLED:
            meta["result"] = TaskRevokedError("revoked")  # what AsyncResult.get() raises
        elif record.status is TaskStatus.FAILURE and record.error is not None:
            exception = {"exc_type": record.error.type, "exc_message": [record.error.message]}
            meta["result"] = self.exception_to_python({**exception, "exc_module": None})
        return meta

    def task_result_exists(self, task_id: str) -> bool:
        """Tell whether there is a record; Celery's ``AsyncResult.exists()``."""
        try:
            self.store.get(task_id)
        except TaskNotFound:
            return False
        return True

    def cleanup(self) -> None:
        """Remove what has expired; Celery's beat calls this where there is one."""
        self.store.sweep()


def _hold_aside(step: Callable[[], object], what: str) -> None:
    try:
        hold(step, what)
    except StayedAway:
        logger.exception("%s is not stored: the result backend stayed away", what)


def plain_value(payload: Payload) -> Any:
    """Return a payload as Celery's callers would expect it: decoded JSON, text, or bytes."""
    if payload.media_type.startswith("application/json"):
        return json.loads(payload.body)
    if payload.media_type.startswith("text/"):
        return payload.body.decode()
    return payload.body


def json_payload(value: Any) -> Payload:
    """Return the payload of a value that Celery itself stores."""
    return Payload(body=json.dumps(value).encode(), media_type="application/json")


def task_error(exception: Any) -> TaskError:
    """Return what a caller may know of an exception: its type and text, never a traceback."""
    if isinstance(exception, TimeLimitExceeded | SoftTimeLimitExceeded):
        return TaskError(type="TimedOut", message="the attempt ran too long and was killed")
    if isinstance(exception, WorkerLostError):
        return TaskError(type="WorkerLost", message="the worker process died while it ran the task")
    return TaskError(
        type=type(exception).__name__, message=_text(exception), status=own_status(exception) or 500
    )


def own_status(exception: Any) -> int | None:
    """Return the status that a task chose by raising an ``HTTPError``, ``None`` if it did not.

    One with a body came from a service that the task called, and is no choice of the task's.
    """
    if isinstance(exception, HTTPError) and exception.body is None:
        return exception.status
    return None


def _text(exception: Any) -> str:
    try:
        return str(exception)
    except Exception as error:  # noqa: BLE001 - user code's __str__ may raise anything
        return f"its text cannot be read: {type(error).__name__}"
