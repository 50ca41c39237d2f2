"""The same contract on every broker queue and result backend that the README names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.acceptance.stack import Site
from tests.faults.lab import Lab
from tests.servers.postgres import PostgreSQL
from tests.servers.process import wait_until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

SERVICE = """
import time

import bentotask


@bentotask.service(workers=2)
class Svc:
    @bentotask.task
    def echo(self, text: str) -> str:
        return text

    @bentotask.task(retry=1, priority=5)
    def flaky(self, ctx: bentotask.Context) -> int:
        if ctx.attempt == 1:
            raise RuntimeError("not yet")
        return ctx.attempt

    @bentotask.task
    def count(self, steps: int) -> int:
        for step in range(steps):
            bentotask.progress(step, steps, f"step {step}")
            time.sleep(0.1)
        return steps


wsgi = Svc.wsgi
celery = Svc.celery
"""

STACKS = ("quorum+redis", "redis+redis", "classic+postgres", "classic+sqlite", "classic+files")


@pytest.fixture(scope="module", params=STACKS)
def lab(
    request: pytest.FixtureRequest,
    rabbitmq: RabbitMQ,
    redis: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """The service on each stack in turn."""
    base = tmp_path_factory.mktemp("stacks")
    broker, _, results = request.param.partition("+")
    environ = {"BENTOTASK_QUEUE_TYPE": "quorum"} if broker == "quorum" else {}
    if results == "postgres":
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        environ["BENTOTASK_RESULT_BACKEND"] = f"db+{postgres.revive().create_database()}"
    elif results in {"sqlite", "files"}:
        url = {"sqlite": f"db+sqlite:///{base}/tasks.db", "files": f"file://{base}/tasks"}[results]
        environ["BENTOTASK_RESULT_BACKEND"] = url
    made = Lab(base, rabbitmq.revive(), redis.revive())
    if broker == "redis":
        made = RedisOnly(base, rabbitmq, redis)
    made.serve("svc", SERVICE, environ=environ)
    yield made
    made.close()


class RedisOnly(Lab):
    """One Redis is broker and results."""

    def _servers(self, site: Site) -> dict[str, str]:
        return {"BENTOTASK_BROKER_URL": super()._servers(site)["BENTOTASK_RESULT_BACKEND"]}


def get(lab: Lab, endpoint: str, task_id: str) -> requests.Response:
    """Ask for a result."""
    query = {"task_id": task_id}
    return requests.get(f"{lab.site.url}/{endpoint}/get", params=query, timeout=10)


def test_a_result_comes_back(lab: Lab) -> None:
    """From submit to get, with the text as it was returned."""
    task = lab.submit("echo", text="häl\x00lo")
    assert lab.ended("echo", task)["status"] == "success"
    assert get(lab, "echo", task).text == "häl\x00lo"


def test_a_failed_attempt_is_retried_after_a_pause(lab: Lab) -> None:
    """On quorum queues through the delayed delivery of Celery, else through a worker's timer."""
    ended = lab.ended("flaky", lab.submit("flaky"))
    assert (ended["status"], ended["attempts"]) == ("success", 2)
    told = "priority= of flaky has no effect" in lab.worker.log()
    assert told == (lab.environ.get("BENTOTASK_QUEUE_TYPE") == "quorum")


def test_progress_and_a_forced_stop(lab: Lab) -> None:
    """What the task says is seen while it runs, and it stops when it is told to."""
    task = lab.submit("count", steps=600)
    seen = wait_until(lambda: lab.status("count", task)["progress"], 20, "progress is seen")
    assert seen["total"] == 600
    query = {"task_id": task, "force": "true"}
    stopped = requests.post(f"{lab.site.url}/count/cancel", params=query, timeout=30)
    assert stopped.json()["status"] == "cancelled"
    assert get(lab, "count", task).status_code == 409
