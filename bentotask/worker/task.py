"""The Celery task behind every ``@task`` method, from claim to result."""

from __future__ import annotations

import logging
import random
import tempfile
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from celery import Task
from celery.exceptions import Ignore, Reject, Retry, TaskPredicate

from bentotask.codec import Payload, pack, unpack
from bentotask.context import Context, RequestInfo
from bentotask.endpoint import Endpoint
from bentotask.errors import InvalidInput, TaskNotFound, TaskStopped, TaskTimeout
from bentotask.invocation import invoke
from bentotask.queue import HEADER, Queue
from bentotask.record import TaskError, TaskRecord, is_task_id
from bentotask.store import Claim
from bentotask.store.backend import ResultBackend, own_status, task_error
from bentotask.store.holding import HOLD, StayedAway, hold
from bentotask.worker.guard import GRACE, Guard, Run

logger = logging.getLogger(__name__)

#: How often a task may lose its worker before it ends as a failure instead of running again.
MAX_CRASHES: Final = 3
#: Longest pause between two automatic retries, seconds; well under RabbitMQ's consumer timeout.
MAX_BACKOFF: Final = 300.0


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
                being lost, so it goes no further.
        """
        try:
            return self._run(*self._claimed(args, kwargs))
        except StayedAway as error:
            raise Reject(str(error), requeue=True) from error

    def after_return(self, status: str, retval: Any, task_id: str, *_: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Forget the task; Celery has asked for its outcome by now, if it ever does."""
        self.backend.settled.discard(task_id)

    def _run(self, record: TaskRecord, packed_input: bytes) -> Payload:
        run = Run(
            task_id=record.id,
            attempt=record.attempts,
            timeout=self.endpoint.options.timeout,
            give_up=lambda: self._give_up(record, run),
        )
        try:
            payload = self._attempt(run, record, packed_input)
        except TaskStopped as stop:
            if run.stop is not None:
                return self._stopped(_told(record, run), stop)
            return self._failed(_told(record, run), RuntimeError(f"the task raised {stop!r}"))
        except (TaskPredicate, SystemExit, GeneratorExit, CancelledError) as error:
            # Celery's Ignore would leave the task in progress for ever, and what is no Exception,
            # such as sys.exit(), would end the pool process and look like a crash.
            return self._failed(_told(record, run), RuntimeError(f"the task raised {error!r}"))
        except Exception as error:  # noqa: BLE001 - the wall around user code: a failure is an outcome
            return self._failed(_told(record, run), error)
        known = _told(record, run)
        self._settle(record.id, lambda: self.backend.store.succeed(record.id, payload, known=known))
        return payload

    def _settle(self, task_id: str, step: Callable[[], Claim]) -> None:
        """Store the outcome here and now, on every pool alike; Celery's own writing then rests.

        Celery would lose what its result backend raises on the threads and solo pools.
        """
        hold(step, f"the outcome of task {task_id}")
        self.backend.settled.add(task_id)

    # -- the claim -----------------------------------------------------------------------------

    def _claimed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[TaskRecord, bytes]:
        task_id = self.request.id
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        claim = hold(
            lambda: self._begin(task_id, args, kwargs, redelivered=redelivered), f"task {task_id}"
        )
        record = claim.record
        if record is None or not claim.won:
            logger.info("task %s is not run: it is %s", task_id, _state(record))
            raise Ignore
        if record.cancel_requested:
            self._stop_here(record)
        self._stop_if_poisonous(record)
        return record, claim.input or b""

    def _begin(
        self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, redelivered: bool
    ) -> Claim:
        if not (self.request.headers or {}).get(HEADER):
            self._adopt(task_id, args, kwargs)
        return self.backend.store.begin(
            task_id, retries=self.request.retries, redelivered=redelivered
        )

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
            message = f"its worker was lost {crashes} times while it ran"
            error = TaskError(type="WorkerLost", message=message)
            hold(
                lambda: self.backend.store.fail(record.id, error, known=record),
                f"the outcome of task {record.id}",
            )
            logger.error("task %s ends as failure: %s", record.id, message)
            raise Reject(message, requeue=False)

    # -- the attempt ---------------------------------------------------------------------------

    def _attempt(self, run: Run, record: TaskRecord, packed_input: bytes) -> Payload:
        context = Context(
            task_id=record.id,
            attempt=record.attempts,
            request=RequestInfo(headers=record.headers),
            on_progress=run.tell,
            asked_to_stop=lambda: run.stop is not None,
            on_coroutine=lambda cancel: setattr(run, "cancel", cancel),
        )
        with (
            tempfile.TemporaryDirectory(prefix="bentotask-") as workdir,
            self._guard().watching(run),
        ):
            return invoke(
                self.endpoint, self._instance(), unpack(packed_input), context, Path(workdir)
            )

    def _give_up(self, record: TaskRecord, run: Run) -> None:
        """End the record of an attempt that cannot be interrupted, and its process if we may.

        Such an attempt is not tried again: the next would block as well.
        """
        if isinstance(run.stop, TaskTimeout):
            error = task_error(TimedOut(str(run.stop)))
            self.backend.store.fail(record.id, error, known=record)
        elif self._asked_to_stop(record.id):
            self.backend.store.stop(record.id, known=record)
        if run.ended:
            return  # it did end meanwhile, and the process is on its next task
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
        if hold(lambda: self._asked_to_stop(record.id), f"task {record.id}"):
            self._stop_here(record)
        logger.warning("task %s: a later attempt has begun, so this one ends", record.id)
        raise Ignore from stop

    def _stop_here(self, record: TaskRecord) -> NoReturn:
        """End a task as cancelled, of which Celery then writes nothing."""
        hold(
            lambda: self.backend.store.stop(record.id, known=record),
            f"the outcome of task {record.id}",
        )
        raise Ignore

    def _asked_to_stop(self, task_id: str) -> bool:
        try:
            return self.backend.store.get(task_id).cancel_requested
        except TaskNotFound:
            return False

    def _failed(self, record: TaskRecord, error: Exception) -> Payload:
        """Try again later, or store the failure and raise it for Celery to tell.

        Raises:
            Retry: another attempt is on the queue.
            Ignore: another attempt runs already, or the task has ended.
        """
        outcome = task_error(error)
        if hopeless(error) or record.retries >= self.endpoint.options.retry:
            self._settle(
                record.id, lambda: self.backend.store.fail(record.id, outcome, known=record)
            )
            raise error
        claim = hold(
            lambda: self.backend.store.attempt_failed(record, outcome),
            f"the failed attempt of task {record.id}",
        )
        if not claim.won:
            logger.warning(
                "task %s: an attempt failed too late, the task is %s",
                record.id,
                _state(claim.record),
            )
            raise Ignore from error
        if hold(lambda: self._asked_to_stop(record.id), f"task {record.id}"):
            self._stop_here(record)
        countdown = backoff(record.retries)
        hold(
            lambda: self._queue().publish(
                self.endpoint, record.id, retries=record.retries + 1, countdown=countdown
            ),
            f"the next attempt of task {record.id}",
        )
        raise Retry(exc=error, when=countdown) from error


def hopeless(error: Exception) -> bool:
    """Tell whether the input is at fault, so that another attempt would fail as well.

    A status under 500 says so, except for those that ask to come back later.
    """
    status = own_status(error)
    return status is not None and status < 500 and status not in {408, 425, 429}


def _told(record: TaskRecord, run: Run) -> TaskRecord:
    """Return the record with the attempt's last word, which rides along with its outcome.

    So none is lost to throttling.
    """
    return record if run.last_word is None else replace(record, progress=run.last_word)


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
        # It leaves time to hold an outcome, and the next attempt, for servers that are away.
        options["time_limit"] = endpoint.options.timeout + 2 * GRACE + 2 * HOLD
    return type(endpoint.name, (EndpointTask,), options)


class TimedOut(Exception):
    """The attempt was stopped because it ran longer than ``timeout=``."""


def backoff(retries: int) -> float:
    """Return the seconds before the next attempt: 1, 2, 4 ... with full jitter above a half.

    Jitter spreads what failed together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    ceiling = min(float(2**retries), MAX_BACKOFF)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _state(record: TaskRecord | None) -> str:
    if record is None:
        return "unknown or expired"
    return f"{record.status.value}, attempt {record.attempts}"
