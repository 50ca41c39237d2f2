"""What bentotask promises to those who know it by Celery's own words, on every stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as StillWaitingError
from celery.result import AsyncResult
from pytest_celery import CeleryTestSetup

from bentotask.dispatch import TaskHandle
from bentotask.endpoint import PRIORITIES
from bentotask.errors import TaskNotFound
from bentotask.record import TaskStatus, new_task_id
from tests.celery_contract.containers import Gate, LocalWorker, Tasks
from tests.servers.process import wait_until

PATIENCE: Final = 30
#: How Celery's get() waits: it looks every half second unless told.
SOON: Final = {"timeout": PATIENCE, "interval": 0.05}


@pytest.fixture
def result_of(celery_setup: CeleryTestSetup) -> Callable[[TaskHandle], AsyncResult]:
    """Celery's view of a task."""
    return lambda task: celery_setup.app.AsyncResult(task.id)


@pytest.fixture
def busy(celery_setup: CeleryTestSetup, tasks: Tasks, gate: Gate) -> TaskHandle:
    """A task that holds the worker's one slot: the next one waits."""
    task = tasks.submit("hold", gate=gate.path)
    gate.await_task()
    return task


def marks(celery_setup: CeleryTestSetup) -> list[str]:
    """What tasks have left behind, in their order."""
    worker: LocalWorker = celery_setup.worker.container
    return (worker.directory / "ran").read_text().split()


def test_a_submitted_task_succeeds_for_both(tasks: Tasks, result_of: Any) -> None:
    """Celery's AsyncResult says SUCCESS with the very value that the contract's get gives."""
    task = tasks.submit("add", a=2, b=3)
    assert result_of(task).get(**SOON) == 5
    assert result_of(task).state == "SUCCESS"
    assert task.get_status() is TaskStatus.SUCCESS
    assert task.get() == result_of(task).result == 5


def test_a_waiting_task_is_pending_for_both(tasks: Tasks, busy: TaskHandle, result_of: Any) -> None:
    """Celery's get(timeout) gives up in time, and the running one is STARTED."""
    task = tasks.submit("add", a=2, b=3)
    with pytest.raises(StillWaitingError):
        result_of(task).get(timeout=0.1)
    assert (result_of(task).state, task.get_status()) == ("PENDING", TaskStatus.PENDING)
    assert (result_of(busy).state, busy.get_status()) == ("STARTED", TaskStatus.IN_PROGRESS)


def test_an_unknown_id_is_pending_for_celery_and_not_found_here(
    tasks: Tasks, result_of: Any
) -> None:
    """Celery cannot tell unknown from waiting; the contract can."""
    nobody = tasks.of("add", new_task_id())
    assert result_of(nobody).state == "PENDING"
    with pytest.raises(TaskNotFound):
        nobody.status()


def test_a_failure_carries_type_and_message(tasks: Tasks, result_of: Any) -> None:
    """What the task raised is told by name and text, to Celery's callers as an exception."""
    task = tasks.submit("refuse", why="no such thing")
    with pytest.raises(Exception, match=r"^no such thing$") as raised:
        result_of(task).get(**SOON)
    assert type(raised.value).__name__ == "ValueError"
    assert result_of(task).state == "FAILURE"
    assert str(task.status().error) == "ValueError: no such thing"


def test_a_cancelled_task_never_runs(
    tasks: Tasks, busy: TaskHandle, gate: Gate, celery_setup: CeleryTestSetup, result_of: Any
) -> None:
    """It is REVOKED for Celery, and the worker passes it by on its way to the next one."""
    never, after = tasks.submit("mark", name="never"), tasks.submit("mark", name="after")
    never.cancel()
    gate.open()
    assert tasks.ended(after).status is TaskStatus.SUCCESS
    assert never.get_status() is TaskStatus.CANCELLED
    assert marks(celery_setup)[-1:] == ["after"]
    assert "never" not in marks(celery_setup)
    with pytest.raises(TaskRevokedError):
        result_of(never).get(**SOON)


def test_a_revoked_task_ends_cancelled(
    tasks: Tasks, busy: TaskHandle, gate: Gate, celery_setup: CeleryTestSetup, result_of: Any
) -> None:
    """Celery's own revoke of a waiting task is a cancel, once a worker comes to it."""
    task = tasks.submit("mark", name="revoked")
    result_of(task).revoke()
    inspect = celery_setup.app.control.inspect([celery_setup.worker.hostname()], timeout=PATIENCE)
    wait_until(
        lambda: task.id in inspect.revoked()[celery_setup.worker.hostname()], PATIENCE, "revoked"
    )
    gate.open()
    assert tasks.ended(task).status is TaskStatus.CANCELLED
    assert result_of(task).state == "REVOKED"
    assert "revoked" not in marks(celery_setup)


def test_a_killed_worker_loses_no_queued_task(
    tasks: Tasks, celery_setup: CeleryTestSetup, result_of: Any
) -> None:
    """What was accepted while there was none waits for the next one."""
    celery_setup.worker.kill()
    task = tasks.submit("add", a=2, b=3)
    assert task.get_status() is TaskStatus.PENDING
    celery_setup.worker.restart()
    assert result_of(task).get(**SOON) == 5


def test_a_broker_restart_loses_no_task(
    tasks: Tasks, busy: TaskHandle, gate: Gate, celery_setup: CeleryTestSetup, result_of: Any
) -> None:
    """Neither the running one, which is not run again, nor the one that waits behind it."""
    task = tasks.submit("add", a=2, b=3)
    celery_setup.broker.restart()
    gate.open()
    assert result_of(task).get(**SOON) == 5
    assert tasks.ended(busy).attempts == 1
    assert tasks.ended(busy).status is TaskStatus.SUCCESS


@pytest.fixture
def send(celery_setup: CeleryTestSetup, tasks: Tasks) -> Iterator[Callable[..., TaskHandle]]:
    """A producer that has the broker's address and no code of ours."""
    with Celery(broker=celery_setup.app.conf.broker_url, set_as_current=False) as producer:
        # RabbitMQ has every process declare a queue alike, and ours have priorities.
        producer.conf.task_queue_max_priority = PRIORITIES[-1]
        queue = celery_setup.worker.worker_queue

        def send(**kwargs: Any) -> TaskHandle:
            sent = producer.send_task("Contract.add", kwargs=kwargs, queue=queue)
            return tasks.of("add", sent.id)

        yield send


def test_a_foreign_producer_may_send_a_task(
    send: Callable[..., TaskHandle], tasks: Tasks, result_of: Any
) -> None:
    """send_task by name runs, and the contract's verbs work on the id that it gave."""
    task = send(a=2, b=3)
    assert result_of(task).get(**SOON) == 5
    assert task.get() == 5
    again = task.retry()
    assert tasks.ended(again).status is TaskStatus.SUCCESS


@pytest.mark.parametrize("garbage", [{"a": 1}, {"a": 1, "b": "x"}, {"a": 1, "b": 2, "c": 3}])
def test_garbage_ends_as_failure(
    garbage: dict[str, Any], send: Callable[..., TaskHandle], tasks: Tasks, result_of: Any
) -> None:
    """Arguments that do not fit end the task and say why; the worker goes on."""
    task = send(**garbage)
    ended = tasks.ended(task)
    assert ended.error is not None
    assert ended.error.type == "InvalidInput"
    assert result_of(task).state == "FAILURE"
    assert result_of(send(a=2, b=3)).get(**SOON) == 5


def test_inspect_shows_readable_names(celery_setup: CeleryTestSetup) -> None:
    """``celery inspect registered`` names each task as Service.method."""
    host = celery_setup.worker.hostname()
    registered = celery_setup.app.control.inspect([host], timeout=PATIENCE).registered()
    ours = {"Contract.add", "Contract.refuse", "Contract.mark", "Contract.hold"}
    assert {name.split(" ")[0] for name in registered[host]} >= ours
