"""A private PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql

from tests.servers import Server
from tests.servers.process import Process, free_port, wait_until

_INSTALLED = Path("/usr/lib/postgresql")

#: Durability is for machines that lose power; a killed process loses nothing that it wrote. Its
#: shared memory lies in files, so that a killed server leaves none behind on the machine.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",
}


def programs() -> Path | None:
    """Return the folder of the newest installed server's programs; they are not on the PATH."""
    found = [path.parent for path in _INSTALLED.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


class PostgreSQL(Server):
    """PostgreSQL on a free port. It refuses to run as root, so root runs it as someone else."""

    def __init__(self) -> None:
        super().__init__()
        bin_ = programs()
        if bin_ is None:
            raise FileNotFoundError(_INSTALLED)
        self.port = free_port()
        self.data = self.base / "data"
        user = _other_user() if os.geteuid() == 0 else None
        if user:
            shutil.chown(self.base, user, pwd.getpwnam(user).pw_gid)
        self._initdb(bin_, user)
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self.base}
        self.process = Process(
            [
                bin_ / "postgres",
                *("-D", self.data),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            self.base / "postgres.log",
            env=_environment(),
            cwd=self.base,
            user=user,
        )

    def ready(self) -> bool:
        """Whether it takes a connection; after a kill it refuses until it has recovered."""
        with contextlib.suppress(psycopg.OperationalError):
            self._execute("SELECT 1")
            return True
        return False

    def create_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._execute("CREATE DATABASE {}", name)
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop it, and close the connections that still use it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", url.rpartition("/")[2])

    def kill(self) -> None:
        """SIGKILL for the postmaster, then wait for its children.

        They sit in sessions of their own and leave when they miss it; until then they hold the
        files, and a new start would be refused.
        """
        self.resume()  # a frozen child would miss nothing
        self.process.kill()
        wait_until(lambda: not self._family(), 20, "the end of PostgreSQL's children")

    def pause(self) -> None:
        """Freeze it and its children, which no signal to its group would reach."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._family():
            # The child of a connection that has just been closed is leaving.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def close(self) -> None:
        """End it in good order, so that its shared memory goes too, and delete its files."""
        if self.process.alive():
            self.resume()
            self.process.stop(signal.SIGINT)
        super().close()

    def _initdb(self, bin_: Path, user: str | None) -> None:
        command = [str(bin_ / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale", "C", "--no-sync"]
        done = subprocess.run(
            command,
            env=_environment(),
            cwd=self.base,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(self.base, ignore_errors=True)
            raise RuntimeError(done.stdout + done.stderr)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5",
            autocommit=True,
        ) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _family(self) -> list[psutil.Process]:
        """Return the postmaster and its children, known by the directory they all work in."""
        family = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(self.data):
                    family.append(process)
        return family


def _environment() -> dict[str, str]:
    """Return a bare environment: ``PG*`` variables of the developer would change the server."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C"}


def _other_user() -> str:
    """Return the user that the package made for the server, or the one that every system has."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
