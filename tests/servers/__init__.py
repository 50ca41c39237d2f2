"""Real servers, private to one run of the tests.

Nothing here needs Docker or a server that is already running: each server is started from the
installed program on a free port of 127.0.0.1, with its files in a directory of its own, and can
therefore be killed, frozen and restarted without anyone else noticing.
"""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.servers.process import Process


class Server(ABC):
    """What a test may do to any server. A subclass sets ``process`` and knows ``ready``.

    The directory is not one of pytest's: those may be closed to the user a server runs as, and
    their names may be too long for a unix socket.
    """

    #: How long a start may take on a busy machine.
    patience = 60.0

    process: Process

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers; ``OSError`` also means no."""

    def start(self) -> Self:
        """Start it and return when it answers."""
        self.process.start()
        wait_until(self.ready, self.patience, f"{self} answers", process=self.process)
        return self

    def kill(self) -> None:
        """SIGKILL, as when its machine loses power."""
        self.process.kill_group()

    def restart(self) -> Self:
        """Kill it if it lives and start it again on the same port and the same files."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self.process.resume()

    def revive(self) -> Self:
        """Return it in good health, whatever the previous test did to it."""
        self.resume()
        return self if self.process.alive() else self.start()

    def close(self) -> None:
        """End it and delete its files."""
        if self.process.alive():
            self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def __str__(self) -> str:
        return type(self).__name__
