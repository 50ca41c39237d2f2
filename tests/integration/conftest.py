"""Every store that a deployment may choose, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bentotask.store import Store, open_store

#: The stores whose swap is one atomic step, and so decides races.
ATOMIC = ("redis", "postgres", "sqlite", "files", "memory")


def store_url(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a fresh result backend of this kind."""
    if name in {"redis", "postgres"}:
        url: str = request.getfixturevalue(f"{name}_url")
        return f"db+{url}" if name == "postgres" else url
    return {
        "sqlite": f"db+sqlite:///{tmp_path}/tasks.db",
        "files": f"file://{tmp_path}/tasks",
        "memory": "memory://",
        # Celery's own file backend, which no store of ours serves under this name.
        "celery": "cache+memory://",
    }[name]


@pytest.fixture(params=[*ATOMIC, "celery"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each store in turn."""
    opened = open_store(store_url(request.param, request, tmp_path))
    yield opened
    opened.close()
