"""A service's class as declared: its endpoints, and what its options mean in numbers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bentotask.config import parse_size
from bentotask.endpoint import SUBMITTER, VERBS, Endpoint, Method, Submitter, checked_options
from bentotask.endpoint import resolved as resolved_endpoint
from bentotask.errors import DeclarationError
from bentotask.record import DEFAULT_RETENTION

#: How long a direct call of a task waits for its result, seconds (BentoML's default).
DEFAULT_CALL_TIMEOUT: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Resources:
    """``resources=``: what one worker of the service may use."""

    #: processors; each worker process gets its share as numeric threads
    cpu: float | str | None = None
    #: memory above which a worker process is replaced after its task, e.g. ``4Gi``
    memory: str | int | None = None
    #: GPUs; each worker process sees one
    gpu: int | str | None = None
    #: BentoCloud's name of the card; this machine has the cards that it has
    gpu_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """``traffic=``: how much at once, and how long a direct call waits."""

    #: seconds a direct call waits before it answers 504 with the task's id
    timeout: float = DEFAULT_CALL_TIMEOUT
    #: how many tasks one worker runs at once, at most
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """The options of ``@service``."""

    #: the service's name; the class's by default
    name: str | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    traffic: Mapping[str, Any] = field(default_factory=dict)
    #: worker processes for tasks
    workers: int | None = None
    #: seconds that outcomes are kept after completion
    retention: float | None = None
    #: an existing Celery application whose workers shall run the tasks
    celery: Any = None


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """A service's declaration, resolved and inert: it knows no broker and no HTTP."""

    name: str
    inner: type
    endpoints: Mapping[str, Endpoint]
    resources: Resources
    traffic: Traffic
    workers: int | None
    retention: float

    @property
    def tasks(self) -> list[Endpoint]:
        """The endpoints that are queued."""
        return [e for e in self.endpoints.values() if e.is_task]

    @property
    def apis(self) -> list[Endpoint]:
        """The endpoints that the web process answers itself."""
        return [e for e in self.endpoints.values() if not e.is_task]

    @property
    def origin(self) -> str:
        """``module:Class``, by which another process can import it."""
        return f"{self.inner.__module__}:{self.inner.__qualname__}"

    @property
    def gpus(self) -> int:
        """How many GPUs a worker may use."""
        return int(self.resources.gpu or 0)

    @property
    def slots(self) -> int:
        """How many tasks one worker runs at once.

        ``workers=`` or else one per GPU, never more than ``traffic.concurrency``; without any of
        them one per processor.
        """
        wanted = [n for n in (self.workers or self.gpus, self.traffic.concurrency) if n]
        return min(wanted, default=os.cpu_count() or 1)

    @property
    def memory_limit(self) -> int | None:
        """Bytes above which a worker process is replaced, ``None`` for no limit."""
        return None if self.resources.memory is None else parse_size(self.resources.memory)

    @property
    def threads_per_slot(self) -> int | None:
        """Numeric threads of each worker process, ``None`` to leave the libraries alone."""
        if self.resources.cpu is None:
            return None
        return max(1, int(float(self.resources.cpu)) // self.slots)

    def build(self, submitter: Submitter, *args: Any, **kwargs: Any) -> Any:
        """Return a new instance whose ``.submit()`` goes through ``submitter``."""
        instance = self.inner.__new__(self.inner, *args, **kwargs)
        object.__setattr__(instance, SUBMITTER, submitter)
        instance.__init__(*args, **kwargs)
        return instance


def declared(
    inner: Any, options: Mapping[str, Any], namespace: Mapping[str, Any] | None = None
) -> tuple[ServiceSpec, ServiceOptions]:
    """Return what ``@service(**options)`` on the class ``inner`` declares.

    Args:
        inner: the class.
        options: what the decorator was given.
        namespace: the names that its annotations may use besides its module's.

    Raises:
        DeclarationError: the class or an option cannot be served; says what to write instead.
    """
    if not inspect.isclass(inner):
        raise DeclarationError(f"@service decorates a class, not {inner!r}")
    where = f"@service {inner.__qualname__}"
    checked = _service_options(where, options)
    name = checked.name or inner.__name__
    retention = checked.retention or DEFAULT_RETENTION
    spec = ServiceSpec(
        name=name,
        inner=inner,
        endpoints=_endpoints(where, inner, name, retention, namespace or {}),
        resources=_resources(where, checked.resources),
        traffic=_traffic(where, checked.traffic),
        workers=checked.workers,
        retention=retention,
    )
    return spec, checked


def _service_options(where: str, options: Mapping[str, Any]) -> ServiceOptions:
    """Check what an endpoint's options share with a service's, then the rest."""
    shared = {k: v for k, v in options.items() if k in {"name", "retention"}}
    checked = checked_options(where, ServiceOptions, options, check=set(shared))
    for key in ("resources", "traffic"):
        if not isinstance(getattr(checked, key), Mapping):
            raise DeclarationError(f'{where}: {key}= takes a mapping such as {{"cpu": "2"}}')
    workers = checked.workers
    if workers is not None and not (type(workers) is int and workers > 0):
        raise DeclarationError(f"{where}: workers={workers!r}: write how many processes, 1 or more")
    return checked


def _resources(where: str, given: Mapping[str, Any]) -> Resources:
    resources = checked_options(f"{where} resources", Resources, given, check=set())
    try:
        if resources.memory is not None:
            parse_size(resources.memory)
        float(resources.cpu or 0)
        int(resources.gpu or 0)
    except ValueError as error:
        raise DeclarationError(
            f'{where}: resources={dict(given)!r}: {error}; write {{"cpu": "4", "memory": "8Gi", '
            '"gpu": "1"}'
        ) from None
    return resources


def _traffic(where: str, given: Mapping[str, Any]) -> Traffic:
    traffic = checked_options(f"{where} traffic", Traffic, given, check={"timeout"})
    concurrency = traffic.concurrency
    if concurrency is not None and not (type(concurrency) is int and concurrency > 0):
        raise DeclarationError(
            f"{where}: traffic concurrency={concurrency!r}: write how many tasks at once, 1 or more"
        )
    return traffic


def _endpoints(
    where: str, inner: type, service: str, retention: float, namespace: Mapping[str, Any]
) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for attribute in dir(inner):
        method = inspect.getattr_static(inner, attribute)
        if isinstance(method, Method):
            endpoint = resolved_endpoint(
                method,
                service=service,
                attribute=attribute,
                queue=f"bentotask.{service}",
                retention=retention,
                namespace=namespace,
            )
            _refuse_twins(where, endpoint, endpoints)
            endpoints[endpoint.name] = endpoint
    if not endpoints:
        raise DeclarationError(f"{where} has no endpoint: decorate a method with @task or @api")
    return endpoints


def _paths(endpoint: Endpoint) -> set[str]:
    verbs = VERBS if endpoint.is_task else ()
    return {endpoint.route, *(f"{endpoint.route}/{verb}" for verb in verbs)}


def _refuse_twins(where: str, endpoint: Endpoint, others: Mapping[str, Endpoint]) -> None:
    """Two endpoints may share neither a name nor any path that one of them answers."""
    for other in others.values():
        if other.name == endpoint.name:
            raise DeclarationError(
                f"{where}: {other.method} and {endpoint.method} are both named {endpoint.name}; "
                "give one another name="
            )
        if shared := sorted(_paths(other) & _paths(endpoint)):
            raise DeclarationError(
                f"{where}: {other.method} and {endpoint.method} both answer {shared[0]}; "
                "give one another route="
            )
