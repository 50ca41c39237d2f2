"""Where records rest: one store a result backend."""

from __future__ import annotations

from typing import Final

from kombu.utils.imports import symbol_by_name

from bentotask.store.base import Claim, Store

__all__ = ["Claim", "Store", "open_store"]

#: Which store serves which URL scheme; any other is Celery's own. A table of names, so that a
#: service on Redis never imports SQLAlchemy.
STORES: Final = {
    "redis": "bentotask.store.redis:RedisStore",
    "rediss": "bentotask.store.redis:RedisStore",
    "redis+socket": "bentotask.store.redis:RedisStore",
    "socket": "bentotask.store.redis:RedisStore",
    "unix": "bentotask.store.redis:RedisStore",
    "file": "bentotask.store.files:FileStore",
    "filesystem": "bentotask.store.files:FileStore",
    "memory": "bentotask.store.memory:MemoryStore",
}


def open_store(url: str, timeout: float = 5.0) -> Store:
    """Return the store of a result backend's URL; nothing is connected yet.

    Args:
        url: the result backend.
        timeout: seconds that connecting, and each answer, may take.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    scheme = url.partition(":")[0]
    name = STORES.get(scheme)
    if scheme.startswith("db+"):
        name = "bentotask.store.sql:SqlStore"
    opened: Store = symbol_by_name(name or "bentotask.store.celery:CeleryStore")(url, timeout)
    return opened
