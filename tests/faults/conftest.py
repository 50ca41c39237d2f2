"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.lab import Lab
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis


@pytest.fixture
def lab(rabbitmq: RabbitMQ, redis: Redis, tmp_path: Path) -> Iterator[Lab]:
    """A deployment of the test's own."""
    made = Lab(tmp_path, rabbitmq.revive(), redis.revive())
    yield made
    rabbitmq.revive()
    redis.revive()
    made.close()
