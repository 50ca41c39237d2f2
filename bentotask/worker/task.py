"""The Celery task behind every ``@task`` method, from claim to result."""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from celery import Task
from celery.exceptions import Ignore, Reject, Retry, TaskPredicate

from bentotask.codec import Payload, pack, unpack
from bentotask.context import Context, RequestInfo
from bentotask.endpoint import Endpoint
from bentotask.errors import HTTPError, InvalidInput, TaskStopped, TaskTimeout, Unavailable
from bentotask.invocation import invoke
from bentotask.queue import HEADER, Queue
from bentotask.record import TaskError, TaskRecord, is_task_id
from bentotask.store.backend import ResultBackend
from bentotask.worker.guard import GRACE, Guard, Run

logger = logging.getLogger(__name__)

#: How often a task may lose its worker before it ends as a failure instead of running again.
MAX_CRASHES: Final = 3
#: Longest pause between two automatic retries, seconds; well under RabbitMQ's consumer timeout.
MAX_BACKOFF: Final = 300.0
#: Seconds that a worker waits before it gives a task back for want of its record.
_GIVE_BACK_PAUSE: Final = 1.0


class EndpointTask(Task):
    """One endpoint as a Celery task: claims the record, runs the method, hands on its result.

    Args:
        instance: gives the service's instance of this process.
        queue: gives where retries go.
        guard: gives the process's guard.
        backend: the task's result backend, whatever the application's own is.
    """

    #: The message is acknowledged when the outcome is stored, so a worker that dies loses nothing.
    acks_late: ClassVar[bool] = True
    #: A pool process that dies gives the message back; MAX_CRASHES bounds it.
    reject_on_worker_lost: ClassVar[bool] = True
    #: STARTED would be written before the claim, over a cancelled task.
    track_started: ClassVar[bool] = False
    ignore_result: ClassVar[bool] = False
    #: pydantic checks arguments against the signature, and says more.
    typing: ClassVar[bool] = False
    #: what the task runs; see :func:`task_class`
    endpoint: ClassVar[Endpoint]

    def __init__(
        self,
        *,
        instance: Callable[[], Any],
        queue: Callable[[], Queue],
        guard: Callable[[], Guard],
        backend: ResultBackend,
    ) -> None:
        self._instance = instance
        self._queue = queue
        self._guard = guard
        self.backend = backend
        #: ends this pool process; ``None`` on pools where that would end the worker
        self.kill: Callable[[], None] | None = None

    def run(self, *args: Any, **kwargs: Any) -> Payload:
        """Run the attempt that the message asks for.

        Raises:
            Ignore: it is not ours to run.
            Retry: it failed, and another attempt is on the queue.
            Reject: the record cannot be reached, so the message goes back; or its workers keep
                dying, so it goes no further.
        """
        record, packed_input = self._claimed(args, kwargs)
        self.backend.running[record.id] = record
        try:
            return self._outcome(record, packed_input)
        except (Ignore, Reject):
            # Celery calls no after_return for these.
            self.backend.running.pop(record.id, None)
            raise

    def after_return(self, status: str, retval: Any, task_id: str, *_: Any) -> None:  # noqa: ARG002
        """Forget the attempt; its outcome is stored."""
        self.backend.running.pop(task_id, None)

    def _outcome(self, record: TaskRecord, packed_input: bytes) -> Payload:
        try:
            return self._attempt(record, packed_input)
        except TaskStopped as stop:
            return self._stopped(record, stop)
        except (TaskPredicate, SystemExit, GeneratorExit) as error:
            # Celery's Ignore would leave the task in progress for ever, and sys.exit() would end
            # the pool process and look like a crash.
            return self._failed(record, RuntimeError(f"the task raised {error!r}"))
        except Exception as error:  # noqa: BLE001 - the wall around user code: a failure is an outcome
            return self._failed(record, error)

    # -- the claim -----------------------------------------------------------------------------

    def _claimed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[TaskRecord, bytes]:
        task_id = self.request.id
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        try:
            if not (self.request.headers or {}).get(HEADER):
                self._adopt(task_id, args, kwargs)
            claim = self.backend.store.begin(
                task_id, retries=self.request.retries, redelivered=redelivered
            )
        except Unavailable as error:
            logger.warning("task %s goes back to the queue: %s", task_id, error)
            time.sleep(_GIVE_BACK_PAUSE)  # or the message would go round and round
            raise Reject(str(error), requeue=True) from error
        record = claim.record
        if record is None or not claim.won:
            logger.info("task %s is not run: it is %s", task_id, _state(record))
            raise Ignore
        self._stop_if_poisonous(record)
        return record, claim.input or b""

    def _adopt(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give a record to a task that somebody sent with Celery's own ``send_task``."""
        if not is_task_id(task_id):
            raise Reject(f"{task_id!r} is no task id", requeue=False)
        record = self.new_record(task_id)
        try:
            document = self.endpoint.input.bind(args, kwargs)
        except InvalidInput:
            # What Celery stores as the failure needs a record to rest in.
            self.backend.store.put(record, pack({}))
            raise
        self.backend.store.put(record, pack(document))

    def new_record(self, task_id: str) -> TaskRecord:
        """Return the record of a new task of this endpoint."""
        return TaskRecord.submitted(task_id, self.endpoint.full_name, self.endpoint.retention)

    def _stop_if_poisonous(self, record: TaskRecord) -> None:
        crashes = record.attempts - record.retries - 1
        if crashes > MAX_CRASHES:
            message = f"its worker died {crashes} times while it ran"
            self.backend.store.fail(
                record.id, TaskError(type="WorkerLost", message=message), known=record
            )
            logger.error("task %s ends as failure: %s", record.id, message)
            raise Reject(message, requeue=False)

    # -- the attempt ---------------------------------------------------------------------------

    def _attempt(self, record: TaskRecord, packed_input: bytes) -> Payload:
        run = Run(
            task_id=record.id,
            timeout=self.endpoint.options.timeout,
            give_up=lambda stop: self._give_up(record, stop),
        )
        context = Context(
            task_id=record.id,
            attempt=record.attempts,
            request=RequestInfo(headers=record.headers),
            on_progress=lambda progress: setattr(run, "progress", progress),
            asked_to_stop=lambda: run.stop is not None,
        )
        try:
            with (
                tempfile.TemporaryDirectory(prefix="bentotask-") as workdir,
                self._guard().watching(run),
            ):
                return invoke(
                    self.endpoint, self._instance(), unpack(packed_input), context, Path(workdir)
                )
        finally:
            if run.progress is not None:
                # Rides along with the outcome, so that the last word is never lost to throttling.
                self.backend.running[record.id] = replace(record, progress=run.progress)

    def _give_up(self, record: TaskRecord, stop: TaskStopped) -> None:
        """End the record of an attempt that cannot be interrupted, and its process if we may."""
        if isinstance(stop, TaskTimeout):
            self.backend.store.fail(record.id, _error(stop), known=record)
        else:
            self.backend.store.stop(record.id, known=record)
        if self.kill is None:
            logger.error(
                "task %s does not end although it was stopped; this pool cannot kill it, and its "
                "slot stays taken until it ends: use the prefork pool",
                record.id,
            )
        else:
            self.kill()

    # -- the ends other than success -------------------------------------------------------------

    def _stopped(self, record: TaskRecord, stop: TaskStopped) -> Payload:
        if isinstance(stop, TaskTimeout):
            return self._failed(record, TimedOut(str(stop)))
        self.backend.store.stop(record.id, known=self.backend.running[record.id])
        raise Ignore from stop

    def _failed(self, record: TaskRecord, error: Exception) -> Payload:
        """Try again later, or raise what Celery shall store as the failure."""
        retries = record.retries
        # A status under 500 says that the input is at fault, and it will be next time too.
        hopeless = isinstance(error, HTTPError) and error.status < 500
        if hopeless or retries >= self.endpoint.options.retry:
            raise error
        countdown = backoff(retries)
        try:
            self._queue().publish(
                self.endpoint, record.id, retries=retries + 1, countdown=countdown
            )
        except Unavailable as unavailable:
            logger.warning("task %s goes back to the queue: %s", record.id, unavailable)
            raise Reject(str(unavailable), requeue=True) from error
        raise Retry(exc=error, when=countdown) from error


def task_class(endpoint: Endpoint) -> type[EndpointTask]:
    """Return the class of the task that runs ``endpoint``; Celery binds each class to one app."""
    options: dict[str, Any] = {
        "name": endpoint.full_name,
        "endpoint": endpoint,
        "max_retries": endpoint.options.retry,
        "__doc__": endpoint.doc,
        "__module__": endpoint.function.__module__,
    }
    if endpoint.options.timeout is not None:
        # The guard stops an attempt; Celery's own limit is for one that blocks even the guard.
        options["time_limit"] = endpoint.options.timeout + 2 * GRACE
    return type(endpoint.name, (EndpointTask,), options)


class TimedOut(Exception):
    """The attempt was stopped because it ran longer than ``timeout=``."""


def backoff(retries: int) -> float:
    """Return the seconds before the next attempt: 1, 2, 4 ... with full jitter above a half.

    Jitter spreads what failed together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    ceiling = min(float(2**retries), MAX_BACKOFF)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _error(stop: TaskStopped) -> TaskError:
    return TaskError(type=TimedOut.__name__, message=str(stop))


def _state(record: TaskRecord | None) -> str:
    return "unknown or expired" if record is None else record.status.value
