"""Records in a SQL database, through SQLAlchemy: one row a task, one UPDATE a step.

A table of our own rather than Celery's: that one keeps results as pickles, and a hostile row
would run code on read (celery/backends/database/models.py).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from bentotask.errors import ConfigurationError
from bentotask.store.base import Change, Row, Store

T = TypeVar("T")

#: LONGBLOB on MySQL; the others have one size of blob.
_BLOB: Final = sa.LargeBinary(2**32 - 1)

_METADATA: Final = sa.MetaData()
_TASKS: Final = sa.Table(
    "bentotask_tasks",
    _METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("submission", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("progress", sa.Text),
    sa.Column("input", _BLOB),
    sa.Column("result", _BLOB),
    sa.Column("expires_at", sa.Double, index=True),
)
_FACTS: Final = ("version", "submission", "state", "progress")


class SqlStore(Store):
    """Records in any database that SQLAlchemy speaks to; a sweep removes what has expired.

    Args:
        url: Celery's form, ``db+`` before SQLAlchemy's URL: ``db+sqlite:////path/tasks.db``,
            ``db+postgresql+psycopg://user:password@host/name``.
        timeout: seconds to connect, and to wait for SQLite's lock.
    """

    _foreign_errors: ClassVar[tuple[type[BaseException], ...]] = (
        exc.DBAPIError,
        exc.TimeoutError,
        OSError,
    )

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        super().__init__(url)
        self._url = url.removeprefix("db+")
        self._timeout = timeout
        self._engines: dict[int, sa.Engine] = {}
        self._engine_options()  # a wrong URL or a missing driver is told now, not at first use

    def close(self) -> None:
        """Close this process's connections."""
        if engine := self._engines.pop(os.getpid(), None):
            engine.dispose()

    @property
    def _engine(self) -> sa.Engine:
        """The engine of this process; a connection must not cross a fork."""
        engine = self._engines.get(os.getpid())
        if engine is None:
            for inherited in self._engines.values():
                inherited.dispose(close=False)
            engine = sa.create_engine(self._url, **self._engine_options())
            if engine.dialect.name == "sqlite":
                event.listen(engine, "connect", _prepare_sqlite)
            _create_tables(engine)
            self._engines = {os.getpid(): engine}
        return engine

    def _engine_options(self) -> dict[str, Any]:
        try:
            dialect = sa.make_url(self._url).get_dialect()
            dialect.import_dbapi()
        except (exc.ArgumentError, exc.NoSuchModuleError) as error:
            raise ConfigurationError(f"result_backend {self.shown}: {error}") from None
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"result_backend {self.shown} needs the package {error.name!r}: pip install it "
                "(for PostgreSQL: pip install 'bentotask[postgres]')"
            ) from None
        if dialect.name == "sqlite":
            self._refuse_read_only(sa.make_url(self._url).database)
        option = {"sqlite": "timeout", "postgresql": "connect_timeout", "mysql": "connect_timeout"}
        connect_args: dict[str, Any] = {}
        if name := option.get(dialect.name):
            connect_args[name] = max(1, round(self._timeout))
        if dialect.name == "postgresql" and dialect.driver in {"psycopg", "psycopg2"}:
            # libpq's: give up on a server that stopped answering
            # (https://www.postgresql.org/docs/current/libpq-connect.html).
            milliseconds = max(1, round(self._timeout * 1000))
            connect_args |= {
                "tcp_user_timeout": milliseconds,
                "keepalives_idle": 5,
                "options": f"-c statement_timeout={milliseconds}",
            }
        options: dict[str, Any] = {}
        if dialect.name != "sqlite":
            options["pool_timeout"] = self._timeout
        # Every step is one statement, so a transaction around it would only add round trips.
        return {"isolation_level": "AUTOCOMMIT", "connect_args": connect_args, **options}

    def _refuse_read_only(self, database: str | None) -> None:
        """Tell now what SQLite would tell with the first task."""
        folder = Path(database or ".").parent
        if not os.access(folder, os.W_OK):
            raise ConfigurationError(
                f"result_backend {self.shown}: {folder.absolute()} is no directory that this user "
                "can write; SQLite keeps its journal beside the database"
            )

    def _run(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work``, once more when the server had closed a pooled connection meanwhile.

        Safe for a swap too: one that did arrive is recognised by its own writing.
        """
        try:
            return self._once(work)
        except exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._once(work)

    def _once(self, work: Callable[[sa.Connection], T]) -> T:
        with self._engine.connect() as connection:
            return work(connection)

    def _insert(self, task_id: str, row: Row) -> None:
        values = {name: getattr(row, name) for name in (*_FACTS, "input")}

        def insert(connection: sa.Connection) -> None:
            with contextlib.suppress(exc.IntegrityError):
                connection.execute(_TASKS.insert().values(id=task_id, **values))

        self._run(insert)

    def _load(self, task_id: str, *blobs: str) -> Row | None:
        columns = [_TASKS.c[name] for name in (*_FACTS, *blobs)]
        query = sa.select(*columns).where(_TASKS.c.id == task_id)
        found = self._run(lambda connection: connection.execute(query).mappings().first())
        return None if found is None else Row(**found)

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        values: dict[str, Any] = {
            "version": change.version,
            "state": change.state,
            "expires_at": change.expires_at,
        }
        values |= {
            name: value
            for name in ("progress", "result")
            if (value := getattr(change, name)) is not None
        }
        update = (
            _TASKS.update()
            .where(_TASKS.c.id == task_id, _TASKS.c.version == change.expected)
            .values(**values)
        )
        won = self._run(lambda connection: connection.execute(update).rowcount == 1)
        return won, self._load(task_id, *(("input",) if won else ()))

    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        if progress is not None:
            update = _TASKS.update().where(_TASKS.c.id == task_id).values(progress=progress)
            self._run(lambda connection: connection.execute(update))
        row = self._load(task_id)
        return None if row is None else row.state

    def _remove_expired(self, now: float) -> int:
        delete = _TASKS.delete().where(_TASKS.c.expires_at <= now)
        return self._run(lambda connection: connection.execute(delete).rowcount)

    def _ping(self) -> None:
        self._run(lambda connection: connection.execute(sa.select(1)))


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    """Let readers and one writer work side by side (https://sqlite.org/wal.html)."""
    connection.execute("PRAGMA journal_mode=WAL").close()


def _create_tables(engine: sa.Engine) -> None:
    try:
        _METADATA.create_all(engine)
    except exc.DBAPIError:
        # Two processes may both find no table and both create it; the second then finds it.
        _METADATA.create_all(engine)
