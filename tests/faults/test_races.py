"""Cancels race a real worker for 2,000 tasks: what was cancelled never ran, the rest did."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.faults.lab import Lab
from tests.servers.postgres import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

RACES = 2000

#: Threads are where Celery's own revoke lets most cancelled tasks run.
RUNNER = """
import os

import bentotask

ran = os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@bentotask.service
class Runner:
    @bentotask.task
    def run(self, n: int) -> None:
        os.write(ran, f"{n}\\n".encode())


wsgi = Runner.wsgi
celery = Runner.celery
"""


def race(lab: Lab, n: int) -> tuple[str, str]:
    """Submit a task, cancel it a moment later, and return its id and who won."""
    task = lab.submit("run", n=n)
    # A moment of random length: neither side may win every time.
    time.sleep(random.uniform(0, 0.004))  # noqa: S311 - spreads, guards nothing
    url = f"{lab.site.url}/run/cancel"
    answer = requests.put(url, params={"task_id": task}, timeout=10)
    return task, {200: "cancelled", 409: "begun"}[answer.status_code]


@pytest.mark.parametrize("results", ["redis", "postgres"])
def test_cancelled_tasks_never_run_and_others_always_do(
    results: str,
    request: pytest.FixtureRequest,
    rabbitmq: RabbitMQ,
    redis: Redis,
    tmp_path: Path,
) -> None:
    """None is both cancelled and executed, none is neither."""
    environ = {}
    if results == "postgres":
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        environ["BENTOTASK_RESULT_BACKEND"] = f"db+{postgres.revive().create_database()}"
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", "threads", "-c", "4"))
    try:
        lab.serve("runner", RUNNER, environ=environ)
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda n: race(lab, n), range(RACES)))
        for task, outcome in outcomes:
            status = lab.ended("run", task)["status"]
            assert status == ("cancelled" if outcome == "cancelled" else "success")
        ran = Counter(int(n) for n in (lab.site.directory / "ran").read_text().split())
        begun = {n for n, (_, outcome) in enumerate(outcomes) if outcome == "begun"}
        assert ran == Counter(begun)
        # A race that one side always wins would prove nothing.
        assert RACES / 50 < len(begun) < RACES - RACES / 50, len(begun)
    finally:
        lab.close()
