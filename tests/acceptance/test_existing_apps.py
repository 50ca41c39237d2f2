"""Inside what a team already has: one Celery application, one Flask application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance.stack import Site
from tests.faults.lab import Lab
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

#: A shop as it was, and the lines that add a service to both of its applications.
SHOP = """
import os

import flask
from celery import Celery

celery = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
wsgi = flask.Flask("shop")


@celery.task(name="shop.add")
def add(x, y):
    return x + y


@wsgi.get("/add")
def ask():
    return str(add.delay(1, 2).get(timeout=10))


import bentotask


@bentotask.service(celery=celery)
class Greeter:
    @bentotask.task
    def greet(self, name: str) -> str:
        return f"Hello {name}"


wsgi.register_blueprint(Greeter.blueprint, url_prefix="/greeter")
"""


class Shop(Lab):
    """A deployment whose broker and results only the shop's own code names."""

    def _servers(self, site: Site) -> dict[str, str]:
        ours = super()._servers(site)
        return {
            "SHOP_BROKER": ours["BENTOTASK_BROKER_URL"],
            "SHOP_RESULTS": ours["BENTOTASK_RESULT_BACKEND"],
        }


@pytest.fixture
def shop(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> Iterator[Shop]:
    """The shop, with its web and its worker."""
    made = Shop(tmp_path, rabbitmq.revive(), redis.revive())
    made.serve("shop", SHOP)
    yield made
    made.close()


def test_a_service_lives_in_both_applications(shop: Shop) -> None:
    """The shop's own worker runs our tasks and its own; the shop's own web answers for both."""
    url = shop.site.url
    submitted = requests.post(f"{url}/greeter/greet/submit", json={"name": "Ada"}, timeout=10)
    location = submitted.headers["Location"]
    assert location.startswith("/greeter/greet/status?task_id=")
    assert requests.get(f"{url}{location}&wait=10", timeout=20).json()["status"] == "success"
    query = {"task_id": submitted.json()["task_id"]}
    assert requests.get(f"{url}/greeter/greet/get", params=query, timeout=10).text == "Hello Ada"
    assert requests.get(f"{url}/add", timeout=20).text == "3"


def test_only_our_routes_answer_as_we_do(shop: Shop) -> None:
    """The shop keeps its own error pages; beneath the prefix errors are JSON."""
    url = shop.site.url
    theirs = requests.get(f"{url}/nothing", timeout=10)
    ours = requests.get(f"{url}/greeter/greet/status", timeout=10)
    assert theirs.headers["Content-Type"].startswith("text/html")
    assert ours.json() == {"error": "task_id is required"}
