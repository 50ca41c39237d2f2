"""BentoML's task contract on the RabbitMQ, Celery and gunicorn you already run.

``import bentotask as bentoml`` is the only change that a service written for BentoML needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bentotask.assembly import Service as Service
    from bentotask.assembly import service as service
    from bentotask.client import AsyncHTTPClient as AsyncHTTPClient
    from bentotask.client import SyncHTTPClient as SyncHTTPClient
    from bentotask.context import Context as Context
    from bentotask.context import current as current
    from bentotask.context import progress as progress
    from bentotask.endpoint import api as api
    from bentotask.endpoint import task as task
    from bentotask.record import TaskStatus as TaskStatus

#: The public names and where they live. Looked up when first used: a program that only calls a
#: service imports neither Celery nor Flask.
_HOMES: Final = {
    "AsyncHTTPClient": "bentotask.client",
    "Context": "bentotask.context",
    "Service": "bentotask.assembly",
    "SyncHTTPClient": "bentotask.client",
    "TaskStatus": "bentotask.record",
    "api": "bentotask.endpoint",
    "current": "bentotask.context",
    "progress": "bentotask.context",
    "service": "bentotask.assembly",
    "task": "bentotask.endpoint",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - a list of the strings that the table holds


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bentotask' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
