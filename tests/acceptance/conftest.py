"""Every stack in turn, shared by the tests of one module; see ``tests.acceptance.stack``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.stack import Embedded, RabbitRedis, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=[Embedded.name, RabbitRedis.name])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A way to deploy services; every test that asks for it runs on each."""
    base = tmp_path_factory.mktemp("stack")
    made: Stack
    if request.param == Embedded.name:
        made = Embedded(base)
    else:
        made = RabbitRedis(
            base, request.getfixturevalue("rabbitmq"), request.getfixturevalue("redis")
        )
    yield made
    made.close()
