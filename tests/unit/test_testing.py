"""A plain instance needs no broker, and the inline queue runs the same state machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bentotask
from bentotask.endpoint import Endpoint
from bentotask.errors import (
    Conflict,
    InvalidInput,
    NotInTaskError,
    TaskFailed,
    TaskNotFound,
)
from bentotask.invocation import invoke
from bentotask.record import Progress, TaskStatus, new_task_id
from bentotask.testing import inline_dispatcher


@bentotask.service
class Svc:
    """A service to try."""

    def __init__(self, scale: int = 2) -> None:
        self.scale = scale

    @bentotask.task
    def double(self, x: int) -> int:
        return self.scale * x

    @bentotask.task
    def chain(self, x: int) -> str:
        handle = self.double.submit(x)
        return f"{handle} {handle.get_status()} {handle.get()}"

    @bentotask.task(retry=2)
    async def flaky(self, ctx: bentotask.Context) -> int:
        if ctx.attempt < 3:
            raise RuntimeError("not yet")
        bentotask.progress(1, 1, "done")
        return ctx.attempt

    @bentotask.task
    def boom(self) -> None:
        raise ValueError("boom")

    @bentotask.api
    def info(self) -> dict[str, Any]:
        return {"scale": self.scale}


def endpoint(name: str) -> Endpoint:
    """Return an endpoint of it; mypy takes the decorated class for what it was before."""
    service: Any = Svc
    found: Endpoint = service.spec.endpoints[name]
    return found


DOUBLE = endpoint("double")


def test_methods_of_a_plain_instance_are_plain() -> None:
    """A unit test calls them as they are written."""
    service = Svc(scale=3)
    assert service.double(2) == 6
    assert service.info() == {"scale": 3}


def test_submitting_from_a_plain_instance_runs_at_once() -> None:
    """Chaining works in a unit test, on the same instance, with a real handle."""
    task_id, status, result = Svc(scale=5).chain(2).split()
    assert (len(task_id), status, result) == (32, "SUCCESS", "10")


def test_submitting_an_api_says_what_to_do() -> None:
    """It runs at once anyway."""
    with pytest.raises(AttributeError, match="make it @task"):
        Svc().info.submit()


def test_a_class_that_is_no_service_cannot_submit() -> None:
    """The message names the decorator that is missing."""

    class Loose:
        @bentotask.task
        def run(self) -> None: ...

    with pytest.raises(NotInTaskError, match="@service"):
        Loose().run.submit()


def test_automatic_retries_and_progress() -> None:
    """The third attempt succeeds, as it would in a worker."""
    dispatcher = inline_dispatcher(Svc())
    flaky = endpoint("flaky")
    record = dispatcher.status(flaky, dispatcher.submit(flaky, {}).id)
    assert (record.status, record.attempts) == (TaskStatus.SUCCESS, 3)
    assert record.progress is not None
    assert record.progress.message == "done"


def test_a_failure_has_its_type_and_text() -> None:
    """Never a traceback."""
    dispatcher = inline_dispatcher(Svc())
    boom = endpoint("boom")
    record = dispatcher.submit(boom, {})
    with pytest.raises(TaskFailed, match=r"^ValueError: boom$"):
        dispatcher.result(boom, record.id)


def test_verbs_refuse_what_is_not_theirs() -> None:
    """Unknown, malformed and another endpoint's ids are all just not found."""
    dispatcher = inline_dispatcher(Svc())
    other = dispatcher.submit(endpoint("boom"), {}).id
    for task_id in (new_task_id(), "../../x", other):
        for verb in (dispatcher.status, dispatcher.result, dispatcher.cancel, dispatcher.retry):
            with pytest.raises(TaskNotFound):
                verb(DOUBLE, task_id)


def test_retry_is_a_new_task_with_the_same_input() -> None:
    """Also of a task that succeeded."""
    dispatcher = inline_dispatcher(Svc())
    first = dispatcher.submit(DOUBLE, {"x": 4})
    again = dispatcher.retry(DOUBLE, first.id)
    assert again.id != first.id
    assert dispatcher.result(DOUBLE, again.id).body == b"8"
    assert dispatcher.status(DOUBLE, again.id).retry_of == first.id


def test_what_has_ended_cannot_be_cancelled() -> None:
    """The message says what it is."""
    dispatcher = inline_dispatcher(Svc())
    with pytest.raises(Conflict, match="already success"):
        dispatcher.cancel(DOUBLE, dispatcher.submit(DOUBLE, {"x": 1}).id, force=True)


def test_bad_input_stores_nothing() -> None:
    """It is refused before there is a task."""
    dispatcher = inline_dispatcher(Svc())
    with pytest.raises(InvalidInput):
        dispatcher.submit(DOUBLE, {"x": "many"})


def test_progress_outside_of_a_task_is_harmless() -> None:
    """A method must run unchanged in a unit test; only asking for the context is an error."""
    bentotask.progress(1, 2)
    with pytest.raises(NotInTaskError):
        bentotask.current()


def test_progress_takes_numbers_of_any_kind() -> None:
    """Numpy's too, which JSON does not know; what is no number at all is not told."""
    told: list[Progress] = []
    context = bentotask.Context(on_progress=told.append)
    context.progress(np.float64(3.0), np.float64(9.5), "third")
    context.progress(float("nan"))
    assert told == [Progress(current=3, total=9.5, message="third")]
    assert type(told[0].current) is int


def test_a_cancelled_coroutine_does_not_go_on_with_the_next() -> None:
    """What stops an async task ends its loop, and with it all that it had begun."""
    steps: list[str] = []
    cancels: list[Callable[[], object]] = []

    async def aside() -> None:
        await asyncio.sleep(0.1)
        steps.append("aside")

    @bentotask.service
    class Async:
        @bentotask.task
        async def stopped(self) -> None:
            self.aside = asyncio.create_task(aside())
            cancels[0]()
            await asyncio.sleep(0.2)
            steps.append("after the stop")

        @bentotask.task
        async def next(self) -> None:
            await asyncio.sleep(0.4)
            steps.append("next")

    service: Any = Async
    instance, ends = service(), service.spec.endpoints
    context = bentotask.Context(on_coroutine=cancels.append)
    with pytest.raises(asyncio.CancelledError):
        invoke(ends["stopped"], instance, {}, context, Path())
    invoke(ends["next"], instance, {}, bentotask.Context(), Path())
    assert steps == ["next"]
