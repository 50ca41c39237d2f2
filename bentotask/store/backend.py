"""A Celery result backend whose rows are our records.

Celery writes a task's state through its result backend from many places: the child that ran it,
the parent that killed it at its time limit or saw it die, a revoke. All of them pass here, and
here they become steps of one record, of which the first terminal one stays. ``AsyncResult`` reads
the same record back, so ``Service.celery.AsyncResult(id)`` says what the contract says.
"""

from __future__ import annotations

import json
import logging
import random
import time
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery, states
from celery.backends.base import BaseBackend
from celery.exceptions import (
    Reject,
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
    WorkerLostError,
)

from bentotask.codec import Payload
from bentotask.errors import HTTPError, TaskNotFound, Unavailable
from bentotask.record import TaskError, TaskRecord, TaskStatus
from bentotask.store import Claim, Store, open_store

logger = logging.getLogger(__name__)

#: Celery's word for each of ours.
CELERY_STATES: Final = {
    TaskStatus.PENDING: states.PENDING,
    TaskStatus.IN_PROGRESS: states.STARTED,
    TaskStatus.SUCCESS: states.SUCCESS,
    TaskStatus.FAILURE: states.FAILURE,
    TaskStatus.CANCELLED: states.REVOKED,
}
#: How long a worker holds a finished result for a backend that is away, before it gives the task
#: back to the queue. Seconds; well under RabbitMQ's consumer timeout of 30 minutes.
HOLD: Final = 300.0


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
        #: the records of the tasks that run in this process, as their claims gave them
        self.running: dict[str, TaskRecord] = {}

    def as_uri(self, include_password: bool = False) -> str:  # noqa: ARG002, FBT001, FBT002 - Celery's signature; a password is never shown
        """Return the URL for logs and banners."""
        return self.store.shown

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,  # noqa: ARG002 - a traceback is logged where it happened, never stored
        request: Any = None,  # noqa: ARG002
        **_: Any,
    ) -> Any:
        """Take the step that ``state`` means; in a terminal record nothing changes any more.

        Raises:
            Reject: the backend stayed away; the broker gives the task to a worker again.
        """
        started, pause = time.monotonic(), 0.1
        while True:
            try:
                self._step(task_id, result, state)
            except Unavailable as error:
                if time.monotonic() - started > HOLD:
                    raise Reject(str(error), requeue=True) from error
                logger.warning("task %s: its outcome is held: %s", task_id, error)
                time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing
                pause = min(pause * 2, 5.0)
            else:
                return result

    def _step(self, task_id: str, result: Any, state: str) -> Claim | None:
        known = self.running.get(task_id)
        if state == states.SUCCESS:
            payload = result if isinstance(result, Payload) else json_payload(result)
            return self.store.succeed(task_id, payload, known=known)
        if state == states.FAILURE:
            return self.store.fail(task_id, task_error(result), known=known)
        if state == states.REVOKED:
            return self.store.stop(task_id, known=known)
        if state == states.RETRY:
            return self.store.attempt_failed(task_id, task_error(result), known=known)
        return None  # STARTED is the claim's own writing

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
    exception = getattr(exception, "exc", None) or exception  # a Retry carries the cause
    if isinstance(exception, TimeLimitExceeded | SoftTimeLimitExceeded):
        return TaskError(type="TimedOut", message="the attempt ran too long and was killed")
    if isinstance(exception, WorkerLostError):
        return TaskError(type="WorkerLost", message="the worker process died while it ran the task")
    status = exception.status if isinstance(exception, HTTPError) else 500
    return TaskError(type=type(exception).__name__, message=str(exception), status=status)
