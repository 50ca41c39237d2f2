"""The recipe for your own tests: a service that runs for real, inside of pytest.

Celery's ``celery_session_worker`` starts a worker in a thread of the test process; the fixtures
below give it the service's own application. Copy them into your ``conftest.py``, put your service
in the place of ``Shop`` and your Redis in the place of ``redis_address``. No Docker is needed.

- Ask for ``celery_session_worker``. Where pytest-celery is installed, ``celery_worker`` is another
  thing: a worker in a Docker container.
- The broker and the results are named in the environment before the service is first used, for it
  reads its settings once.
- The worker's pool is ``solo`` or ``threads``. Pool processes would not see what a test has
  patched, and a limit on time is enforced by a pool process alone.
- Celery's ping check is switched off: its ping is no task of a service, so its result has no
  record to rest in. The worker is ready all the same when the fixture returns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.app import setup_default_app
from celery.contrib.testing.worker import TestWorkController

import bentotask
from bentotask.record import TaskStatus
from tests.celery_contract.containers import Tasks
from tests.servers.redis import Redis

logger = logging.getLogger(__name__)


@bentotask.service
class Shop:
    """Somebody's service."""

    prices = {"tea": 3}  # noqa: RUF012 - as somebody would write it

    @bentotask.task
    def total(self, items: list[str]) -> int:
        """Add up prices."""
        logger.info("adding up")
        return sum(self.prices[item] for item in items)


@pytest.fixture(scope="session")
def redis_address(redis: Redis) -> Iterator[str]:
    """Where the suite's Redis is."""
    database = redis.revive().take_database()
    yield redis.url(database)
    redis.release_database(database)


@pytest.fixture(scope="session")
def celery_session_app(redis_address: str) -> Iterator[Celery]:
    """The service's application, on that Redis, in the place of Celery's empty one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOTASK_BROKER_URL", redis_address)
        patch.setenv("BENTOTASK_RESULT_BACKEND", redis_address)
        app: Celery = Shop.celery  # type: ignore[attr-defined]  # mypy takes the class for what it was
        app.log.already_setup = True  # Celery leaves the tests' logging as it is
        with setup_default_app(app):  # the application that was current returns
            yield app


@pytest.fixture(scope="session")
def celery_worker_parameters() -> dict[str, Any]:
    """How Celery starts the worker."""
    return {"perform_ping_check": False}


@pytest.fixture
def shop(celery_session_worker: TestWorkController) -> Tasks:
    """The service, with a worker that runs its tasks."""
    return Tasks(Shop)  # type: ignore[arg-type]


def test_a_task_runs_in_this_process(shop: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real broker and back, and what the test has patched holds in the task."""
    monkeypatch.setitem(Shop.prices, "tea", 4)
    task = shop.submit("total", items=["tea", "tea"])
    assert shop.ended(task).status is TaskStatus.SUCCESS
    assert task.get() == 8


def test_celery_waits_for_it_too(shop: Tasks, celery_session_app: Celery) -> None:
    """The application's own AsyncResult gives the result."""
    task = shop.submit("total", items=["tea"])
    assert celery_session_app.AsyncResult(task.id).get(timeout=10, interval=0.05) == 3


def test_a_failure_leaves_the_worker_running(shop: Tasks) -> None:
    """What a task raises is told by the contract, and the next task runs."""
    failed, good = shop.submit("total", items=["coffee"]), shop.submit("total", items=["tea"])
    assert str(shop.ended(failed).error) == "KeyError: 'coffee'"
    assert shop.ended(good).status is TaskStatus.SUCCESS


def test_what_a_task_logs_reaches_the_test(shop: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    """The worker does not take pytest's log handlers away."""
    with caplog.at_level("INFO"):
        shop.ended(shop.submit("total", items=["tea"]))
    assert "adding up" in caplog.messages
