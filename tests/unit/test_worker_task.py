"""The Celery task behind an endpoint, while servers come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

import bentotask
from bentotask.codec import pack
from bentotask.errors import (
    InvalidInput,
    TaskNotFound,
    TaskStopped,
    TooManyRequests,
    Unavailable,
)
from bentotask.record import TaskRecord, TaskStatus, new_task_id
from bentotask.store import holding
from bentotask.store.backend import ResultBackend
from bentotask.store.base import Change, Row
from bentotask.store.memory import MemoryStore
from bentotask.worker.guard import Guard
from bentotask.worker.task import EndpointTask, task_class


class MovingStore(MemoryStore):
    """Away for the next ``outages`` writes."""

    def __init__(self) -> None:
        super().__init__()
        self.outages = 0

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        if self.outages > 0:
            self.outages -= 1
            raise OSError("away")
        return super()._swap(task_id, change)


class SlowQueue:
    """Full for the next ``refusals`` publishes."""

    def __init__(self) -> None:
        self.refusals = 0
        self.published: list[int] = []

    def publish(self, *_: Any, retries: int = 0, **__: Any) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise TooManyRequests("full")
        self.published.append(retries)


STORES: list[MovingStore] = []


@bentotask.service
class Svc:
    """What the tasks under test run."""

    @bentotask.task
    def lose(self, outages: int) -> str:
        """Lose the store as it ends."""
        STORES[-1].outages = outages
        return "kept"

    @bentotask.task(retry=2)
    def fail(self, how: str) -> None:
        """Fail in one of several ways."""
        raise {
            "plain": RuntimeError("plain"),
            "called": Unavailable("theirs", body={"error": "theirs"}),
            "input": InvalidInput("no such colour"),
            "stop": TaskStopped("of its own accord"),
            "cancel": asyncio.CancelledError(),
            "exit": SystemExit(3),
            "missing": TaskNotFound(body={"error": "another service's"}),
        }[how]


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The parts around a task, and little patience."""
    monkeypatch.setattr(holding, "HOLD", 0.5)
    made = Lab()
    STORES.append(made.store)
    yield made
    STORES.clear()


class Lab:
    """A store, a queue, and the tasks of the service between them."""

    def __init__(self) -> None:
        self.store = MovingStore()
        self.queue = SlowQueue()
        self.app = Celery("lab", broker="memory://", set_as_current=False)
        self.service: Any = Svc

    def run(self, name: str, **values: Any) -> tuple[str, TaskRecord]:
        """Run one attempt as a worker would, and return Celery's state and our record."""
        endpoint = self.service.spec.endpoints[name]
        record = TaskRecord.submitted(new_task_id(), endpoint.full_name, 60.0)
        self.store.put(record, pack(values))
        task: EndpointTask = task_class(endpoint)(
            instance=self.service,
            queue=lambda: self.queue,  # type: ignore[arg-type,return-value]  # as much as is used
            guard=lambda: Guard(self.store),
            backend=ResultBackend(self.app, store=self.store),
        )
        self.app.register_task(task)
        done = task.apply(task_id=record.id, headers={"bentotask": "1"})
        assert not task.backend.settled
        return done.state, self.store.get(record.id)


def test_an_outcome_is_held_until_the_store_is_back(lab: Lab) -> None:
    """A finished result is worth waiting for."""
    state, record = lab.run("lose", outages=2)
    assert (state, record.status) == ("SUCCESS", TaskStatus.SUCCESS)


def test_a_task_goes_back_when_the_store_stays_away(lab: Lab) -> None:
    """Rejected and not acknowledged: a worker gets it again, with its result not stored."""
    state, record = lab.run("lose", outages=100)
    assert (state, record.status) == ("REJECTED", TaskStatus.IN_PROGRESS)


def test_a_retry_is_held_until_the_queue_takes_it(lab: Lab) -> None:
    """A full queue is waited for like a server that is away."""
    lab.queue.refusals = 2
    state, record = lab.run("fail", how="plain")
    assert (state, lab.queue.published) == ("RETRY", [1])
    assert (record.waiting, str(record.error)) == (True, "RuntimeError: plain")


@pytest.mark.parametrize("how", ["stop", "cancel", "exit"])
def test_what_is_no_exception_is_a_failed_attempt(lab: Lab, how: str) -> None:
    """It neither ends the process nor leaves the task in progress without a message."""
    state, record = lab.run("fail", how=how)
    assert (state, lab.queue.published) == ("RETRY", [1])
    assert str(record.error).startswith("RuntimeError: the task raised")


@pytest.mark.parametrize("how", ["called", "missing"])
def test_errors_of_a_called_service_are_retried_and_stay_500(lab: Lab, how: str) -> None:
    """Their status is no choice of this task's."""
    state, record = lab.run("fail", how=how)
    assert state == "RETRY"
    assert record.error is not None
    assert record.error.status == 500


def test_input_at_fault_is_not_tried_again(lab: Lab) -> None:
    """A status under 500 of the task's own choice ends it at once, and is the answer's."""
    state, record = lab.run("fail", how="input")
    assert (state, record.status, lab.queue.published) == ("FAILURE", TaskStatus.FAILURE, [])
    assert record.error is not None
    assert record.error.status == 400
