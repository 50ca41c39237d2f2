"""``timeout=`` stops an attempt on every pool, and says where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.faults.lab import Lab
from tests.faults.services import ASYNC, FRAGILE
from tests.servers.process import wait_until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

#: Far more rounds than any machine does within the limit and its grace.
ENDLESS = 10**9


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_sleeping_attempt_is_stopped(
    pool: str, rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    """It ends as failure, although its task answers every exception with a friendly result.

    On threads a blocking call ends first; prefork and solo interrupt it.
    """
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", pool))
    try:
        lab.serve("fragile", FRAGILE)
        seconds = 3 if pool == "threads" else 60
        ended = lab.ended("sleep", lab.submit("sleep", seconds=seconds), timeout=30)
        assert ended["status"] == "failure"
        assert ended["error"] == "TimedOut: the attempt ran longer than timeout=1 s"
        assert ("pool interrupts" in lab.worker.log()) == (pool != "prefork")
        # The slot is free again.
        assert lab.ended("mark", lab.submit("mark", n=1))["status"] == "success"
    finally:
        lab.close()


def test_an_attempt_that_blocks_in_c_is_killed_on_prefork(lab: Lab) -> None:
    """What cannot be interrupted loses its process; its message does not come back."""
    lab.serve("fragile", FRAGILE)
    ended = lab.ended("hash", lab.submit("hash", rounds=ENDLESS), timeout=40)
    assert ended["status"] == "failure"
    assert "TimedOut" in ended["error"]
    others = [lab.submit("mark", n=n) for n in range(4)]
    assert {lab.ended("mark", i)["status"] for i in others} == {"success"}
    wait_until(
        lambda: lab.site.log().count("is not run: it is failure") == 1,
        20,
        "the message came back and did not run",
    )


def test_a_running_task_is_stopped_by_force(lab: Lab) -> None:
    """``force=true`` reaches a task that only sleeps; without it the answer is 409."""
    lab.serve("fragile", FRAGILE)
    task = lab.submit("long", seconds=60)
    wait_until(lambda: lab.status("long", task)["status"] == "in_progress", 10, "it runs")
    url = f"{lab.site.url}/long/cancel"
    assert requests.post(url, params={"task_id": task}, timeout=10).status_code == 409
    forced = requests.put(url, params={"task_id": task, "force": "true"}, timeout=30)
    assert forced.json()["status"] == "cancelled"
    assert lab.ended("mark", lab.submit("mark", n=1))["status"] == "success"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_coroutine_is_stopped_and_stays_so(
    pool: str, rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    """It ends where it waits, on every pool, and does not go on with the next one's loop."""
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", pool))
    try:
        lab.serve("waiting", ASYNC)
        ended = lab.ended("wait", lab.submit("wait", seconds=2))
        assert (ended["status"], ended["error"][:8]) == ("failure", "TimedOut")
        for _ in range(3):
            assert lab.ended("wait", lab.submit("wait", seconds=0.5))["status"] == "success"
            (lab.site.directory / "went_on").unlink()
        assert not (lab.site.directory / "went_on").exists()
    finally:
        lab.close()


def test_a_task_between_two_attempts_is_stopped_at_once(lab: Lab) -> None:
    """``force=true`` ends it, and the message of its next attempt finds it ended."""
    lab.serve("waiting", ASYNC)
    task = lab.submit("fail")
    wait_until(lambda: lab.status("fail", task)["attempts"] == 3, 30, "two attempts have failed")
    url = f"{lab.site.url}/fail/cancel"
    forced = requests.put(url, params={"task_id": task, "force": "true"}, timeout=30)
    assert forced.json()["status"] == "cancelled"
    wait_until(lambda: f"{task} is not run: it is cancelled" in lab.worker.log(), 30, "it came")
    assert lab.status("fail", task)["attempts"] == 3
