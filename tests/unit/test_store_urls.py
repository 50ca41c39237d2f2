"""Result backend URLs, and which store serves them."""

from __future__ import annotations

import pytest

from bentotask.store import Store, open_store
from bentotask.store.files import FileStore
from bentotask.store.redis import RedisStore


def connection(store: Store) -> dict[str, object]:
    """What a Redis store connects with."""
    assert isinstance(store, RedisStore)
    options: dict[str, object] = store._client.connection_pool.connection_kwargs
    return options


@pytest.mark.parametrize(
    "url", ["redis+socket:///run/r.sock?virtual_host=3", "unix:///run/r.sock?db=3"]
)
def test_a_unix_socket_in_both_spellings(url: str) -> None:
    """Celery's and redis-py's own."""
    options = connection(open_store(url))
    assert (options["path"], options["db"]) == ("/run/r.sock", 3)


def test_tls_as_celery_spells_it() -> None:
    """``CERT_NONE``, which Celery and kombu ask for and redis-py does not know."""
    options = connection(open_store("rediss://h:1/0?ssl_cert_reqs=CERT_NONE"))
    assert options["ssl_cert_reqs"] == "none"


def test_files(tmp_path: str) -> None:
    """A path is made when it is missing."""
    assert isinstance(open_store(f"file://{tmp_path}/a/b"), FileStore)
