"""``@service``, ``@task`` and ``@api``: what they mean, and the mistakes they tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bentotask
from bentotask.declaration import ServiceSpec
from bentotask.errors import DeclarationError


def declared_by(service: Any) -> ServiceSpec:
    """Return a service's declaration; mypy takes the decorated class for what it was before."""
    spec: ServiceSpec = service.spec
    return spec


def spec_of(**options: Any) -> ServiceSpec:
    """Declare a small service with these options."""

    class Svc:
        @bentotask.task
        def echo(self, x: int = 1) -> int:
            return x

    return declared_by(bentotask.service(**options)(Svc))


def test_a_bare_service_has_the_documented_defaults() -> None:
    """Names from the class, routes from the methods, 24 hours, 60 seconds."""
    spec = spec_of()
    endpoint = spec.endpoints["echo"]
    assert (spec.name, endpoint.full_name, endpoint.route) == ("Svc", "Svc.echo", "/echo")
    assert (endpoint.retention, spec.traffic.timeout) == (86400.0, 60.0)
    assert endpoint.queue == "bentotask.Svc"
    assert spec.slots == os.cpu_count()


@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ({"workers": 4}, 4),
        ({"traffic": {"concurrency": 10}}, 10),
        ({"workers": 4, "traffic": {"concurrency": 2}}, 2),
        ({"resources": {"gpu": "2"}}, 2),
        ({"resources": {"gpu": 1}, "workers": 3}, 3),
    ],
)
def test_worker_slots(options: dict[str, Any], slots: int) -> None:
    """workers= or one per GPU, never more than traffic.concurrency."""
    assert spec_of(**options).slots == slots


def test_resources_become_numbers() -> None:
    """Memory in bytes, cpu as each slot's share of threads."""
    spec = spec_of(resources={"cpu": "8", "memory": "4Gi"}, workers=2)
    assert (spec.memory_limit, spec.threads_per_slot) == (4 * 1024**3, 4)


def test_options_of_an_endpoint() -> None:
    """Each says what the endpoint then has."""

    @bentotask.service(retention=60)
    class Svc:
        @bentotask.task(route="/v1/run/", name="run", queue="slow", priority=9, retention=5)
        async def execute(self) -> None: ...

        @bentotask.api
        def info(self) -> dict[str, int]:
            return {}

    spec = declared_by(Svc)
    run = spec.endpoints["run"]
    assert (run.route, run.queue, run.retention, run.method) == ("/v1/run", "slow", 5, "execute")
    assert spec.endpoints["info"].retention == 60
    assert [e.name for e in spec.apis] == ["info"]


def undecorated() -> Any:
    class Empty:
        pass

    return bentotask.service(Empty)


def generator() -> Any:
    class Svc:
        @bentotask.task
        def stream(self) -> Iterator[int]:
            yield 1

    return Svc


def dunder() -> Any:
    class Svc:
        @bentotask.task
        def __run__(self) -> None: ...

    return Svc


def twice() -> Any:
    class Svc:
        @bentotask.api
        @bentotask.task
        def run(self) -> None: ...

    return Svc


def same_route() -> Any:
    @bentotask.service
    class Svc:
        @bentotask.task
        def run(self) -> None: ...

        @bentotask.api(route="/run/status")
        def other(self) -> None: ...

    return Svc


def same_name() -> Any:
    @bentotask.service
    class Svc:
        @bentotask.task
        def run(self) -> None: ...

        @bentotask.task(name="run", route="/other")
        def other(self) -> None: ...

    return Svc


def reserved() -> Any:
    @bentotask.service
    class Svc:
        @bentotask.task
        def livez(self) -> None: ...

    return Svc


def task_with(**options: Any) -> Callable[[], Any]:
    def declare() -> Any:
        class Svc:
            @bentotask.task(**options)
            def run(self) -> None: ...

        return Svc

    return declare


def service_with(**options: Any) -> Callable[[], Any]:
    return lambda: spec_of(**options)


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (generator, r"Svc\.stream is a generator.*return"),
        (dunder, r"Svc\.__run__.*call it run"),
        (twice, r"decorated twice"),
        (undecorated, r"Empty has no endpoint"),
        (reserved, r"Svc\.livez: /livez is a route that the service answers itself"),
        (same_route, r"both answer /run/status; give one another route="),
        (same_name, r"both named run; give one another name="),
        (task_with(retri=3), r"Svc\.run: unknown option retri=; did you mean retry=\?"),
        (task_with(retry=-1), r"retry=-1: write how often"),
        (task_with(retry=True), r"retry=True"),
        (task_with(timeout=0), r"timeout=0: write seconds"),
        (task_with(priority=10), r"priority=10: write a whole number from 0 to 9"),
        (task_with(route="run"), r"route='run': write a path"),
        (task_with(route="/metrics"), r"/metrics.*answers itself"),
        (task_with(name="a b"), r"write an identifier"),
        (service_with(worker=4), r"unknown option worker=; did you mean workers=\?"),
        (service_with(workers=0), r"workers=0: write how many"),
        (service_with(resources={"memory": "lots"}), r"lots.*write"),
        (service_with(resources={"ram": "4Gi"}), r"resources: unknown option ram="),
        (service_with(resources="4Gi"), r"resources= takes a mapping"),
        (service_with(traffic={"concurrency": "many"}), r"write how many tasks at once"),
        (service_with(traffic={"timeout": -1}), r"timeout=-1: write seconds"),
    ],
)
def test_mistakes_are_told_at_declaration(declare: Callable[[], Any], told: str) -> None:
    """Each names the place and what to write instead."""
    with pytest.raises(DeclarationError, match=told):
        declare()


def test_a_function_is_no_service() -> None:
    """The decorator says what it decorates."""
    with pytest.raises(DeclarationError, match="decorates a class"):
        bentotask.service(lambda: None)  # type: ignore[call-overload]  # the mistake under test
