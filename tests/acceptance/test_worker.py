"""What a worker of a service is: its slots, its instances, its resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.faults.lab import Lab
from tests.servers.process import wait_until
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

MODEL = """
import os
import time

import bentotask

SEEN_AT_IMPORT = os.environ.get("CUDA_VISIBLE_DEVICES")


@bentotask.service({options})
class Model:
    def __init__(self) -> None:
        with open("built", "a") as file:
            file.write(str(os.getpid()) + "\\n")
        {init}

    @bentotask.task
    def who(self, wait: float = 0.0) -> dict:
        time.sleep(wait)
        return {{
            "pid": os.getpid(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "gpu_at_import": SEEN_AT_IMPORT,
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }}

    @bentotask.task
    def die(self) -> None:
        if not os.path.exists("died"):
            open("died", "w").close()
            os._exit(9)

    @bentotask.task
    def hoard(self, size: int) -> int:
        self.kept = b"x" * size
        return os.getpid()


wsgi = Model.wsgi
celery = Model.celery
"""


def model(options: str = "workers=2", init: str = "pass") -> str:
    """The text of a service with these options and this ``__init__``."""
    return MODEL.format(options=options, init=init)


@pytest.fixture
def lab(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> Iterator[Lab]:
    """A deployment of the test's own."""
    made = Lab(tmp_path, rabbitmq.revive(), redis.revive())
    yield made
    made.close()


def results(lab: Lab, count: int, endpoint: str = "who", **values: Any) -> list[Any]:
    """Submit ``count`` tasks at once and return their results."""
    ids = [lab.submit(endpoint, **values) for _ in range(count)]
    for task_id in ids:
        assert lab.ended(endpoint, task_id)["status"] == "success"
    url = f"{lab.site.url}/{endpoint}/get"
    return [requests.get(url, params={"task_id": i}, timeout=10).json() for i in ids]


def built(lab: Lab) -> list[int]:
    """The processes that have built an instance."""
    return [int(line) for line in (lab.site.directory / "built").read_text().split()]


@pytest.mark.parametrize(("pool", "processes"), [("prefork", 2), ("threads", 1), ("solo", 1)])
def test_one_instance_a_worker_process(
    pool: str, processes: int, rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    """Built before the first task, once in each process that runs tasks, never in the web."""
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", pool))
    try:
        lab.serve("model", model())
        wait_until(lambda: len(built(lab)) == processes, 10, "the instances are built")
        pids = {result["pid"] for result in results(lab, 6, wait=0.1)}
        assert pids <= set(built(lab))
        assert len(built(lab)) == processes
    finally:
        lab.close()


def test_a_slow_model_is_replaced_after_a_crash(lab: Lab) -> None:
    """A process that takes longer than Celery's own 4 s to start is not killed for it."""
    lab.serve("model", model("workers=1", "time.sleep(6)"))
    assert lab.ended("die", lab.submit("die"))["attempts"] == 2
    assert len(built(lab)) == 2


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_failing_init_is_told_once_and_ends_the_worker(
    pool: str, rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path
) -> None:
    """The worker exits non-zero, instead of serving tasks without a model."""
    lab = Lab(tmp_path, rabbitmq.revive(), redis.revive(), ("-P", pool))
    try:
        lab.serve("model", model(init='raise RuntimeError("no weights")'), worker=False)
        lab.start_worker(ready=False)
        assert lab.worker.wait(30) != 0
        assert lab.worker.log().count("Model.__init__ failed") == 1
        assert "RuntimeError: no weights" in lab.worker.log()
    finally:
        lab.close()


def test_each_slot_has_a_gpu_of_its_own_before_user_code_is_imported(lab: Lab) -> None:
    """CUDA_VISIBLE_DEVICES is set in each process before its first import, and stays taken."""
    lab.serve("model", model('resources={"gpu": "2"}'))
    found = results(lab, 8, wait=0.3)
    assert {result["gpu"] for result in found} == {"0", "1"}
    assert all(result["gpu"] == result["gpu_at_import"] for result in found)
    assert len({result["pid"] for result in found}) == 2
    # The process that replaces a dead one takes the GPU that became free.
    assert lab.ended("die", lab.submit("die"))["status"] == "success"
    assert {result["gpu"] for result in results(lab, 8, wait=0.3)} == {"0", "1"}


def test_numeric_libraries_share_the_processors(lab: Lab) -> None:
    """Four processors on two slots are two threads each."""
    lab.serve("model", model('workers=2, resources={"cpu": "4"}'))
    assert results(lab, 1)[0]["threads"] == "2"


def test_a_process_above_its_memory_is_recycled(lab: Lab) -> None:
    """The task that took the memory still answers; the next one runs in a fresh process."""
    lab.serve("model", model('workers=1, resources={"memory": "200Mi"}'))
    first = results(lab, 1, "hoard", size=10)[0]
    greedy = results(lab, 1, "hoard", size=300 * 1024**2)[0]
    assert first == greedy
    assert results(lab, 1, "hoard", size=10)[0] != greedy
