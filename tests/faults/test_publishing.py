"""Submits while the broker or the result backend suffers: an answer in time, and the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.faults.lab import Lab
from tests.faults.services import FRAGILE
from tests.faults.test_crashes import ran
from tests.servers.faultproxy import FaultProxy
from tests.servers.process import wait_until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

#: The contract's limit: an outage is told within two seconds.
PATIENCE = 2.0


def submit(lab: Lab, n: int) -> requests.Response:
    """Submit and fail the test when the answer takes longer than promised."""
    url = f"{lab.site.url}/mark/submit"
    return requests.post(url, json={"n": n}, timeout=PATIENCE)


def refused(response: requests.Response) -> bool:
    """Whether the answer says: nothing was accepted, come back later."""
    body: dict[str, Any] = response.json()
    return (
        response.status_code == 503
        and int(response.headers["Retry-After"]) > 0
        and "task_id" not in body
        and "127.0.0.1" not in body["error"]
    )


@pytest.mark.parametrize(
    ("hurt", "heal"),
    [
        pytest.param(RabbitMQ.pause, RabbitMQ.resume, id="stopped"),
        pytest.param(
            lambda broker: broker.set_memory_alarm(on=True),
            lambda broker: broker.set_memory_alarm(on=False),
            id="memory alarm",
        ),
        pytest.param(RabbitMQ.kill, RabbitMQ.restart, id="killed"),
    ],
)
def test_a_broker_that_suffers(
    lab: Lab,
    rabbitmq: RabbitMQ,
    hurt: Callable[[RabbitMQ], object],
    heal: Callable[[RabbitMQ], object],
) -> None:
    """503 in time while it lasts, status still answers, and then submits work without a restart.

    What was refused must not run behind the caller's back, although it may have arrived.
    """
    lab.serve("fragile", FRAGILE, worker=False)
    known = submit(lab, 0).json()["task_id"]
    hurt(rabbitmq)
    assert all(refused(submit(lab, n)) for n in (101, 102, 103))
    assert lab.status("mark", known)["status"] == "pending"
    assert requests.get(f"{lab.site.url}/readyz", timeout=PATIENCE).status_code == 503
    heal(rabbitmq)
    wait_until(lambda: submit(lab, 1).status_code == 200, 30, "submits work again")
    lab.start_worker()
    last = submit(lab, 2).json()["task_id"]
    assert lab.ended("mark", last)["status"] == "success"
    assert lab.ended("mark", known)["status"] == "success"
    assert max(ran(lab)) < 100


def test_a_reset_connection_costs_nobody_anything(lab: Lab, rabbitmq: RabbitMQ) -> None:
    """A pooled connection that died is replaced within the request, and the task runs once."""
    lab.serve("fragile", FRAGILE)
    first = submit(lab, 1).json()["task_id"]
    assert lab.ended("mark", first)["status"] == "success"
    assert rabbitmq.close_connections(str(lab.environ["BENTOTASK_BROKER_URL"])) > 0
    second = submit(lab, 2)
    assert second.status_code == 200
    assert lab.ended("mark", second.json()["task_id"])["status"] == "success"
    assert sorted(ran(lab)) == [1, 2]


def test_a_confirmation_lost_on_the_way_runs_the_task_once(lab: Lab, rabbitmq: RabbitMQ) -> None:
    """The publish is repeated under the same id; the second copy finds the task begun."""
    lab.serve("fragile", FRAGILE, worker=False)
    with FaultProxy(rabbitmq.port) as proxy:
        url = proxy.through(str(lab.environ["BENTOTASK_BROKER_URL"]))
        lab.environ = {**lab.environ, "BENTOTASK_BROKER_URL": url}
        lab.web.kill_group()
        lab.start_web()
        assert submit(lab, 1).status_code == 200
        proxy.cut_after(0, "down")
        accepted = submit(lab, 2)
        assert accepted.status_code == 200
        queue = "bentotask.Fragile"
        wait_until(lambda: rabbitmq.messages(url, queue).ready == 3, 10, "both copies are there")
        lab.start_worker()
        assert lab.ended("mark", accepted.json()["task_id"])["attempts"] == 1
        wait_until(lambda: rabbitmq.messages(url, queue).total == 0, 10, "the queue is empty")
    assert sorted(ran(lab)) == [1, 2]


def test_a_result_backend_that_is_away(lab: Lab, redis: Redis) -> None:
    """Submit and status answer 503 in time; when it is back, what was accepted is known."""
    lab.serve("fragile", FRAGILE, worker=False)
    known = submit(lab, 0).json()["task_id"]
    redis.pause()
    assert refused(submit(lab, 1))
    url = f"{lab.site.url}/mark/status"
    assert requests.get(url, params={"task_id": known}, timeout=PATIENCE).status_code == 503
    redis.resume()
    wait_until(lambda: submit(lab, 2).status_code == 200, 30, "submits work again")
    assert lab.status("mark", known)["status"] == "pending"


def test_a_result_is_held_until_the_backend_is_back(lab: Lab, redis: Redis) -> None:
    """A worker that has finished while the backend is away stores the result later."""
    lab.serve("fragile", FRAGILE)
    task = lab.submit("long", seconds=1.5)
    wait_until(lambda: lab.status("long", task)["status"] == "in_progress", 10, "it runs")
    redis.pause()
    wait_until(
        lambda: f"the outcome of task {task} is held" in lab.worker.log(), 30, "the worker holds it"
    )
    redis.resume()
    ended = lab.ended("long", task)
    assert (ended["status"], ended["attempts"]) == ("success", 1)


@pytest.mark.parametrize("hurt", [RabbitMQ.pause, RabbitMQ.kill], ids=["stopped", "killed"])
def test_a_cancel_does_not_wait_for_the_broker(
    lab: Lab, rabbitmq: RabbitMQ, hurt: Callable[[RabbitMQ], object]
) -> None:
    """The claim decides; telling the workers only saves them a look, and may fail."""
    lab.serve("fragile", FRAGILE, worker=False)
    url = f"{lab.site.url}/mark/cancel"
    ids = [submit(lab, n).json()["task_id"] for n in (1, 2)]
    warm = requests.put(url, params={"task_id": ids[0]}, timeout=PATIENCE)
    hurt(rabbitmq)
    cold = requests.put(url, params={"task_id": ids[1]}, timeout=PATIENCE)
    assert [r.json()["status"] for r in (warm, cold)] == ["cancelled", "cancelled"]
    rabbitmq.revive()
    lab.start_worker()
    last = submit(lab, 3).json()["task_id"]
    assert lab.ended("mark", last)["status"] == "success"
    assert ran(lab) == [3]


def test_a_worker_drops_a_revoked_message_without_running_it(lab: Lab) -> None:
    """Celery's worker understands the revoke that we send."""
    lab.serve("fragile", FRAGILE)
    running = [lab.submit("long", seconds=2) for _ in range(2)]
    for task in running:
        wait_until(lambda i=task: lab.status("long", i)["status"] == "in_progress", 10, "it runs")  # type: ignore[misc]
    waiting = [lab.submit("mark", n=n) for n in range(2)]
    url = f"{lab.site.url}/mark/cancel"
    for task in waiting:
        assert requests.put(url, params={"task_id": task}, timeout=PATIENCE).ok
    wait_until(
        lambda: all(f"flagged as revoked: {task}" in lab.worker.log() for task in waiting),
        10,
        "the worker knows",
    )
    assert {lab.ended("long", task)["status"] for task in running} == {"success"}
    wait_until(lambda: "Discarding revoked task" in lab.worker.log(), 10, "it drops them")
    assert ran(lab) == []
