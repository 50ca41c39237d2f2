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

#: Threads are where Celery's own revoke lets most cancelled tasks run. The one slot is a little
#: slower than the clients, so that it depends on their moment who wins.
RUNNER = """
import os
import time

import bentotask

ran = os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@bentotask.service
class Runner:
    @bentotask.task
    def run(self, n: int) -> None:
        os.write(ran, f"{n}\\n".encode())
        time.sleep(0.003)


wsgi = Runner.wsgi
celery = Runner.celery
"""


class Race:
    """Submits and cancels, a moment apart that keeps both sides winning on any machine.

    Whenever the cancel wins it comes a little later the next time, else a little sooner: so the
    two steps go on meeting.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._moment = 0.002

    def __call__(self, n: int) -> tuple[str, str]:
        """Run one race, and return the task's id and who won."""
        task = self._lab.submit("run", n=n)
        time.sleep(self._moment * random.uniform(0.5, 1.5))  # noqa: S311 - spreads, guards nothing
        url = f"{self._lab.site.url}/run/cancel"
        answer = requests.put(url, params={"task_id": task}, timeout=10)
        outcome = {200: "cancelled", 409: "begun"}[answer.status_code]
        self._moment *= 1.05 if outcome == "cancelled" else 1 / 1.05
        return task, outcome


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
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", "threads", "-c", "1"))
    try:
        lab.serve("runner", RUNNER, environ=environ)
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(Race(lab), range(RACES)))
        for task, outcome in outcomes:
            status = lab.ended("run", task)["status"]
            assert status == ("cancelled" if outcome == "cancelled" else "success")
        ran = Counter(int(n) for n in (lab.site.directory / "ran").read_text().split())
        begun = {n for n, (_, outcome) in enumerate(outcomes) if outcome == "begun"}
        assert ran == Counter(begun)
        # A race that one side always wins would prove nothing.
        assert RACES / 100 < len(begun) < RACES - RACES / 100, len(begun)
    finally:
        lab.close()
