"""The contract's verbs as conversations: what to ask, and what the answers mean. No I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from bentotask.client._backoff import Backoff
from bentotask.client._endpoints import EndpointSchema
from bentotask.codec import decode_payload, encode_call
from bentotask.dialect import (
    Flow,
    Pause,
    Request,
    Response,
    error_from,
    parse_status,
    payload_from,
    record_from,
)
from bentotask.errors import (
    HTTPError,
    NotCompleted,
    RequestTimeout,
    ServerUnreachable,
    TaskCancelled,
    TaskFailed,
    TaskNotDone,
    TaskNotFound,
    TooManyRequests,
    TransportError,
    Unavailable,
    WaitTimeout,
)
from bentotask.record import Progress, TaskRecord, TaskStatus

T = TypeVar("T")

#: How long one question may be held by the server, seconds. The contract allows 60, but the usual
#: proxies (nginx, load balancers, platform routers) give up on a silent answer after 30 to 60.
LONGEST_HOLD: Final = 25.0

#: A request that changes nothing is asked again this often when its connection breaks.
REPEATS: Final = 2

#: How many answers in a row may be missing before a wait gives up; ten of them span a restart.
PATIENCE: Final = 10

_BRIEF: Final = Backoff(initial=0.1, maximum=1.0)

#: What reading damaged bytes raises, or a value that its schema (the server's too) does not fit.
_DAMAGED: Final = (AttributeError, KeyError, RecursionError, TypeError, ValueError)

Clock = Callable[[], float]


class Countdown:
    """How much is left of ``timeout`` seconds, ``None`` being endless."""

    def __init__(self, timeout: float | None, clock: Clock) -> None:
        self._clock = clock
        self._end = math.inf if timeout is None else clock() + timeout

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self._clock() >= self._end

    def clip(self, seconds: float) -> float:
        """Return ``seconds``, or what is left when that is less."""
        return max(0.0, min(seconds, self._end - self._clock()))


def exchange(request: Request) -> Flow[Response]:
    """Ask once; a ``GET`` again when its connection breaks, for it changes nothing.

    A request that ran out of time is not repeated: the answer would only come later still.
    """
    pauses = _BRIEF.pauses()
    for _ in range(REPEATS if request.method == "GET" else 0):
        try:
            response: Response = yield request
        except RequestTimeout:
            raise
        except TransportError:
            yield Pause(next(pauses))
        else:
            return response
    response = yield request
    return response


def ask(request: Request, verb: str = "", task_id: str | None = None) -> Flow[Response]:
    """Ask, and raise what the answer says when it is no success."""
    response = yield from exchange(request)
    if not response.ok:
        raise error_from(response, verb, task_id)
    return response


def fetch_schema() -> Flow[dict[str, EndpointSchema]]:
    """Learn the server's endpoints, by name."""
    response = yield from ask(Request("GET", "/schema.json"))

    def read(body: Any) -> dict[str, EndpointSchema]:
        found = (EndpointSchema.described(route) for route in body["routes"])
        return {endpoint.name: endpoint for endpoint in found}

    return _read(response, read, "a service's schema; is this the URL of the service?")


def until_ready(url: str, timeout: float, clock: Clock = time.monotonic) -> Flow[None]:
    """Ask ``/readyz`` until it answers 200.

    Raises:
        ServerUnreachable: it did not within ``timeout`` seconds.
    """
    countdown = Countdown(timeout, clock)
    for pause in _BRIEF.pauses():
        # A server that accepts but never answers must not use up the time of the next attempts.
        reason = yield from _unreadiness(timeout=max(0.1, countdown.clip(2.0)))
        if reason is None:
            return
        if countdown.is_over:
            raise ServerUnreachable(f"{url} was not ready within {timeout:g} s: {reason}")
        yield Pause(countdown.clip(pause))


def _unreadiness(timeout: float) -> Flow[str | None]:
    """Return why the server is not ready, or ``None`` when it is."""
    try:
        response: Response = yield Request("GET", "/readyz", timeout=timeout)
    except TransportError as exc:
        return str(exc)
    return None if response.status == 200 else str(error_from(response))


def call(endpoint: EndpointSchema, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Flow[Any]:
    """Run and wait for the result in one request.

    Raises:
        TaskFailed: it ended without a result; with the status of its error.
        TaskNotDone: it outlasted the server's patience; it goes on.
    """
    body = encode_call(endpoint.bound(args, kwargs), endpoint.input)
    request = Request("POST", endpoint.route, body=body)
    response = yield from exchange(request)
    if response.ok:
        return _result(endpoint, response)
    error = error_from(response, "call" if endpoint.is_task else "")
    if error.task_id is not None and not isinstance(error, TaskNotDone):
        error = yield from _explained(endpoint, error.task_id, error)
    raise error


def submit(endpoint: EndpointSchema, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Flow[str]:
    """Queue a task and return its id."""
    body = encode_call(endpoint.bound(args, kwargs), endpoint.input)
    request = Request("POST", f"{endpoint.route}/submit", body=body)
    response = yield from ask(request, "submit")
    return _task_id(response)


def status(endpoint: EndpointSchema, task_id: str, hold: float = 0.0) -> Flow[TaskRecord]:
    """Return what is known of a task, after at most ``hold`` seconds when it has not ended."""
    response = yield from ask(_question(endpoint, "status", task_id, hold), "status", task_id)
    return _read(response, record_from, "the status of a task")


def get(endpoint: EndpointSchema, task_id: str, hold: float = 0.0) -> Flow[Any]:
    """Return a task's result, after at most ``hold`` seconds when it has not ended.

    Raises:
        NotCompleted: it has not ended.
        TaskFailed: it ended without a result; with the status of its error.
        TaskCancelled: it was cancelled.
    """
    response = yield from exchange(_question(endpoint, "get", task_id, hold))
    if response.ok:
        return _result(endpoint, response)
    raise (yield from _explained(endpoint, task_id, error_from(response, "get", task_id)))


def _explained(endpoint: EndpointSchema, task_id: str, error: HTTPError) -> Flow[HTTPError]:
    """Tell a task's own error from one of the asking.

    A task chooses the status it fails with, so the answer alone cannot tell the two apart.
    """
    if isinstance(error, (NotCompleted, TaskNotFound)):
        return error
    try:
        record = yield from status(endpoint, task_id)
    except (HTTPError, TransportError):
        return error
    ended = {TaskStatus.FAILURE: TaskFailed, TaskStatus.CANCELLED: TaskCancelled}
    return _recast(error, ended.get(record.status, HTTPError))


def _recast(error: HTTPError, kind: type[HTTPError]) -> HTTPError:
    if kind is HTTPError and not isinstance(error, (TaskFailed, TaskCancelled)):
        return error
    facts = {k: v for k, v in vars(error).items() if k != "message"}
    return kind(error.message, **facts)


def cancel(endpoint: EndpointSchema, task_id: str, *, force: bool = False) -> Flow[TaskStatus]:
    """Cancel a task and return its status after that.

    Raises:
        Conflict: it began (without ``force``) or ended.
    """
    query = {"task_id": task_id} | ({"force": "true"} if force else {})
    # Of the two methods the contract allows, the one that a BentoML server knows too.
    request = Request("PUT", f"{endpoint.route}/cancel", query)
    response = yield from ask(request, "cancel", task_id)
    return _read(response, lambda body: parse_status(body["status"]), "the status of a task")


def retry(endpoint: EndpointSchema, task_id: str) -> Flow[str]:
    """Queue a finished task's input once more and return the new id."""
    # Of the two methods the contract allows, the one that a BentoML server knows too.
    request = Request("POST", f"{endpoint.route}/retry", {"task_id": task_id})
    response = yield from ask(request, "retry", task_id)
    return _task_id(response)


def wait(
    endpoint: EndpointSchema,
    task_id: str,
    timeout: float | None,
    poll: Backoff,
    clock: Clock = time.monotonic,
) -> Flow[TaskStatus]:
    """Wait until a task ends and return its status.

    The server holds each question until then; where one answers early (BentoML's does), the
    pauses of ``poll`` keep the questions apart. A server that is away for a moment is forgiven.

    Raises:
        WaitTimeout: it did not end within ``timeout`` seconds; it goes on.
    """
    countdown = Countdown(timeout, clock)
    pauses = poll.pauses()
    while True:
        asked = clock()
        record = yield from _patient_status(endpoint, task_id, countdown, pauses)
        if record.status.is_terminal:
            return record.status
        if countdown.is_over:
            raise WaitTimeout(f"task {task_id} has not ended within {timeout:g} s; it goes on")
        if clock() - asked < LONGEST_HOLD / 2:
            yield Pause(countdown.clip(next(pauses)))


def _patient_status(
    endpoint: EndpointSchema,
    task_id: str,
    countdown: Countdown,
    pauses: Iterator[float],
    hold: float = LONGEST_HOLD,
) -> Flow[TaskRecord]:
    """Return the status, held as long as may be; forgive a server that is away for a moment."""
    for patience in reversed(range(PATIENCE)):
        try:
            return (yield from status(endpoint, task_id, countdown.clip(hold)))
        except (Unavailable, TransportError) as exc:
            if not patience or countdown.is_over:
                raise
            pause: float = getattr(exc, "retry_after", None) or next(pauses)
            yield Pause(countdown.clip(pause))
    raise AssertionError("the last round returns or raises")


def next_progress(
    endpoint: EndpointSchema, task_id: str, seen: Progress | None, poll: Backoff
) -> Flow[Progress | None]:
    """Return the first progress that differs from ``seen``, or ``None`` when the task ended.

    A server that is away for a moment is forgiven.
    """
    endless = Countdown(None, time.monotonic)
    pauses = poll.pauses()
    while True:
        # Held, the answer would come when the task ends and not when its progress changes.
        record = yield from _patient_status(endpoint, task_id, endless, pauses, hold=0.0)
        if record.progress is not None and record.progress != seen:
            return record.progress
        if record.status.is_terminal:
            return None
        yield Pause(next(pauses))


def run_item(endpoint: EndpointSchema, item: Any, poll: Backoff) -> Flow[Any]:
    """Run one item of a ``map`` to its result, however long the queue is.

    Raises:
        HTTPError: as ``submit`` and ``get`` do, but for a full queue, which is waited for.
    """
    args, kwargs = _call_of(item)
    if not endpoint.is_task:
        return (yield from call(endpoint, args, kwargs))
    task_id = yield from _submit_patiently(endpoint, args, kwargs, poll)
    yield from wait(endpoint, task_id, None, poll)
    return (yield from get(endpoint, task_id))


def _submit_patiently(
    endpoint: EndpointSchema, args: tuple[Any, ...], kwargs: Mapping[str, Any], poll: Backoff
) -> Flow[str]:
    for pause in poll.pauses():
        try:
            return (yield from submit(endpoint, args, kwargs))
        except TooManyRequests as full:
            # The server says that nothing was accepted, so asking again repeats nothing.
            yield Pause(full.retry_after or pause)
    raise AssertionError("pauses have no end")


def _call_of(item: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Read an item of a ``map``: a mapping names arguments, a tuple lists them, else it is one."""
    if isinstance(item, Mapping):
        return (), item
    return (item if isinstance(item, tuple) else (item,)), {}


def _question(endpoint: EndpointSchema, verb: str, task_id: str, hold: float) -> Request:
    query = {"task_id": task_id}
    if hold > 0:
        query["wait"] = f"{hold:.3f}"
    return Request("GET", f"{endpoint.route}/{verb}", query, hold=hold)


def _task_id(response: Response) -> str:
    return _read(response, lambda body: str(body["task_id"]), "a task")


def _result(endpoint: EndpointSchema, response: Response) -> Any:
    try:
        return decode_payload(payload_from(response), endpoint.output)
    except _DAMAGED as exc:
        raise _unreadable(response, f"a result of {endpoint.name}") from exc


def _read(response: Response, reader: Callable[[Any], T], what: str) -> T:
    """Read a successful answer, or say what was expected of it."""
    try:
        return reader(response.json())
    except _DAMAGED as exc:
        raise _unreadable(response, what) from exc


def _unreadable(response: Response, what: str) -> HTTPError:
    kind = response.media_type or "no content type"
    return HTTPError(
        f"expected {what} (got {response.status} {kind})",
        status=response.status,
        body=response.body.decode("utf-8", "replace"),
    )
