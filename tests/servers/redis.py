"""A private Redis."""

from __future__ import annotations

import contextlib
import os

import redis as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import Server
from tests.servers.process import Process, free_port

_DATABASES = 16


class Redis(Server):
    """Redis on a free port and a unix socket, without persistence unless ``appendonly``.

    Databases isolate keys alone: channels of publish and subscribe are common to all of them.
    """

    def __init__(self, *, appendonly: bool = False) -> None:
        super().__init__()
        self.port = free_port()
        self.socket = self.base / "redis.sock"
        self._free = set(range(_DATABASES))
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": self.socket,
            "dir": self.base,
            "databases": _DATABASES,
            "save": "",
            "appendonly": "yes" if appendonly else "no",
        }
        argv = ["redis-server"]
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        self.process = Process(argv, self.base / "redis.log", env=env, cwd=self.base)

    def url(self, database: int = 0) -> str:
        """Return the URL of one database over TCP."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: int = 0) -> str:
        """Return the URL of one database over the unix socket, in kombu's form."""
        return f"redis+socket://{self.socket}?virtual_host={database}"

    def ready(self) -> bool:
        """Whether it answers PING; it says LOADING while it reads its append-only file."""
        with contextlib.suppress(client.RedisError), self.connect() as connection:
            return bool(connection.ping())
        return False

    def connect(self, database: int = 0) -> client.Redis:
        """Return a client for use in ``with``; it neither waits long nor tries again."""
        return client.Redis(
            port=self.port,
            db=database,
            socket_timeout=5,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    def flush(self, database: int | None = None) -> None:
        """Empty one database, or all."""
        with self.connect(database or 0) as connection:
            connection.flushall() if database is None else connection.flushdb()

    def take_database(self) -> int:
        """Lend an empty database that nobody else holds."""
        database = min(self._free)
        self.flush(database)
        self._free.remove(database)
        return database

    def release_database(self, database: int) -> None:
        """Take it back. It is emptied when it is lent again: now the server may be down."""
        self._free.add(database)
